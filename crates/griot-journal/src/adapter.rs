//! What journals over a server have in common, for those who write an [adapter](crate::Journal); whoever uses a
//! journal needs none of it.
//!
//! A [`Committer`] takes all batches that wait, has a [`Store`] put them away as one group, and answers each. A
//! [`Tip`] says how far the journal is, also where other processes write it.

mod committer;
mod load;
mod tip;

use std::future::Future;

pub use committer::Committer;
pub use tip::Tip;

use crate::{AppendError, Appended, Batch, JournalError};

/// What one batch came to.
pub type Outcome = Result<Appended, AppendError>;

/// A server, as the committer sees it.
pub trait Store: Send + 'static {
    /// Appends batches in one transaction, in their order, each wholly or not at all, durable before the answer.
    /// Gives the outcome of each, or of those at the front: the others are then given again.
    ///
    /// # Errors
    ///
    /// A [`Fault`] where there is no outcome for any of them.
    fn append(
        &mut self,
        batches: &[&Batch],
    ) -> impl Future<Output = Result<Vec<Outcome>, Fault>> + Send;
}

/// Why a server gave no answer.
#[derive(Debug)]
pub enum Fault {
    /// Nothing was asked: there is no connection.
    NotAsked(JournalError),
    /// The server refused, and took back what it had begun.
    Refused(JournalError),
    /// It may or may not have been done.
    Unknown(JournalError),
}

impl From<Fault> for JournalError {
    fn from(fault: Fault) -> Self {
        let (Fault::NotAsked(error) | Fault::Refused(error) | Fault::Unknown(error)) = fault;
        error
    }
}

impl From<Fault> for AppendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotAsked(error) | Fault::Refused(error) => Self::Refused(error),
            Fault::Unknown(error) => Self::Unknown(error),
        }
    }
}
