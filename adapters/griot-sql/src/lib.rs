//! Read models in SQL: a target of `griot-projection` on SQLite, PostgreSQL and MySQL or MariaDB.
//!
//! [`SqlTarget`] is a database, named by a URL, in which projections keep their tables, and other programs may
//! read them in SQL. Handlers are written once: [`SqlConnection`] takes the same statements of `sqlx`
//! everywhere, and [`Sql`] holds a text for each database where they differ. Beside the tables are some of
//! griot's own, which `README.md` describes. It is not a journal.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! use std::sync::Arc;
//! use griot_events::{Failure, Json, Key, Router};
//! use griot_journal::{Journal, MemoryJournal};
//! use griot_projection::{Projection, Runner, Tx};
//! use griot_sql::{Migrations, Sql, SqlTarget};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct ItemAdded { name: String }
//!
//! async fn item_added(
//!     mut tx: Tx<SqlTarget>,
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
//! let items = Sql::new("CREATE TABLE items (cart TEXT NOT NULL, name TEXT NOT NULL)");
//! # let directory = tempfile::tempdir()?;
//! # let url = directory.path().join("read-model.sqlite").display().to_string();
//! let target = SqlTarget::open(&url, Migrations::new("carts", [items])).await?;
//! let router = Router::new().on_event("cart", "ItemAdded", item_added);
//! let items = Projection::new("items", 1, router).with_tables(["items"]);
//!
//! let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
//! let running = Runner::new(journal, target).start(&items).await?;
//! running.drain().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod beside;
mod connection;
mod dialect;
mod fault;
mod inbox;
mod kept;
mod migrations;
mod place;
mod rows;
mod step;
mod target;

pub use connection::{SqlConnection, SqlTransaction};
pub use dialect::{Dialect, Sql};
pub use fault::passes_by_itself;
pub use kept::Kept;
pub use migrations::Migrations;
pub use target::SqlTarget;
