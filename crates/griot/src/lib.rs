//! Durable actors: entities that remember everything that happened to them, survive any crash, and
//! can recite how they got where they are.
//!
//! This crate is the face: it gathers what an application needs from `griot-core` (the words),
//! `griot-journal` (where it becomes durable) and `griot-entity` (what runs it). In-memory actors
//! stand in [`actor`]; messages of brokers in `events` (feature `events`); what HTTP services share in
//! `http` (feature `http`); read models in `projection` and `sql` (feature `read-models`).
//!
//! An entity **decides**. Its **events** say what happened; its **effects** say what must happen
//! next. Reply, events and effects become durable in one append, and nothing is visible before that.
//!
//! ```
//! use griot::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Account { balance: i64 }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Ledger { Credited { amount: i64 }, Debited { amount: i64 } }
//! impl Event for Ledger {}
//!
//! impl Entity for Account {
//!     const KIND: &'static str = "account";
//!     type Event = Ledger;
//!     fn evolve(&mut self, event: &Ledger) {
//!         match event {
//!             Ledger::Credited { amount } => self.balance += amount,
//!             Ledger::Debited { amount } => self.balance -= amount,
//!         }
//!     }
//! }
//!
//! #[derive(Serialize)]
//! struct Credit(i64);
//! impl Handle<Credit> for Account {
//!     type Reply = i64;
//!     type Error = Never;
//!     fn decide(&self, Credit(amount): Credit, cx: &mut Cx<Self>) -> Result<i64, Never> {
//!         cx.emit(Ledger::Credited { amount });
//!         Ok(self.balance + amount)
//!     }
//! }
//!
//! #[derive(Serialize)]
//! struct Debit(i64);
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Overdrawn;
//! impl Handle<Debit> for Account {
//!     type Reply = i64;
//!     type Error = Overdrawn;
//!     fn decide(&self, Debit(amount): Debit, cx: &mut Cx<Self>) -> Result<i64, Overdrawn> {
//!         let left = self.balance.checked_sub(amount).filter(|left| *left >= 0).ok_or(Overdrawn)?;
//!         cx.emit(Ledger::Debited { amount });
//!         Ok(left)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let griot = griot::open(directory).await?.entity(Entities::<Account>::new()).start().await?;
//! let alice = griot.entity::<Account>("alice")?;
//! alice.ask(Credit(10)).await?;
//! assert_eq!(alice.ask(Debit(7)).key("rent-may").await, Ok(3));
//! assert_eq!(alice.ask(Debit(7)).key("rent-may").await, Ok(3)); // asked again: the same answer
//! assert_eq!(alice.ask(Debit(7)).await, Err(AskError::Rejected(Overdrawn)));
//! assert_eq!(griot.history::<Account>("alice", SeqRange::ALL).await?.len(), 2);
//! # griot.drain(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "events")]
pub mod events;
#[cfg(feature = "http")]
pub mod http;
pub mod journals;

use std::path::PathBuf;

use griot_journal::JournalError;

pub use griot_actor as actor;
pub use griot_core as core;
pub use griot_entity::{
    Ask, AskError, Asking, CallContext, CallError, CallPolicy, Clock, Drained, Entities,
    EntityError, EntityRef, Griot, GriotBuilder, Limits, Moment, Publish, PublishError,
};
pub use griot_journal as journal;
#[cfg(feature = "read-models")]
pub use griot_projection as projection;
#[cfg(feature = "read-models")]
pub use griot_sql as sql;

/// Begins with the journal and the snapshots in `directory`, which is made where it is missing. [`journals::open`]
/// opens those that a URL names.
///
/// # Errors
///
/// What [`EmbeddedLog::open`](journal::EmbeddedLog::open) and
/// [`EmbeddedSnapshots::open`](journal::EmbeddedSnapshots::open) say: a directory that another process has, that cannot be written, or whose log does not check out. [`JournalError::Missing`] also
/// where there are snapshots of entities, and no log or one without a single event.
pub async fn open(directory: impl Into<PathBuf>) -> Result<GriotBuilder, JournalError> {
    let journals::Opened {
        journal, snapshots, ..
    } = journals::open(journals::EMBEDDED, &directory.into()).await?;
    Ok(Griot::builder(journal, snapshots))
}

/// What most programs use.
pub mod prelude {
    pub use griot_core::{
        Call, CallFailed, CoreError, Cx, DurableCommand, EffectId, Entity, EntityId, Event, Handle,
        Never, Offset, Outcome, Seq, Timestamp,
    };
    pub use griot_entity::{
        AskError, CallContext, CallError, CallPolicy, Clock, Drained, Entities, EntityError,
        EntityRef, Griot, GriotBuilder, Limits, Moment,
    };
    pub use griot_journal::{Journal, JournalError, SeqRange, SnapshotStore};
}
