//! Read models, kept by projections: events of a journal, or messages of a broker's topics, go to handlers that write
//! tables.
//!
//! A [`Projection`] has a name, a version and a [`Router`](griot_events::Router): its handlers are those
//! of `griot-events`, and ask for the transaction that they write in with [`Tx`]. A [`Target`] is where
//! the tables are; adapters bring one for each database. A [`Runner`] gives events to the handlers and
//! stores in the same transaction how far it came, so that the tables show each event exactly once. A
//! handler that writes elsewhere, and asks for no `Tx`, is run at least once.
//!
//! A [`Listener`] does the same with the messages of a broker's topics, each of which is shown once, too: the ids of
//! what was handled are kept in the same transactions.
//!
//! A service runs its projection by a [`Keeper`], which stands by while another instance has it.
//!
//! [`ReadModel`] is what everybody else holds: it waits for a write, pauses, resumes, tries a parked
//! entity again, and tells the lag. A [`Rebuild`] makes the tables anew beside the live ones, compares
//! them, and swaps.
//!
//! This crate knows no SQL and no database.
//!
//! ```
//! use griot_events::{Failure, Json, Key, Router};
//! use griot_projection::{Projection, Target, Tx};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct ItemAdded { name: String }
//!
//! async fn item_added<T: Target>(
//!     mut tx: Tx<T>,
//!     Key(cart): Key<String>,
//!     Json(added): Json<ItemAdded>,
//! ) -> Result<(), Failure> {
//!     // sqlx::query("INSERT INTO items (cart, name) VALUES (?, ?)")
//!     //     .bind(cart).bind(added.name).execute(&mut *tx).await?;
//!     Ok(())
//! }
//!
//! fn items<T: Target>() -> Projection<T> {
//!     let router = Router::new().on_event("cart", "ItemAdded", item_added::<T>);
//!     Projection::new("items", 1, router)
//! }
//! ```

mod attempt;
mod caller;
mod error;
mod group;
mod heard;
mod hearing;
mod keeper;
mod listener;
mod mark;
mod metrics;
mod pages;
mod parked;
mod projection;
mod read_model;
mod reading;
mod rebuild;
mod runner;
mod scope;
mod standing;
mod stored;
mod target;
mod worker;

pub use error::{Cause, ProjectionError};
pub use keeper::Keeper;
pub use listener::{Listener, ListenerLimits, Listening};
pub use mark::Mark;
pub use projection::{Limits, Poison, Projection};
pub use read_model::{Lag, ReadModel};
pub use reading::Happened;
pub use rebuild::{Comparison, Progress, Rebuild};
pub use runner::{Runner, Running};
pub use scope::{Phase, Recorded, Scope, Tx};
pub use standing::{Asked, Parked, Slice, Standing, State};
pub use target::{Fault, RebuildTarget, Target};
