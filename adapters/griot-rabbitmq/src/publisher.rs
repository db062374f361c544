//! Publishes: keys side by side, one message after another within a key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::{StreamExt, future, stream};
use griot_core::{Publication, Timestamp};
use griot_events::BrokerError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::Mutex;

use crate::fault;
use crate::link::Link;
use crate::logs::Logs;
use crate::names;
use crate::wire;

/// Keys that one call has under way.
const KEYS_MAX: usize = 1_024;

/// How often a message that no log took is sent again, after its log was made.
const RETURNS_MAX: usize = 2;

/// What to call this in errors.
const WHAT: &str = "the publication";

/// Publishes on a channel of its own, and awaits the server's confirmations.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    link: Link,
    logs: Logs,
    channel: Arc<Mutex<Option<Channel>>>,
}

/// Messages of a call, in order, each with its place there.
type Line = Vec<(usize, Publication)>;

/// What became of them.
type Outcomes = Vec<(usize, Result<(), BrokerError>)>;

/// What is wrong with a topic.
type Faults = HashMap<String, BrokerError>;

impl Publisher {
    pub(crate) fn new(link: Link, logs: Logs) -> Self {
        let channel = Arc::default();
        Self {
            link,
            logs,
            channel,
        }
    }

    /// The outcomes, in the order of the publications.
    pub(crate) async fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> Vec<Result<(), BrokerError>> {
        let faults = self.prepare(&publications).await;
        let mut outcomes = vec![Ok(()); publications.len()];
        let (loose, keyed) = by_key(publications);
        let keyed = stream::iter(keyed.into_values())
            .map(|line| self.one_by_one(line, &faults))
            .buffer_unordered(KEYS_MAX)
            .collect::<Vec<_>>();
        let (loose, keyed) = future::join(self.at_once(loose, &faults), keyed).await;
        for (place, outcome) in loose.into_iter().chain(keyed.into_iter().flatten()) {
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome;
            }
        }
        outcomes
    }

    /// Sees to a log for each topic; what is wrong with a topic counts for its messages.
    async fn prepare(&self, publications: &[Publication]) -> Faults {
        let topics = publications.iter();
        let topics: BTreeSet<&str> = topics.map(|publication| &*publication.topic).collect();
        let mut faults = Faults::new();
        for topic in topics {
            if let Err(error) = self.prepare_one(topic).await {
                faults.insert(topic.to_owned(), error);
            }
        }
        faults
    }

    async fn prepare_one(&self, topic: &str) -> Result<(), BrokerError> {
        let fault = match names::fault(topic) {
            None if names::is_pattern(topic) => Some("it is a pattern: name one topic"),
            fault => fault,
        };
        match (fault, names::first_word(topic)) {
            (None, Some(word)) => self.logs.keep(word).await,
            (fault, _) => Err(BrokerError::Refused {
                what: WHAT,
                reason: format!("{topic:?}: {}", fault.unwrap_or_default()),
            }),
        }
    }

    /// Messages without a key: sent in order, none waiting until another is stored.
    async fn at_once(&self, loose: Line, faults: &Faults) -> Outcomes {
        let mut sent = Vec::with_capacity(loose.len());
        for (place, publication) in loose {
            let begun = match faults.get(&publication.topic) {
                Some(error) => Err(error.clone()),
                None => self.begin(&publication).await,
            };
            sent.push((place, publication, begun));
        }
        let mut outcomes = Vec::with_capacity(sent.len());
        for (place, publication, begun) in sent {
            let outcome = match begun {
                Ok(confirm) => self.end(confirm, &publication).await,
                Err(error) => Err(error),
            };
            outcomes.push((place, outcome));
        }
        outcomes
    }

    /// Messages of one key: each is sent when the one before it is stored. RabbitMQ would take them
    /// faster, but it may refuse one and store the next.
    async fn one_by_one(&self, line: Line, faults: &Faults) -> Outcomes {
        let mut outcomes = Vec::with_capacity(line.len());
        let mut failed: Option<BrokerError> = None;
        for (place, publication) in line {
            let outcome = match (&failed, faults.get(&publication.topic)) {
                (Some(error), _) => Err(held_back(error)),
                (None, Some(error)) => Err(error.clone()),
                (None, None) => self.send(&publication).await,
            };
            if failed.is_none() {
                failed = outcome.as_ref().err().cloned();
            }
            outcomes.push((place, outcome));
        }
        outcomes
    }

    async fn send(&self, publication: &Publication) -> Result<(), BrokerError> {
        let confirm = self.begin(publication).await?;
        self.end(confirm, publication).await
    }

    /// Hands a message to the connection.
    async fn begin(&self, publication: &Publication) -> Result<PublisherConfirm, BrokerError> {
        let now = Timestamp::from_system(SystemTime::now());
        let properties = wire::encode(publication, now)?;
        let channel = self.channel().await?;
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let begun = channel.basic_publish(
            self.link.options.exchange.as_str().into(),
            publication.topic.as_str().into(),
            mandatory,
            &publication.payload,
            properties,
        );
        let begun = self.link.answer(WHAT, begun).await?;
        begun.map_err(|error| BrokerError::Unknown(Arc::new(error)))
    }

    /// Awaits the confirmation of a message.
    async fn end(
        &self,
        mut confirm: PublisherConfirm,
        publication: &Publication,
    ) -> Result<(), BrokerError> {
        for _ in 0..RETURNS_MAX {
            let confirmed = self.link.answer(WHAT, confirm).await.map_err(unknown)?;
            let confirmed = confirmed.map_err(|error| BrokerError::Unknown(Arc::new(error)))?;
            match confirmed {
                Confirmation::Ack(None) => return Ok(()),
                Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {}
                // Part of the cluster has it, perhaps.
                Confirmation::Nack(None) | Confirmation::NotRequested => {
                    let text = "RabbitMQ could not store the message on enough of its nodes";
                    return Err(BrokerError::Unknown(Arc::new(std::io::Error::other(text))));
                }
            }
            // Returned: somebody has deleted the log, or its binding.
            let word = names::first_word(&publication.topic).unwrap_or_default();
            self.logs.forget(word);
            self.logs.keep(word).await?;
            confirm = self.begin(publication).await?;
        }
        let text = "no log takes the message although there is one: does somebody delete it?";
        Err(BrokerError::Unreachable(Arc::new(std::io::Error::other(
            text,
        ))))
    }

    /// The channel of all publications; a new one where it is gone.
    async fn channel(&self) -> Result<Channel, BrokerError> {
        if let Some(channel) = open(self.channel.lock().await.as_ref()) {
            return Ok(channel);
        }
        // Not while it is locked: without a connection all keys wait at once, not one after another.
        let connection = self.link.connection().await?;
        let mut current = self.channel.lock().await;
        if let Some(channel) = open(current.as_ref()) {
            return Ok(channel);
        }
        let channel = self.link.answer(WHAT, connection.create_channel()).await?;
        let channel = channel.map_err(|error| fault::of(WHAT, error))?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        let confirming = self.link.answer(WHAT, confirming).await?;
        confirming.map_err(|error| fault::of(WHAT, error))?;
        *current = Some(channel.clone());
        Ok(channel)
    }
}

