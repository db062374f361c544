//! Read models in SQLite: a target of `griot-projection`.
//!
//! [`SqliteTarget`] is one file in which projections keep their tables, and other programs may read them
//! in SQL. Beside them are two tables of griot's own: `griot_projections` says where each projection
//! stands, `griot_parked` which entities wait. It is not a journal.
//!
//! The file is in WAL mode, so that readers and the writer do not wait for each other, with
//! `synchronous = NORMAL`: after a power cut the last transactions may be gone as a whole, tables and
//! places together, and the projection makes them again from its journal.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! use std::sync::Arc;
//! use griot_events::{Failure, Json, Key, Router};
//! use griot_journal::{Journal, MemoryJournal};
//! use griot_projection::{Projection, Runner, Tx};
//! use griot_sqlite::{SqliteTarget, migrations};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct ItemAdded { name: String }
//!
//! async fn item_added(
//!     mut tx: Tx<SqliteTarget>,
//!     Key(cart): Key<String>,
//!     Json(added): Json<ItemAdded>,
//! ) -> Result<(), Failure> {
//!     sqlx::query("INSERT INTO items (cart, name) VALUES (?, ?)")
//!         .bind(cart)
//!         .bind(added.name)
//!         .execute(&mut *tx)
//!         .await?;
//!     Ok(())
//! }
//!
//! let schema = migrations(&["CREATE TABLE items (cart TEXT NOT NULL, name TEXT NOT NULL)"]);
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("read-model.sqlite");
//! let target = SqliteTarget::open(&path, schema).await?;
//! let router = Router::new().on_event("cart", "ItemAdded", item_added);
//! let items = Projection::new("items", 1, router).with_tables(["items"]);
//!
//! let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
//! let running = Runner::new(journal, target).start(&items).await?;
//! running.drain().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod beside;
mod rows;
mod schema;
mod target;

pub use schema::migrations;
pub use target::SqliteTarget;
