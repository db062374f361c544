//! MySQL or MariaDB as a journal of griot, and as its store of snapshots.
//!
//! [`MysqlJournal`] keeps the contracts of `griot-journal` in one database. It is not a mapper of objects to tables:
//! it appends, reads, fences and follows, and makes the tables and procedures that takes. They, and why the tail
//! has no gaps, stand in the README of this crate.
//!
//! ```no_run
//! use griot_journal::{Journal, ShardId};
//! use griot_mysql::MysqlJournal;
//!
//! # async fn example() -> Result<(), griot_journal::JournalError> {
//! let journal = MysqlJournal::connect("mysql://ann:secret@db.example/shop").await?;
//! let epoch = journal.claim(&ShardId { kind: "account".into(), number: 0 }).await?;
//! println!("this process owns account#0 under epoch {epoch}");
//! journal.close().await;
//! # Ok(())
//! # }
//! ```

mod archive;
mod error;
mod group;
mod journal;
mod link;
mod options;
mod read;
mod schema;
mod snapshots;
mod wire;

pub use error::MysqlError;
pub use journal::MysqlJournal;
pub use options::MysqlOptions;
