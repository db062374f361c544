//! Publishes: many keys at once, one after another within a key.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt;
use griot_core::Publication;
use griot_events::BrokerError;

use crate::fault::{refusal, said};
use crate::link::Link;
use crate::names;
use crate::streams::Streams;
use crate::wire;

/// Keys that one call has under way.
const CHAINS_MAX: usize = 1_024;

/// The pause before a message that no stream took is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// What to call this in errors.
const WHAT: &str = "the publication";

/// Publishes to JetStream and awaits its acknowledgements.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    link: Link,
    streams: Streams,
}

impl Publisher {
    pub(crate) fn new(link: Link, streams: Streams) -> Self {
        Self { link, streams }
    }

    /// The outcomes, in the order of the publications.
    pub(crate) async fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> Vec<Result<(), BrokerError>> {
        if let Err(error) = self.link.connected().await {
            return vec![Err(error); publications.len()];
        }
        let faults = self.hold(&publications).await;
        let mut outcomes = vec![Ok(()); publications.len()];
        let (loose, chains) = chains(publications);
        let follow = |chain| self.follow(chain, &faults);
        let chains = futures_util::stream::iter(chains)
            .map(follow)
            .buffer_unordered(CHAINS_MAX)
            .collect::<Vec<_>>();
        let (loose, chains) = futures_util::join!(self.stream(loose, &faults), chains);
        for (index, outcome) in loose.into_iter().chain(chains.into_iter().flatten()) {
            if let Some(place) = outcomes.get_mut(index) {
                *place = outcome;
            }
        }
        outcomes
    }

    /// Sees to a stream for each topic; what is wrong with a topic counts for its messages.
    async fn hold(&self, publications: &[Publication]) -> HashMap<String, BrokerError> {
        let mut faults = HashMap::new();
        let topics: BTreeSet<&str> = publications
            .iter()
            .map(|publication| publication.topic.as_str())
            .collect();
        for topic in topics {
            let held = if names::is_pattern(topic) {
                Err(BrokerError::Refused {
                    what: WHAT,
                    reason: format!("{topic:?} is a pattern: name one topic"),
                })
            } else {
                self.streams.hold(topic).await
            };
            if let Err(error) = held {
                faults.insert(topic.to_owned(), error);
            }
        }
        faults
    }

    /// Messages without a key: sent in order, none waiting until another is stored.
    async fn stream(&self, loose: Chain, faults: &HashMap<String, BrokerError>) -> Outcomes {
        let mut sent = Vec::with_capacity(loose.len());
        for (index, publication) in loose {
            let acknowledgement = match faults.get(&publication.topic) {
                Some(error) => Err(error.clone()),
                None => self.begin(&publication).await,
            };
            sent.push((index, publication, acknowledgement));
        }
        let mut outcomes = Vec::with_capacity(sent.len());
        for (index, publication, acknowledgement) in sent {
            let outcome = match acknowledgement {
                Ok(acknowledgement) => self.end(acknowledgement, publication).await,
                Err(error) => Err(error),
            };
            outcomes.push((index, outcome));
        }
        outcomes
    }

    /// Messages of one key: each is sent when the one before it is stored. JetStream would take them
    /// faster than that, but a connection lost in between would drop one and keep the next.
    async fn follow(&self, chain: Chain, faults: &HashMap<String, BrokerError>) -> Outcomes {
        let mut outcomes = Vec::with_capacity(chain.len());
        let mut failed: Option<BrokerError> = None;
        for (index, publication) in chain {
            let outcome = match (&failed, faults.get(&publication.topic)) {
                (Some(error), _) => Err(held_back(error)),
                (None, Some(error)) => Err(error.clone()),
                (None, None) => self.send(publication).await,
            };
            if failed.is_none() {
                failed = outcome.as_ref().err().cloned();
            }
            outcomes.push((index, outcome));
        }
        outcomes
    }

    async fn send(&self, publication: Publication) -> Result<(), BrokerError> {
        let acknowledgement = self.begin(&publication).await?;
        self.end(acknowledgement, publication).await
    }

    /// Hands a message to the connection.
    async fn begin(&self, publication: &Publication) -> Result<PublishAckFuture, BrokerError> {
        let headers = wire::encode(publication)?;
        let mut message = PublishMessage::build().payload(publication.payload.clone());
        if !headers.is_empty() {
            message = message.headers(headers);
        }
        let topic = publication.topic.clone();
        let begun = self.link.context.send_publish(topic, message).await;
        begun.map_err(|error| self.fault(error))
    }

    /// Awaits the acknowledgement of a message.
    async fn end(
        &self,
        mut acknowledgement: PublishAckFuture,
        publication: Publication,
    ) -> Result<(), BrokerError> {
        let begun = tokio::time::Instant::now();
        loop {
            let Err(error) = acknowledgement.await else {
                return Ok(());
            };
            // Nobody took it: the stream is gone, or not there yet after a start of the server.
            let untaken = error.kind() == PublishErrorKind::StreamNotFound;
            if !untaken || begun.elapsed() >= self.link.options.timeout {
                return Err(self.fault(error));
            }
            self.streams.forget(&publication.topic);
            tokio::time::sleep(PAUSE).await;
            self.streams.hold(&publication.topic).await?;
            acknowledgement = self.begin(&publication).await?;
        }
    }

    fn fault(&self, error: PublishError) -> BrokerError {
        if let Some(said) = said(&error) {
            return refusal(WHAT, said.clone());
        }
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => BrokerError::Refused {
                what: WHAT,
                reason: format!(
                    "{error}: send less, or raise `max_payload` in the server's configuration"
                ),
            },
            PublishErrorKind::StreamNotFound => BrokerError::Unreachable(Arc::new(error)),
            _ => self.link.forbidden.unconfirmed(Arc::new(error)),
        }
    }
}

/// Messages of a call, in order, each with its place there.
type Chain = Vec<(usize, Publication)>;

/// What became of them.
type Outcomes = Vec<(usize, Result<(), BrokerError>)>;

/// Those without a key, and the others by key.
fn chains(publications: Vec<Publication>) -> (Chain, Vec<Chain>) {
    let mut loose = Chain::new();
    let mut chains: Vec<Chain> = Vec::new();
    let mut of_key = HashMap::<String, usize>::new();
    for (index, publication) in publications.into_iter().enumerate() {
        let Some(key) = publication.key.clone() else {
            loose.push((index, publication));
            continue;
        };
        let place = *of_key.entry(key).or_insert(chains.len());
        match chains.get_mut(place) {
            Some(chain) => chain.push((index, publication)),
            None => chains.push(vec![(index, publication)]),
        }
    }
    (loose, chains)
}

/// The error of a message that was not sent because an earlier one of its key failed.
fn held_back(error: &BrokerError) -> BrokerError {
    let text = format!("not sent, since an earlier message of its key failed: {error}");
    BrokerError::Unreachable(Arc::new(std::io::Error::other(text)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_key_is_one_chain_and_messages_without_a_key_are_in_none() {
        let keys = [Some("a"), None, Some("b"), Some("a"), None];
        let publications = keys.map(|key| Publication {
            topic: "orders".to_owned(),
            key: key.map(str::to_owned),
            headers: Vec::new(),
            payload: Bytes::new(),
        });
        let places =
            |chain: &Chain| -> Vec<usize> { chain.iter().map(|(place, _)| *place).collect() };
        let (loose, chains) = chains(publications.to_vec());
        assert_eq!(places(&loose), [1, 4]);
        let chains: Vec<_> = chains.iter().map(places).collect();
        assert_eq!(chains, [vec![0, 3], vec![2]]);
    }
}
