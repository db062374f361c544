//! The vocabulary of griot: what an entity is, what it decides, and how that is written down.
//!
//! An [`Entity`] **decides**: a command goes in, and out come a reply, **events** that say what
//! happened, and **effects** that say what must happen next. This crate holds those words and the
//! pure functions behind them. It knows no runtime, no files, no clock: `griot-journal` stores what
//! stands here, `griot-entity` runs it.
//!
//! ```
//! use griot_core::{Cx, Entity, EntityId, Event, Handle, Never, Seq, Timestamp};
//! use serde::{Deserialize, Serialize};
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
//!     fn evolve(&mut self, event: &Counted) {
//!         match event { Counted::Added { amount } => self.total += amount }
//!     }
//! }
//!
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
//! let id = EntityId::new("counter", "visits")?;
//! let mut cx = Cx::new(id, Seq::ZERO, Timestamp::from_micros(0));
//! assert_eq!(Counter::default().decide(Add(2), &mut cx), Ok(2));
//! assert_eq!(cx.into_decision().events.len(), 1);
//! # Ok::<(), griot_core::CoreError>(())
//! ```

pub mod codec;
mod context;
mod effect;
mod entity;
mod error;
mod id;
mod time;
mod upcast;

pub use context::{Cx, Decision};
pub use effect::{
    Call, CallFailed, DurableCommand, Effect, EffectId, EffectRecord, Outcome, Publication,
};
pub use entity::{Entity, Event, Handle, Never};
pub use error::CoreError;
pub use id::{EntityId, Epoch, Offset, Seq, shard_of, stable_hash};
pub use time::Timestamp;
pub use upcast::{Upcast, read_event, upcast_event};
