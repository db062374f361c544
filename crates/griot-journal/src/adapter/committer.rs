//! The committer: takes all batches that wait, gives them to the server as one group, and answers each.
//!
//! There is one group on its way at a time, so batches become durable in the order in which they were given. While
//! it is, the next one gathers.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use griot_core::Epoch;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::load::weigh;
use super::{Fault, Outcome, Store, Tip};
use crate::{
    Append, AppendError, Batch, BoxFuture, FRAME_BYTES, JournalError, QUEUE_BATCHES_MAX,
    QUEUE_BYTES_MAX, ShardId,
};

/// A group takes no further batch once it has grown to this many.
const GROUP_BATCHES_MAX: usize = 1024;

/// Before the next group is closed, those who were answered may come back: for so much of the time that the last one took.
const SHARE: u32 = 8;

/// However slow the server is, since the wait keeps a processor busy.
const WAIT_MAX: Duration = Duration::from_millis(1);

/// Where batches are given. What was given when this is dropped still becomes durable.
///
/// Where the outcome of a batch is unknown, no later batch of its shard goes to the server before the shard is claimed
/// anew, so none becomes durable behind one that is not.
#[derive(Debug)]
pub struct Committer {
    /// `None` once closed.
    queue: Mutex<Option<Queue>>,
    tip: Arc<Tip>,
}

impl Committer {
    /// Starts it. It raises the tip by what it appends, and closes the tip at its end.
    pub fn start(store: impl Store, tip: Arc<Tip>) -> Self {
        let (requests, waiting) = mpsc::channel(QUEUE_BATCHES_MAX);
        let bytes = Arc::<AtomicUsize>::default();
        let work = Work {
            store,
            tip: Arc::clone(&tip),
            waiting,
            bytes: Arc::clone(&bytes),
            unknown: HashMap::new(),
        };
        tokio::spawn(work.run());
        Self {
            queue: Mutex::new(Some(Queue { requests, bytes })),
            tip,
        }
    }

    /// Gives a batch, which is then on its way, and waits for its outcome. What
    /// [`Journal::append`](crate::Journal::append) promises of its order, and of a future that is dropped, holds here.
    pub fn append(&self, batch: Arc<Batch>) -> BoxFuture<'static, Outcome> {
        let given = weigh(&batch).and_then(|bytes| self.queue()?.append(batch, bytes));
        Box::pin(async {
            let outcome = given.map_err(AppendError::Refused)?.await;
            // The committer is gone without an answer: its runtime has ended.
            outcome.unwrap_or(Err(AppendError::Unknown(JournalError::Closed)))
        })
    }

    /// Waits until all that was given before this was called has its outcome.
    ///
    /// # Errors
    ///
    /// [`JournalError::Closed`], [`JournalError::Busy`].
    pub fn idle(&self) -> BoxFuture<'static, Result<(), JournalError>> {
        let barrier = self.queue().and_then(|queue| queue.barrier());
        Box::pin(async {
            // Where the committer is gone, nothing is under way.
            let _ = barrier?.await;
            Ok(())
        })
    }

    /// Whether batches may be given still.
    ///
    /// # Errors
    ///
    /// [`JournalError::Closed`].
    pub fn check_open(&self) -> Result<(), JournalError> {
        self.queue().map(drop)
    }

    /// Takes no more from the moment this is called, and waits until all that was given has its outcome.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is closed nevertheless.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        *queue = None;
        drop(queue);
        Box::pin(self.tip.closed())
    }

    fn queue(&self) -> Result<Queue, JournalError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.clone().ok_or(JournalError::Closed)
    }
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

