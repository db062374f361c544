//! PostgreSQL as a journal of griot, and as its store of snapshots.
//!
//! [`PostgresJournal`] keeps the contracts of `griot-journal` in a schema of one database. It is not a mapper of
//! objects to tables: it appends, reads, fences and follows, and makes the tables and functions that takes. They,
//! and why the tail has no gaps, stand in the README of this crate.
//!
//! ```no_run
//! use griot_journal::{Journal, ShardId};
//! use griot_postgres::PostgresJournal;
//!
//! # async fn example() -> Result<(), griot_journal::JournalError> {
//! let journal = PostgresJournal::connect("postgres://ann:secret@db.example/shop?schema=griot").await?;
//! let epoch = journal.claim(&ShardId { kind: "account".into(), number: 0 }).await?;
//! println!("this process owns account#0 under epoch {epoch}");
//! journal.close().await;
//! # Ok(())
//! # }
//! ```

mod archive;
mod columns;
mod error;
mod group;
mod journal;
mod link;
mod listener;
mod options;
mod read;
mod schema;
mod snapshots;
mod text;

pub use error::PostgresError;
pub use journal::PostgresJournal;
pub use options::PostgresOptions;
