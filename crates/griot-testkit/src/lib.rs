//! The suites that every journal, snapshot store and broker of griot passes, for you to run against yours,
//! a simulated disk that fails in every way a disk can, a network to disturb, what a test of its own does
//! with a broker ([`probe`]), and what a test's thread logs. For entities: [`EventsLock`] and [`refold`], by
//! which what was recorded stays readable.
//!
//! A journal's tests are one macro call per suite; each case is a test of its own, whose name is
//! the promise it checks:
//!
//! ```
//! use std::sync::Arc;
//! use griot_journal::{Journal, MemoryJournal};
//! use griot_testkit::JournalFactory;
//!
//! struct InMemory;
//! impl JournalFactory for InMemory {
//!     async fn open(&self) -> Arc<dyn Journal> {
//!         Arc::new(MemoryJournal::new())
//!     }
//! }
//!
//! griot_testkit::journal_read_suite!(InMemory);
//! griot_testkit::journal_append_suite!(InMemory);
//! griot_testkit::journal_tail_suite!(InMemory);
//! ```
//!
//! It is not a place for doubles: what can be run is run.

#[cfg(feature = "tls")]
mod authority;
pub mod broker;
mod disk;
mod events_lock;
mod factory;
pub mod journal;
mod logs;
mod port;
pub mod probe;
pub mod projection;
mod relay;
mod services;
mod setting;
mod shape;
mod small_disk;
pub mod snapshots;
mod streams;
#[cfg(feature = "toxiproxy")]
mod toxiproxy;

#[cfg(feature = "tls")]
pub use authority::{Authority, Clients};
pub use disk::{Fault, PowerCut, SimDisk};
pub use events_lock::EventsLock;
pub use factory::{
    ArchiveFactory, BrokerFactory, BrokerNetwork, BrokerServer, End, JournalFactory, LATE,
    SnapshotFactory, Trouble, Way, run,
};
pub use logs::Logs;
pub use port::free_address;
pub use relay::{Network, Relay};
pub use services::{OwnServer, Services};
pub use setting::setting;
pub use small_disk::SmallDisk;
pub use streams::refold;
#[cfg(feature = "toxiproxy")]
pub use toxiproxy::{ToxicBroker, ToxicProxy};
