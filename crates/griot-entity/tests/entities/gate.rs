//! A journal whose appends can be held up, and made to fail, in front of a real one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::{
    AppendError, Appended, Batch, BoxFuture, Commit, Filter, Journal, JournalError, MemoryJournal,
    Page, RecordedEvent, SeqRange, ShardId, Unsettled,
};
use tokio::sync::watch;

/// What happens to the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is stored, but the answer is lost.
    AnswerLost,
    /// It is not stored, and nobody knows.
    AppendLost,
    /// It is refused.
    Refused,
}

pub(crate) struct Gate {
    pub(crate) inner: Arc<MemoryJournal>,
    faults: Mutex<VecDeque<Fault>>,
    open: watch::Sender<bool>,
    readable: watch::Sender<Option<EntityId>>,
    batches: watch::Sender<Vec<usize>>,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(MemoryJournal::new()),
            faults: Mutex::default(),
            open: watch::Sender::new(true),
            readable: watch::Sender::new(None),
            batches: watch::Sender::new(Vec::new()),
        })
    }

    /// Holds appends up.
    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    /// Holds up whoever reads this entity.
    pub(crate) fn hold_reads_of(&self, entity: Option<EntityId>) {
        self.readable.send_replace(entity);
    }

    /// Waits until somebody reads who is held up.
    pub(crate) async fn read_held_up(&self) {
        while self.readable.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until this many appends have reached the journal, held up or not.
    pub(crate) async fn reached(&self, count: usize) {
        let mut batches = self.batches.subscribe();
        batches
            .wait_for(|sizes| sizes.len() >= count)
            .await
            .unwrap();
    }

    /// The sizes of the batches so far.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.borrow().clone()
    }
}

impl Journal for Gate {
    fn append(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            self.batches
                .send_modify(|sizes| sizes.push(batch.appends.len()));
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.unwrap();
            let fault = self.faults.lock().unwrap().pop_front();
            let reason = "the test says so".to_owned();
            let failed = JournalError::Poisoned { reason };
            match fault {
                None => self.inner.append(batch).await,
                Some(Fault::AnswerLost) => {
                    self.inner.append(batch).await?;
                    Err(AppendError::Unknown(failed))
                }
                Some(Fault::AppendLost) => Err(AppendError::Unknown(failed)),
                Some(Fault::Refused) => Err(AppendError::Refused(failed)),
            }
        })
    }

    fn commits<'a>(
        &'a self,
        entity: &'a EntityId,
        from: Seq,
        skip: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Commit>, JournalError>> {
        Box::pin(async move {
            let mut held = self.readable.subscribe();
            held.wait_for(|held| held.as_ref() != Some(entity))
                .await
                .unwrap();
            self.inner.commits(entity, from, skip, limit).await
        })
    }

    fn claim<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Epoch, JournalError>> {
        self.inner.claim(shard)
    }
    fn events<'a>(
        &'a self,
        entity: &'a EntityId,
        range: SeqRange,
    ) -> BoxFuture<'a, Result<Vec<RecordedEvent>, JournalError>> {
        self.inner.events(entity, range)
    }
    fn last_seq<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Seq, JournalError>> {
        self.inner.last_seq(entity)
    }
    fn tail<'a>(
        &'a self,
        after: Offset,
        filter: &'a Filter,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, JournalError>> {
        self.inner.tail(after, filter, limit)
    }
    fn advanced(&self, after: Offset) -> BoxFuture<'_, Result<Offset, JournalError>> {
        self.inner.advanced(after)
    }
    fn unsettled<'a>(
        &'a self,
        kind: &'a str,
        after: Option<&'a Unsettled>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unsettled>, JournalError>> {
        self.inner.unsettled(kind, after, limit)
    }
    fn entities<'a>(
        &'a self,
        kind: Option<&'a str>,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<EntityId>, JournalError>> {
        self.inner.entities(kind, after, limit)
    }
    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        to: Seq,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        self.inner.delete(entity, to)
    }
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
