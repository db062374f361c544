//! A smoke test from the outside: whether the service behind a broker keeps its promises.
//!
//! It plays some users with ids that nobody else has. Changes of status are published in random order,
//! with repeats and old ones among them, and digests are asked for; what the digests tell is compared
//! with a model that knows what was published.
//!
//! When all changes of a user were heard, a digest can be asked for: the topics of the two are not in
//! order with each other. So the last message of each user in a topic is malformed: messages of one
//! key are handled in order, and when that one is among the dead letters, those before it are done.

mod listening;
mod model;
mod script;

use crate::message::{
    ALARM_STATUS_CHANGED, AlarmStatusChanged, SEND_ALARM_DIGEST, SendAlarmDigest,
};
use griot::events::{Broker, BrokerError, Message, Producer};
use listening::Listening;
use model::Model;
use script::{Round, Script};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How large the smoke test is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Users that are played.
    pub users: usize,
    /// Alarms that each of them has to begin with.
    pub alarms: usize,
    /// How long all of it may take.
    pub within: Duration,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            users: 20,
            alarms: 8,
            within: Duration::from_mins(1),
        }
    }
}

/// Why the smoke test was not passed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The broker could not be subscribed to, or does not take messages.
    #[error("the broker failed: {0}")]
    Broker(#[from] BrokerError),
    /// Something did not come in time.
    #[error("not within {within:?}: {missing}")]
    Missing {
        /// How long it was waited for all in all.
        within: Duration,
        /// What did not come.
        missing: String,
    },
    /// Something came that should not have.
    #[error("{what}: expected {expected}, got {got}")]
    Wrong {
        /// What it is about.
        what: String,
        /// What should have come.
        expected: String,
        /// What came.
        got: String,
    },
}

/// Tries the service behind `broker`: late and repeated messages, digests with exactly what is new,
/// moments to the nanosecond, alarms that come back, and dead letters.
///
/// It leaves the messages of its users in the topics, and a group of consumers that nobody else uses.
///
/// # Errors
///
/// What was missing or wrong. A failure of the broker that passes in time is none.
///
/// # Cancel safety
///
/// Dropped, what was published stays.
pub async fn verify(broker: Arc<dyn Broker>, options: VerifyOptions) -> Result<(), VerifyError> {
    let run = Uuid::now_v7().simple().to_string();
    let listening = Listening::begin(broker.as_ref(), &run, options.within).await?;
    let users =
        (1..=options.users).map(|number| (format!("verify-{run}-{number}"), Played::default()));
    let mut verification = Verification {
        listening,
        producer: Producer::new(broker).with_deadline(options.within),
        users: users.collect(),
        script: Script::new(options.alarms),
    };
    for round in Round::ALL {
        verification.play(round).await?;
    }
    Ok(())
}

struct Verification {
    listening: Listening,
    producer: Producer,
    users: BTreeMap<String, Played>,
    script: Script,
}

/// A user that is played.
#[derive(Default)]
struct Played {
    model: Model,
    published: Vec<AlarmStatusChanged>,
}

impl Verification {
    async fn play(&mut self, round: Round) -> Result<(), VerifyError> {
        let mut messages = Vec::new();
        for (user, Played { model, published }) in &mut self.users {
            let changes = self.script.changes(round, user, model, published);
            for change in &changes {
                model.hear(change);
                messages.push(Message::json(ALARM_STATUS_CHANGED, change)?.key(user));
            }
            published.extend(changes);
        }
        self.say(ALARM_STATUS_CHANGED, messages).await?;
        if !round.asks() {
            return Ok(());
        }
        let mut messages = Vec::new();
        for (user, Played { model, .. }) in &mut self.users {
            self.listening.expect(user, model.digest());
            let user_id = user.clone();
            let asks = SendAlarmDigest { user_id };
            messages.push(Message::json(SEND_ALARM_DIGEST, &asks)?.key(user));
        }
        self.say(SEND_ALARM_DIGEST, messages).await?;
        self.listening.until_told().await
    }

    /// Publishes to a topic, and waits until all of that was handled: until a malformed message of
    /// each user that comes after it is a dead letter.
    async fn say(
        &mut self,
        topic: &'static str,
        messages: Vec<Message>,
    ) -> Result<(), VerifyError> {
        let mut messages = messages;
        for (number, user) in self.users.keys().enumerate() {
            let payload = script::malformed(topic, user, number);
            let id = self.listening.expect_dead(user, &payload);
            messages.push(Message::bytes(topic, payload).key(user).id(id));
        }
        for outcome in self.producer.publish_all(messages).await {
            outcome?;
        }
        self.listening.until_dead(topic).await
    }
}