/// A channel that can be published on.
fn open(channel: Option<&Channel>) -> Option<Channel> {
    channel
        .filter(|channel| channel.status().connected())
        .cloned()
}

/// Those without a key, and the others by key.
fn by_key(publications: Vec<Publication>) -> (Line, BTreeMap<String, Line>) {
    let mut loose = Line::new();
    let mut keyed = BTreeMap::<String, Line>::new();
    for (place, publication) in publications.into_iter().enumerate() {
        let line = match &publication.key {
            Some(key) => keyed.entry(key.clone()).or_default(),
            None => &mut loose,
        };
        line.push((place, publication));
    }
    (loose, keyed)
}

/// No answer to a message that is out.
fn unknown(error: BrokerError) -> BrokerError {
    match error {
        BrokerError::Unreachable(cause) => BrokerError::Unknown(cause),
        error => error,
    }
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
    fn a_key_is_one_line_and_messages_without_a_key_are_another() {
        let keys = [Some("a"), None, Some("b"), Some("a"), None];
        let publications = keys.map(|key| Publication {
            topic: "orders".to_owned(),
            key: key.map(str::to_owned),
            headers: Vec::new(),
            payload: Bytes::new(),
        });
        let places = |line: &Line| line.iter().map(|(place, _)| *place).collect::<Vec<_>>();
        let (loose, keyed) = by_key(publications.to_vec());
        assert_eq!(places(&loose), [1, 4]);
        let keyed: Vec<_> = keyed.values().map(places).collect();
        assert_eq!(keyed, [vec![0, 3], vec![2]]);
    }
}
