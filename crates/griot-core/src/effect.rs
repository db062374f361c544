//! What must happen next: the effects an entity's decision records beside its events.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{EntityId, Seq, Timestamp};

/// Work outside the entity, described as data so that it survives a crash.
///
/// The async function that does it is registered with the runtime under [`Call::NAME`]. It runs at
/// least once, under a key that stays the same across retries and restarts, until it has an outcome.
pub trait Call: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name it is recorded under. Stored; keep it.
    const NAME: &'static str;
    /// What a completed call gives. An expected refusal (a declined payment) belongs in here too.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}

/// A command that can be written down: as a durable timer, or as a message to another entity.
pub trait DurableCommand: Serialize + DeserializeOwned + Send + 'static {
    /// The name it is recorded under. Stored; keep it.
    const NAME: &'static str;
}

/// How a call ended, as the command that brings it back to its entity: implement
/// [`Handle`](crate::Handle)`<Outcome<C>>` for every call `C` that the entity makes.
#[derive(Debug)]
pub struct Outcome<C: Call> {
    /// The call, as it was recorded.
    pub call: C,
    /// Which effect it was.
    pub effect: EffectId,
    /// What came of it.
    pub result: Result<C::Output, CallFailed>,
}

/// Why a call ended without its output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailed {
    /// The function said that trying again cannot help.
    #[error("refused: {reason}")]
    Refused {
        /// In its words.
        reason: String,
    },
    /// It failed again and again until its policy's time was up. It may have run.
    #[error("gave up after {attempts} attempts: {reason}")]
    GaveUp {
        /// What the last attempt said.
        reason: String,
        /// How often it was tried since the program started.
        attempts: u32,
    },
}

/// The stable name of an effect within its entity: the entity's sequence when it was recorded, and
/// a number that counts the effects recorded at that sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    /// The entity's sequence when it decided, before the decision's own events.
    pub seq: Seq,
    /// Which effect at that sequence, from 0.
    pub n: u32,
}

impl EffectId {
    /// The key that stays the same across retries and restarts: `kind/id:seq:n`.
    pub fn key(self, entity: &EntityId) -> String {
        format!("{entity}:{self}")
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.seq, self.n)
    }
}

/// An effect as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Run the function registered under `name`; its outcome comes back as a command.
    Call {
        /// [`Call::NAME`].
        name: Cow<'static, str>,
        /// The call as JSON.
        payload: Bytes,
    },
    /// Give the entity this command once the time has come.
    Timer {
        /// When.
        due: Timestamp,
        /// [`DurableCommand::NAME`].
        name: Cow<'static, str>,
        /// The command as JSON.
        payload: Bytes,
    },
    /// Give another entity this command, once.
    Message {
        /// Whom.
        to: EntityId,
        /// [`DurableCommand::NAME`].
        name: Cow<'static, str>,
        /// The command as JSON.
        payload: Bytes,
    },
    /// Publish to a topic.
    Publication(Publication),
}

impl Effect {
    /// The name of its kind, by which concurrency is bounded and metrics are labelled: the call's
    /// or command's name, or the topic.
    pub fn name(&self) -> &str {
        match self {
            Self::Call { name, .. } | Self::Timer { name, .. } | Self::Message { name, .. } => name,
            Self::Publication(publication) => &publication.topic,
        }
    }
}

/// A message for a topic, recorded with the decision that wants it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication<P = Bytes> {
    /// The topic.
    pub topic: String,
    /// Messages of one key keep their order; the entity's name unless said otherwise.
    pub key: Option<String>,
    /// Text that goes beside the payload.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: P,
}

/// An effect and its name within its entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRecord {
    /// Its name.
    pub id: EffectId,
    /// What it is.
    pub effect: Effect,
}
