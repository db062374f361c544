//! What waits for the committer. Bounded: what does not fit is refused at once.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use griot_core::{EntityId, Epoch, Seq};
use tokio::sync::oneshot;

use super::options::{QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX};
use crate::{AppendError, Appended, Batch, JournalError, ShardId};

/// What the committer is asked to do, and whom it answers.
#[derive(Debug)]
pub(crate) enum Request {
    Append {
        batch: Arc<Batch>,
        /// How many bytes it takes at most.
        bytes: usize,
        reply: oneshot::Sender<Result<Appended, AppendError>>,
    },
    Claim {
        shard: ShardId,
        reply: oneshot::Sender<Result<Epoch, JournalError>>,
    },
    Delete {
        entity: EntityId,
        to: Seq,
        reply: oneshot::Sender<Result<(), JournalError>>,
    },
    /// Answered once everything before it is.
    Barrier {
        reply: oneshot::Sender<Result<(), JournalError>>,
    },
}

impl Request {
    /// How many bytes its records take at most.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Append { bytes, .. } => *bytes,
            Self::Claim { shard, .. } => shard.kind.len().saturating_add(SMALL_BYTES),
            Self::Delete { entity, .. } => entity.as_str().len().saturating_add(SMALL_BYTES),
            Self::Barrier { .. } => 0,
        }
    }

    /// Answers that nothing of it was stored.
    pub(crate) fn refuse(self, error: AppendError) {
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error))),
            Self::Claim { reply, .. } => drop(reply.send(Err(plain(error)))),
            Self::Delete { reply, .. } | Self::Barrier { reply } => {
                drop(reply.send(Err(plain(error))));
            }
        }
    }
}

/// More than the numbers of a claim or a deletion take.
const SMALL_BYTES: usize = 64;

fn plain(error: AppendError) -> JournalError {
    match error {
        AppendError::Refused(error) | AppendError::Unknown(error) => error,
        other => JournalError::Store(Arc::new(other)),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
    /// Appends that are given and not yet answered.
    under_way: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: Vec<Request>,
    bytes: usize,
    asleep: bool,
    /// Why no more are taken.
    ended: Option<JournalError>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, request: Request) -> Result<(), JournalError> {
        let mut waiting = self.lock();
        if let Some(error) = &waiting.ended {
            return Err(error.clone());
        }
        let bytes = waiting.bytes.saturating_add(request.bytes());
        if waiting.requests.len() >= QUEUE_BATCHES_MAX || bytes > QUEUE_BYTES_MAX {
            return Err(JournalError::Busy {
                waiting: waiting.requests.len(),
            });
        }
        if matches!(request, Request::Append { .. }) {
            self.under_way.fetch_add(1, Ordering::AcqRel);
        }
        waiting.bytes = bytes;
        waiting.requests.push(request);
        if mem::take(&mut waiting.asleep) {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Moves all that waits into `taken`, which is empty; waits for the first. Once the queue has
    /// ended and is empty, it leaves `taken` empty.
    pub(crate) fn take(&self, taken: &mut Vec<Request>) {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() && waiting.ended.is_none() {
            waiting.asleep = true;
            waiting = self
                .ready
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.bytes = 0;
        mem::swap(&mut waiting.requests, taken);
    }

    /// Moves what waits into `taken`, which is empty, without waiting.
    pub(crate) fn take_now(&self, taken: &mut Vec<Request>) {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        mem::swap(&mut waiting.requests, taken);
    }

    /// Takes no more, for the first reason given.
    pub(crate) fn end(&self, reason: JournalError) {
        let mut waiting = self.lock();
        waiting.ended.get_or_insert(reason);
        self.ready.notify_all();
    }

    pub(crate) fn ended(&self) -> Option<JournalError> {
        self.lock().ended.clone()
    }

    pub(crate) fn answered(&self, appends: usize) {
        self.under_way.fetch_sub(appends, Ordering::AcqRel);
    }

    /// Whether no append is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }
}
