//! Apache Cassandra as a journal of griot, and as its store of snapshots.
//!
//! [`CassandraJournal`] keeps the contracts of `griot-journal` in one keyspace, for any number of processes and
//! journals. It asks no more of Cassandra than that: single rows, written under a condition (lightweight transactions)
//! or under timestamps of its own; no transaction over several, no lock, no clock.
//!
//! The journal is one log of numbered steps. Whoever appends judges its batches by what the log says up to its last
//! step, and puts them into the next place if nobody else was faster. The tables that are read are carried over from the
//! log, under the steps' numbers as timestamps, so that whoever finds this undone may do it, and may do it twice. What
//! that means for each promise stands in the README of this crate.
//!
//! ```no_run
//! use griot_cassandra::CassandraJournal;
//! use griot_journal::{Journal, ShardId};
//!
//! # async fn example() -> Result<(), griot_journal::JournalError> {
//! let journal = CassandraJournal::connect("cassandra://ann:secret@one.example,two.example/shop").await?;
//! let epoch = journal.claim(&ShardId { kind: "account".into(), number: 0 }).await?;
//! println!("this process owns account#0 under epoch {epoch}");
//! journal.close().await;
//! # Ok(())
//! # }
//! ```

mod archive;
mod body;
mod carry;
mod chain;
mod error;
mod journal;
mod judge;
mod link;
mod options;
mod read;
mod schema;
mod snapshots;
mod statements;
mod steps;
mod stored;
mod tail;

pub use error::CassandraError;
pub use journal::CassandraJournal;
pub use options::{Agreement, CassandraOptions, Replication};
