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

use griot_core::Offset;

use crate::{AppendError, Appended, Batch, JournalError};

/// What one batch came to.
pub type Outcome = Result<Appended, AppendError>;

/// What batches came to that were stored one after the other, behind this offset.
pub fn stored<'a>(
    batches: impl IntoIterator<Item = &'a Batch>,
    behind: Offset,
) -> impl Iterator<Item = Outcome> {
    batches.into_iter().scan(behind, |last, batch| {
        let events: usize = batch.appends.iter().map(|append| append.events.len()).sum();
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        *last = Offset(last.get().saturating_add(events));
        Some(Ok(Appended { last_offset: *last }))
    })
}

/// A server, as the committer sees it.
pub trait Store: Send + 'static {
    /// Appends batches in one transaction, in their order, each wholly or not at all, durable before the answer.
    /// Gives the outcome of each, or of those at the front: the others are then given again. No key is in them twice.
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
