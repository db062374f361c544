//! What comes back: digests and dead letters of the users that are played.

use super::VerifyError;
use crate::{ALARM_DIGEST, ALARM_STATUS_CHANGED, ActiveAlarm, AlarmDigest, SEND_ALARM_DIGEST};
use griot::events::{
    Broker, BrokerError, DEAD_LETTER_MESSAGE_ID, DEAD_LETTER_REASON, Delivery, Event, Incoming,
    Order, Source, Subscription, dead_letter_topic,
};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// Messages that are taken in at a time.
const IN_FLIGHT_MAX: usize = 1_000;

/// What is waited for, and what has come.
pub(super) struct Listening {
    source: Box<dyn Source>,
    end: Instant,
    within: Duration,
    /// Messages that were taken in: the broker may deliver them again.
    seen: HashSet<String>,
    /// Malformed messages that are no dead letters yet, by their ids: whose they are, and the payload.
    malformed: BTreeMap<String, (String, String)>,
    digests: BTreeMap<String, Digests>,
}

/// What all digests of a user should tell together, and what they told.
#[derive(Default)]
struct Digests {
    expected: Vec<String>,
    told: Vec<String>,
}

impl Listening {
    /// Begins, before anything is published.
    pub(super) async fn begin(
        broker: &dyn Broker,
        run: &str,
        within: Duration,
    ) -> Result<Self, VerifyError> {
        let end = Instant::now() + within;
        // A group that is new gets all there ever was: what is of other users is passed over.
        let subscription = Subscription {
            topics: vec![
                ALARM_DIGEST.to_owned(),
                dead_letter_topic(ALARM_STATUS_CHANGED),
                dead_letter_topic(SEND_ALARM_DIGEST),
            ],
            group: format!("alarms-verify-{run}"),
            in_flight_max: IN_FLIGHT_MAX,
            order: Order::PerKey,
        };
        let source = broker.subscribe(subscription).await?;
        Ok(Self {
            source,
            end,
            within,
            seen: HashSet::new(),
            malformed: BTreeMap::new(),
            digests: BTreeMap::new(),
        })
    }

    /// The next digests of `user` should tell of these alarms, in this order.
    pub(super) fn expect(&mut self, user: &str, alarms: Vec<ActiveAlarm>) {
        let digests = self.digests.entry(user.to_owned()).or_default();
        digests.expected.extend(alarms.iter().map(line));
    }

    /// A malformed message of `user` with this payload will be among the dead letters; gives the id
    /// to publish it with.
    pub(super) fn expect_dead(&mut self, user: &str, payload: &str) -> String {
        let id = Uuid::now_v7().to_string();
        let malformed = (user.to_owned(), payload.to_owned());
        self.malformed.insert(id.clone(), malformed);
        id
    }

    /// Waits for all malformed messages that were published to `topic`.
    pub(super) async fn until_dead(&mut self, topic: &str) -> Result<(), VerifyError> {
        let published = self.malformed.len();
        while let Some((user, payload)) = self.malformed.values().next() {
            let (missing, dead) = (self.malformed.len(), dead_letter_topic(topic));
            let missing = format!(
                "{missing} of {published} malformed messages published to {topic} did not come to {dead}, \
                 such as {payload} of {user}: is a service for alarms running on this broker?"
            );
            self.listen(missing).await?;
        }
        Ok(())
    }

    /// Waits until the digests told all that is expected, and nothing else: digests of a user come in
    /// order, so that one too many shows where the next is expected.
    pub(super) async fn until_told(&mut self) -> Result<(), VerifyError> {
        loop {
            let wrong = |digests: &Digests| !digests.expected.starts_with(&digests.told);
            if let Some((user, digests)) = self.digests.iter().find(|(_, digests)| wrong(digests)) {
                return Err(VerifyError::Wrong {
                    what: format!("what all digests of {user} told of"),
                    expected: format!("{:?}", digests.expected),
                    got: format!("{:?}", digests.told),
                });
            }
            let missing = |digests: &Digests| digests.told.len() < digests.expected.len();
            let Some((user, digests)) = self.digests.iter().find(|(_, digests)| missing(digests))
            else {
                return Ok(());
            };
            let rest: Vec<_> = digests.expected.iter().skip(digests.told.len()).collect();
            let missing = format!("the digest of {user} that tells of {rest:?}");
            self.listen(missing).await?;
        }
    }

    /// Takes in the next message.
    async fn listen(&mut self, missing: String) -> Result<(), VerifyError> {
        let within = self.within;
        let next = timeout_at(self.end, self.source.next()).await;
        match next.map_err(|_| VerifyError::Missing { within, missing })? {
            Some(Ok(Incoming::Delivery(Delivery { event, receipt }))) => {
                self.hear(&event)?;
                // One that comes again is passed over.
                let _ = receipt.ack().await;
                Ok(())
            }
            Some(Ok(Incoming::Revoked { released, .. })) => {
                // Nothing is under way.
                let _ = released.send(());
                Ok(())
            }
            Some(Err(BrokerError::Unreachable(_) | BrokerError::Unknown(_))) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Err(BrokerError::Closed.into()),
        }
    }

    fn hear(&mut self, event: &Event) -> Result<(), VerifyError> {
        if !self.seen.insert(event.id()) {
            return Ok(());
        }
        if event.topic() == ALARM_DIGEST {
            let digest: Result<AlarmDigest, _> = serde_json::from_slice(event.payload());
            // One that is no digest is somebody else's.
            if let Ok(AlarmDigest {
                user_id,
                active_alarms,
            }) = digest
                && let Some(digests) = self.digests.get_mut(&user_id)
            {
                digests.told.extend(active_alarms.iter().map(line));
            }
            return Ok(());
        }
        let id = event.headers().get(DEAD_LETTER_MESSAGE_ID);
        let Some((user, payload)) = id.and_then(|id| self.malformed.remove(id)) else {
            return Ok(());
        };
        let reason = event.headers().get(DEAD_LETTER_REASON).unwrap_or_default();
        if reason.is_empty() || event.payload() != payload.as_bytes() {
            return Err(VerifyError::Wrong {
                what: format!("the dead letter of {user} in {}", event.topic()),
                expected: format!("{payload} and a reason"),
                got: format!(
                    "{} and {reason:?}",
                    String::from_utf8_lossy(event.payload())
                ),
            });
        }
        Ok(())
    }
}

/// An alarm in a digest, with its moment as it was written.
fn line(alarm: &ActiveAlarm) -> String {
    let ActiveAlarm {
        alarm_id,
        status,
        latest_changed_at,
    } = alarm;
    format!("{alarm_id} {status:?} since {latest_changed_at}")
}
