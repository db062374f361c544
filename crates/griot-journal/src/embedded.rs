//! The embedded log: a journal in a directory of this machine.
//!
//! Segment files of fixed size, zeroed ahead; one committer thread that writes and syncs all that
//! waits as one checksummed frame; an index in memory that is rebuilt at the start. `FORMAT.md`
//! describes the files and what is done about damaged ones.

mod committer;
mod frame;
mod log;
mod options;
mod query;
mod queue;
mod reader;
mod recovery;
mod segments;
mod shared;
mod verdict;
pub(crate) mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::storage::{Files, Storage};
use crate::{AppendError, Appended, DirectoryLock, JournalError};
use committer::Committer;
pub use options::{
    BATCH_BYTES_MAX, FIRST_SEGMENT_BYTES, FRAME_BYTES, Options, PAGE_COMMITS_MAX, Preparation,
    QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX, READS_MAX,
};
use queue::Request;
use recovery::Recovered;
use segments::{Maker, Preparer};
use shared::Shared;

/// A journal in a directory of this machine, for one process at a time.
///
/// ```
/// use griot_journal::{EmbeddedLog, Journal, Options, ShardId};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path();
/// let journal = EmbeddedLog::open(directory, Options { segment_bytes: 1 << 20, ..Options::default() })?;
/// let epoch = journal.claim(&ShardId { kind: "account".into(), number: 0 }).await?;
/// assert_eq!(epoch.get(), 1);
/// journal.close().await;
/// # Ok(())
/// # }
/// ```
///
/// It remembers the newest [`KEYS_KEPT`](crate::KEYS_KEPT) keys of each entity.
///
/// Dropping it closes it as [`close`](crate::Journal::close) does, and waits for what is under way.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the journal in `directory`, which is made where it is missing; recovers it first.
    ///
    /// It blocks for as long as reading the log takes: call it before the runtime has other work,
    /// or from `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] where another process has it, [`JournalError::Corrupt`] where
    /// something does not check out that a cut-off write does not explain,
    /// [`JournalError::Missing`] where the whole log is gone, [`JournalError::NewerVersion`],
    /// [`JournalError::Full`], and [`JournalError::Io`]. The log that is refused stays as it is.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, JournalError> {
        Self::open_on(Arc::new(Files), directory, options)
    }

    /// As [`open`](Self::open), on another storage: a simulated disk, for example.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_on(
        storage: Arc<dyn Storage>,
        directory: impl AsRef<Path>,
        options: Options,
    ) -> Result<Self, JournalError> {
        let maker = Maker {
            storage,
            root: directory.as_ref().to_owned(),
            segment_bytes: options.segment_bytes.max(Options::SEGMENT_BYTES_MIN),
            cancelled: Arc::default(),
        };
        let lock = DirectoryLock::take(&*maker.storage, &maker.root)?;
        let segments = maker.directory();
        let create = maker.storage.create_dir_all(&segments);
        create.map_err(|error| maker.failed("make the directory", &segments, error))?;
        let Recovered {
            index,
            segments,
            tail,
            next,
        } = recovery::recover(&maker)?;
        let shared = Arc::new(Shared::new(maker.clone(), segments, index));
        let preparer = Preparer::new(maker.clone(), options.preparation, next);
        let mut committer = Committer::new(Arc::clone(&shared), tail, preparer, lock);
        committer.mark()?;
        let builder = thread::Builder::new().name("griot-committer".to_owned());
        let committer = builder
            .spawn(move || run(committer))
            .map_err(|error| maker.failed("start a thread for", &maker.root, error))?;
        let committer = Mutex::new(Some(committer));
        Ok(Self { shared, committer })
    }

    fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<oneshot::Receiver<T>, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(request(reply))?;
        Ok(answer)
    }

    /// Runs `read` where it may block, a bounded number of them at once.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let permit = self.shared.reads.acquire().await;
        let permit = permit.map_err(|_| JournalError::Closed)?;
        let shared = Arc::clone(&self.shared);
        let result = tokio::task::spawn_blocking(move || read(&shared)).await;
        drop(permit);
        result.map_err(|error| JournalError::Store(Arc::new(error)))?
    }

    /// [`JournalError::Closed`] once it is closed. A poisoned journal still answers reads.
    fn check_open(&self) -> Result<(), JournalError> {
        match self.shared.queue.ended() {
            Some(JournalError::Closed) => Err(JournalError::Closed),
            _ => Ok(()),
        }
    }

    async fn append_later(
        answer: Result<oneshot::Receiver<Result<Appended, AppendError>>, JournalError>,
    ) -> Result<Appended, AppendError> {
        match answer.map_err(AppendError::Refused)?.await {
            Ok(result) => result,
            // The committer is gone without an answer: it panicked.
            Err(_) => Err(AppendError::Unknown(stopped())),
        }
    }
}

/// Lets the committer work; where it panics, nobody waits for it any more.
fn run(committer: Committer) {
    let shared = committer.shared();
    if catch_unwind(AssertUnwindSafe(|| committer.run())).is_err() {
        shared.queue.end(stopped());
        shared.poisoned(&stopped());
        let mut waiting = Vec::new();
        shared.queue.take_now(&mut waiting);
        for request in waiting {
            request.refuse(AppendError::Refused(stopped()));
        }
    }
}

fn stopped() -> JournalError {
    JournalError::Poisoned {
        reason: "the committer stopped".to_owned(),
    }
}

/// How large a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Segment files with frames in them.
    pub segments: u64,
    /// Bytes of frames in them.
    pub bytes: u64,
    /// Entities that were ever written.
    pub entities: u64,
    /// Events that were ever written, deleted ones included.
    pub events: u64,
}

impl EmbeddedLog {
    /// How large the journal is. To verify all of it, open it: that reads and checks every frame.
    pub fn stats(&self) -> Stats {
        let (segments, bytes) = self.shared.segments.count();
        let index = self.shared.index();
        let entities = index.names(0..index.slots(), None, None).count();
        Stats {
            segments,
            bytes,
            entities: u64::try_from(entities).unwrap_or(u64::MAX),
            events: index.durable_offset().get(),
        }
    }

    /// Waits for the committer, which has been told to end, to let go of the directory.
    fn join(&self) {
        let mut committer = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(committer) = committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the journal's committer panicked");
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.queue.end(JournalError::Closed);
        self.join();
    }
}
