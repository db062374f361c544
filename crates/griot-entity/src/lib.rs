//! Entities on a journal.
//!
//! A [`Griot`] runs kinds of entities. Each kind has a fixed number of shards; a shard decides
//! commands at once on the state as it will be, and releases each reply when the append that holds
//! its events and effects is durable. Effects (calls, timers, messages) are performed at least
//! once, under a stable key, until they have an outcome.
//!
//! What is promised, with the names the tests bear: an acknowledged command survives kill -9 (G1);
//! an entity's events have no gap and no duplicate (G2); a command repeated with its key has one
//! effect and one answer (G3); a stale writer is fenced (G4); an outcome is known or `Unknown`
//! (G5); a recorded effect is performed until it has an outcome, and never after (G6); a drain ends
//! within its deadline (G9); everything has a limit with a name (G10, [`Limits`]).
//!
//! ```
//! use griot_core::{Cx, Entity, Event, Handle, Never};
//! use griot_entity::{Entities, Griot};
//! use griot_journal::MemoryJournal;
//! use serde::{Deserialize, Serialize};
//! use std::sync::Arc;
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter { total: u64 }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Counted { Added { amount: u64 } }
//! impl Event for Counted {}
//!
//! impl Entity for Counter {
//!     const KIND: &'static str = "counter";
//!     type Event = Counted;
//!     fn evolve(&mut self, Counted::Added { amount }: &Counted) { self.total += amount }
//! }
//!
//! #[derive(Serialize)]
//! struct Add(u64);
//! impl Handle<Add> for Counter {
//!     type Reply = u64;
//!     type Error = Never;
//!     fn decide(&self, Add(amount): Add, cx: &mut Cx<Self>) -> Result<u64, Never> {
//!         cx.emit(Counted::Added { amount });
//!         Ok(self.total + amount)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let journal = Arc::new(MemoryJournal::new());
//! let griot = Griot::builder(journal.clone(), journal)
//!     .entity(Entities::<Counter>::new())
//!     .start()
//!     .await?;
//! let visits = griot.entity::<Counter>("visits")?;
//! assert_eq!(visits.ask(Add(2)).key("first").await?, 2);
//! assert_eq!(visits.ask(Add(2)).key("first").await?, 2); // the same answer, no second effect
//! assert_eq!(visits.read(|state, _| state.total).await?, 2);
//! # Ok(())
//! # }
//! ```

mod batch;
mod clock;
mod delivery;
mod effects;
mod entities;
mod entity_ref;
mod error;
mod forgotten;
mod gathering;
mod health;
mod history;
mod keys;
mod kind;
mod limits;
mod metrics;
mod recovery;
mod router;
mod runtime;
mod shard;
mod slot;
mod starting;
mod table;

pub use clock::Clock;
pub use effects::call::{CallContext, CallError, CallPolicy};
pub use effects::publishing::{Publish, PublishError};
pub use entities::Entities;
pub use entity_ref::{Ask, Asking, EntityRef};
pub use error::{AskError, EntityError};
pub use history::Moment;
pub use limits::Limits;
pub use runtime::{Drained, Griot, GriotBuilder};
