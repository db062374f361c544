//! The words a user implements: [`Entity`], [`Event`] and [`Handle`].

use std::fmt;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Cx, Upcast};

/// Something that happened to an entity, in the past tense: `OrderPlaced`.
///
/// A plain serde enum will do: each event is recorded under the name of its variant, and its
/// payload is the variant's content as JSON. A struct is recorded under its own name. A field may be
/// serialised more than once for one record, and must give the same each time.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of the payload's shape that is written today, stored with each event. The test helper
    /// `griot_testkit::EventsLock` notices a shape that changed without a new one.
    fn version(&self) -> u16 {
        1
    }

    /// Leads an event of an older shape, or of a name that is no more, one step on towards today's; it is
    /// called again until it changes nothing. A new shape is a normal day: raise the [version](Event::version),
    /// and say here what makes the new shape of the one before.
    ///
    /// ```
    /// # use griot_core::{Event, Upcast};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// enum Ledger { Paid { cents: i64, currency: String } }
    ///
    /// impl Event for Ledger {
    ///     fn version(&self) -> u16 {
    ///         match self { Self::Paid { .. } => 2 }
    ///     }
    ///     fn upcast(event: Upcast<'_>) -> Upcast<'_> {
    ///         match (event.name(), event.version()) {
    ///             ("Debited", 1) => event.renamed("Paid", 1),
    ///             ("Paid", 1) => event.to(2, |paid| paid["currency"] = "EUR".into()),
    ///             _ => event,
    ///         }
    ///     }
    /// }
    /// # let read: Ledger = griot_core::read_event("Debited", 1, br#"{"cents":7}"#)?;
    /// # let Ledger::Paid { currency, .. } = read;
    /// # assert_eq!(currency, "EUR");
    /// # Ok::<(), griot_core::CoreError>(())
    /// ```
    fn upcast(event: Upcast<'_>) -> Upcast<'_> {
        event
    }

    /// Words to find this event by when the journal is read across entities.
    fn tags(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A thing with an identity that decides by its own state, and remembers by events.
///
/// The type itself is the state. It is serialisable so that it can be kept as a snapshot and
/// shown to people; a snapshot is only ever a cache.
#[doc(alias = "aggregate")]
pub trait Entity: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind, the first half of the name `kind/id`. Stored; never change it.
    const KIND: &'static str;

    /// The version of the state's shape and of [`evolve`](Entity::evolve). Raise it when either
    /// changes: snapshots made under another number are passed over and the events replayed.
    const FOLD: u32 = 1;

    /// What can happen to it.
    type Event: Event;

    /// Takes an event into the state. Pure: no clock, no randomness, no I/O, and never a refusal,
    /// for what happened, happened.
    fn evolve(&mut self, event: &Self::Event);
}

/// An entity's decision on commands of the type `C`.
pub trait Handle<C>: Entity {
    /// What the asker gets. It is recorded where the command carries a key.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// Why a command is rejected; [`Never`] if it cannot be.
    type Error: Serialize + DeserializeOwned + Send + 'static;

    /// Decides: returns the reply, and puts events and effects into `cx`.
    ///
    /// Pure: time and names come from `cx`. The state is as it will be once everything decided
    /// before is durable. What was put into `cx` by a command that is then rejected is discarded.
    ///
    /// # Errors
    ///
    /// The domain's own reason to reject the command. Nothing happens then.
    fn decide(&self, command: C, cx: &mut Cx<Self>) -> Result<Self::Reply, Self::Error>;
}

/// The error of a command that is never rejected. It has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Never {}

impl Serialize for Never {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("a value of the type Never cannot exist"))
    }
}
