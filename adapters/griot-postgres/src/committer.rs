//! The committer: takes all batches that wait, gives them to the server as one group, and answers each.
//!
//! There is one group on its way at a time, so batches become durable in the order in which they were given. While
//! it is, the next one gathers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use griot_core::{Epoch, Offset};
use griot_journal::{
    AppendError, Batch, FRAME_BYTES, JournalError, QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX, ShardId,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::PostgresError;
use crate::group::{self, Outcome};
use crate::link::{Line, Link};

/// A group takes no further batch once it has grown to this many.
const GROUP_BATCHES_MAX: usize = 1024;

/// The last offset that is known, and `None` once the journal is closed.
pub(crate) type Tip = watch::Sender<Option<Offset>>;

/// Raises what is known of the journal's end.
pub(crate) fn raise(tip: &Tip, offset: Offset) {
    tip.send_if_modified(|known| {
        let rises = known.is_some_and(|known| known < offset);
        if rises {
            *known = Some(offset);
        }
        rises
    });
}

#[derive(Debug)]
struct Waiting {
    batch: Arc<Batch>,
    bytes: usize,
    reply: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
enum Request {
    Append(Waiting),
    /// Answered once all that was given before it has its outcome.
    Barrier(oneshot::Sender<()>),
}

/// Where batches are given.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    requests: mpsc::Sender<Request>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    /// Starts a committer, which ends when the last of its queues is dropped, and then says so by `tip`.
    pub(crate) fn start(link: Link, tip: Tip) -> Self {
        let (requests, waiting) = mpsc::channel(QUEUE_BATCHES_MAX);
        let bytes = Arc::<AtomicUsize>::default();
        let committer = Committer {
            line: Line::new(link),
            tip,
            waiting,
            bytes: Arc::clone(&bytes),
            unknown: HashMap::new(),
        };
        tokio::spawn(committer.run());
        Self { requests, bytes }
    }

    /// Gives a batch, which is then on its way.
    pub(crate) fn append(
        &self,
        batch: Arc<Batch>,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Outcome>, JournalError> {
        let (reply, outcome) = oneshot::channel();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One batch is let in however large it is; its own limit is another matter.
        let fits = before == 0 || before.saturating_add(bytes) <= QUEUE_BYTES_MAX;
        let sent = if fits {
            self.send(Request::Append(Waiting {
                batch,
                bytes,
                reply,
            }))
        } else {
            Err(self.busy())
        };
        if sent.is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent.map(|()| outcome)
    }

    pub(crate) fn barrier(&self) -> Result<oneshot::Receiver<()>, JournalError> {
        let (reply, passed) = oneshot::channel();
        self.send(Request::Barrier(reply)).map(|()| passed)
    }

    fn send(&self, request: Request) -> Result<(), JournalError> {
        self.requests
            .try_send(request)
            .map_err(|error| match error {
                TrySendError::Full(_) => self.busy(),
                TrySendError::Closed(_) => JournalError::Closed,
            })
    }

    fn busy(&self) -> JournalError {
        let waiting = QUEUE_BATCHES_MAX.saturating_sub(self.requests.capacity());
        JournalError::Busy { waiting }
    }
}

#[derive(Debug)]
struct Committer {
    line: Line,
    tip: Tip,
    waiting: mpsc::Receiver<Request>,
    bytes: Arc<AtomicUsize>,
    /// Shards that have a batch whose outcome is not known, and the epoch it was given under. Until they are
    /// claimed anew nothing may become durable behind it.
    unknown: HashMap<ShardId, Epoch>,
}

impl Committer {
    async fn run(mut self) {
        while let Some(first) = self.waiting.recv().await {
            let (mut group, mut barriers, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Barrier(reply) => barriers.push(reply),
                    Request::Append(waiting) => {
                        bytes = bytes.saturating_add(waiting.bytes);
                        group.push(waiting);
                    }
                }
                let is_full = bytes >= FRAME_BYTES || group.len() >= GROUP_BATCHES_MAX;
                next = if is_full {
                    None
                } else {
                    self.waiting.try_recv().ok()
                };
            }
            self.commit(group).await;
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            for barrier in barriers {
                // Whoever waited may have gone.
                let _ = barrier.send(());
            }
        }
        self.tip.send_replace(None);
    }

    async fn commit(&mut self, group: Vec<Waiting>) {
        let (group, overtaking): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|waiting| self.may_go(&waiting.batch));
        for waiting in overtaking {
            let shard = waiting.batch.shard.clone();
            let error = PostgresError::Overtaking { shard };
            let _ = waiting.reply.send(Err(AppendError::Refused(error.into())));
        }
        if group.is_empty() {
            return;
        }
        let batches: Vec<&Batch> = group.iter().map(|waiting| &*waiting.batch).collect();
        let outcomes = group::append(&mut self.line, &batches).await;
        for (waiting, outcome) in group.into_iter().zip(outcomes) {
            match &outcome {
                Ok(appended) => raise(&self.tip, appended.last_offset),
                Err(AppendError::Unknown(_)) => {
                    self.unknown
                        .insert(waiting.batch.shard.clone(), waiting.batch.epoch);
                }
                Err(_) => {}
            }
            let _ = waiting.reply.send(outcome);
        }
    }

    /// Whether nothing before it is unknown, under its epoch.
    fn may_go(&mut self, batch: &Batch) -> bool {
        match self.unknown.get(&batch.shard) {
            Some(&epoch) if batch.epoch <= epoch => false,
            Some(_) => {
                self.unknown.remove(&batch.shard);
                true
            }
            None => true,
        }
    }
}
