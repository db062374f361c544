//! What can go wrong with a journal, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use griot_core::{EntityId, Epoch, Seq};

use crate::{Answer, ShardId};

/// An error of a journal or a snapshot store. Cheap to clone, since one failed sync is told to many.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process has the directory open.
    #[error(
        "{} is in use by another process: stop it, or choose another data directory",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Stored bytes do not check out. Nothing is skipped; opening is refused.
    #[error(
        "{} is damaged at byte {position}: {reason}; restore it from a backup, nothing was changed",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        position: u64,
        /// What does not check out.
        reason: String,
    },
    /// There was a log here, and it is gone. Opening is refused: an empty log would hide what was lost.
    #[error(
        "the log in {} is gone, though there was one: restore the whole directory from a backup, or \
         choose another one to begin anew",
        path.display()
    )]
    Missing {
        /// The data directory.
        path: PathBuf,
    },
    /// A newer griot wrote this.
    #[error(
        "{} was written in format {found}, and this program reads up to {supported}: use a newer griot",
        path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// What this program knows.
        supported: u32,
    },
    /// There is no space left; nothing was stored. It works again once there is.
    #[error("no space left in {}: make room and try again", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// A sync failed, so what is on the disk is not known any more. Open the journal anew.
    #[error(
        "an earlier write or sync failed ({reason}): the journal takes no more until it is opened anew"
    )]
    Poisoned {
        /// What failed.
        reason: String,
    },
    /// More waits for the disk than the journal holds. Nothing was stored.
    #[error("{waiting} batches wait for the disk already: try again in a moment")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The operating system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: Arc<io::Error>,
    },
    /// An append or a snapshot is larger than the store takes.
    #[error("{what} of {bytes} bytes is over the limit of {limit} bytes: make it smaller")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The journal's store does not answer. What was asked may be asked again; it may have happened.
    #[error("the journal's store cannot be reached: {0}")]
    Unreachable(Arc<dyn std::error::Error + Send + Sync>),
    /// One batch carries one key of one entity twice.
    #[error(
        "one batch carries the key {key:?} of an entity twice: answer the second from the first"
    )]
    RepeatedKey {
        /// Which.
        key: String,
    },
    /// A batch of the shard before this one has an unknown outcome, and this one would overtake it.
    #[error(
        "an earlier batch of the shard {shard} has an unknown outcome: claim it anew and recover"
    )]
    Overtaking {
        /// Which.
        shard: ShardId,
    },
    /// Something that this journal's own backend says.
    #[error("the journal's store failed: {0}")]
    Store(Arc<dyn std::error::Error + Send + Sync>),
}

/// Why a batch was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An entity is not at the sequence that an append expected: somebody else wrote it. Nothing is
    /// stored. Recover the entity.
    #[error(
        "{entity} is at sequence {actual}, not {expected}: another writer was faster, recover it"
    )]
    Conflict {
        /// Whose.
        entity: EntityId,
        /// What the append expected.
        expected: Seq,
        /// What is so.
        actual: Seq,
    },
    /// Somebody else owns the shard. Nothing is stored. Stop, or claim it anew and recover.
    #[error(
        "the shard {shard} is owned under epoch {current}, not {held}: claim it anew and recover"
    )]
    Fenced {
        /// Which.
        shard: ShardId,
        /// The batch's epoch.
        held: Epoch,
        /// The owner's epoch.
        current: Epoch,
    },
    /// The entity has answered a command with this key before; its first answer is here. Nothing is
    /// stored. Where the fingerprint differs, the key was used for another command.
    #[error("{entity} has answered the key {:?} before", answer.key)]
    Answered {
        /// Whose.
        entity: EntityId,
        /// The first answer.
        answer: Answer,
    },
    /// Nothing is stored, for the reason given.
    #[error("nothing was stored: {0}")]
    Refused(#[source] JournalError),
    /// The batch may or may not be stored. Claim the shard anew and recover to find out.
    #[error("it is not known whether the batch is stored: {0}")]
    Unknown(#[source] JournalError),
}