/// The committer ends with the last of these.
#[derive(Clone, Debug)]
struct Queue {
    requests: mpsc::Sender<Request>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    fn append(
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

    fn barrier(&self) -> Result<oneshot::Receiver<()>, JournalError> {
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

/// Whoever is answered mostly has more to give at once. It goes with the next group then; otherwise two halves take
/// turns, and each waits for the other.
async fn let_come_back(waiting: &mpsc::Receiver<Request>, answered: usize, took: Duration) {
    let until = Instant::now() + WAIT_MAX.min(took / SHARE);
    while waiting.len() < answered && !waiting.is_closed() && Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

#[derive(Debug)]
struct Work<S> {
    store: S,
    tip: Arc<Tip>,
    waiting: mpsc::Receiver<Request>,
    bytes: Arc<AtomicUsize>,
    /// Shards that have a batch whose outcome is not known, and the epoch it was given under. Until they are
    /// claimed anew nothing may become durable behind it.
    unknown: HashMap<ShardId, Epoch>,
}

impl<S: Store> Work<S> {
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
            let began = Instant::now();
            let answered = self.commit(group).await;
            let took = began.elapsed();
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            for barrier in barriers {
                // Whoever waited may have gone.
                let _ = barrier.send(());
            }
            let_come_back(&self.waiting, answered, took).await;
        }
        self.tip.close();
    }

    /// Says how many of them were stored.
    async fn commit(&mut self, group: Vec<Waiting>) -> usize {
        let (group, overtaking): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|waiting| self.may_go(&waiting.batch));
        for waiting in overtaking {
            let shard = waiting.batch.shard.clone();
            let error = JournalError::Overtaking { shard };
            let _ = waiting.reply.send(Err(AppendError::Refused(error)));
        }
        let batches: Vec<&Batch> = group.iter().map(|waiting| &*waiting.batch).collect();
        let outcomes = append(&mut self.store, &batches).await;
        let mut stored = 0;
        for (waiting, outcome) in group.into_iter().zip(outcomes) {
            match &outcome {
                Ok(appended) => {
                    stored += 1;
                    self.tip.raise(appended.last_offset);
                }
                Err(AppendError::Unknown(_)) => {
                    self.unknown
                        .insert(waiting.batch.shard.clone(), waiting.batch.epoch);
                }
                Err(_) => {}
            }
            let _ = waiting.reply.send(outcome);
        }
        stored
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

/// The batches at the front that do not repeat a key of each other: whether a key is known is looked up in what was
/// stored before.
fn apart<'b, 'a>(batches: &'b [&'a Batch]) -> &'b [&'a Batch] {
    let mut keys = HashSet::new();
    let mut is_new = |append: &'a Append| {
        let key = append.answer.as_ref().map(|answer| answer.key.as_str());
        key.is_none_or(|key| keys.insert((append.entity.as_str(), key)))
    };
    let repeats = |batch: &&'a Batch| !batch.appends.iter().all(&mut is_new);
    let end = batches.iter().position(repeats);
    end.and_then(|end| batches.get(..end)).unwrap_or(batches)
}

/// Gives batches to the server until each has its outcome. Where the server refuses them all for a reason that is
/// no outcome, they are tried one by one, so that one of them does not cost the others.
async fn append(store: &mut impl Store, batches: &[&Batch]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(batches.len());
    let mut together = usize::MAX;
    while let Some(rest) = batches.get(outcomes.len()..)
        && !rest.is_empty()
    {
        let group = apart(rest.get(..together).unwrap_or(rest));
        match store.append(group).await {
            Ok(some) if !some.is_empty() => outcomes.extend(some),
            Err(Fault::Refused(error)) if group.len() > 1 => {
                tracing::warn!(%error, batches = group.len(), "a group of batches was refused: they are tried one by one");
                together = 1;
            }
            Err(Fault::Refused(error)) => outcomes.push(Err(AppendError::Refused(error))),
            // What comes behind an unknown outcome must not become durable before it.
            fault => {
                let none = Fault::Unknown(JournalError::Closed);
                let error = AppendError::from(fault.err().unwrap_or(none));
                outcomes.resize_with(batches.len(), || Err(error.clone()));
            }
        }
    }
    outcomes
}
