//! The embedded log as a journal: each call asks the committer, answers from memory, or reads
//! where it may block.

use std::future::ready;
use std::sync::Arc;

use griot_core::{EntityId, Epoch, Offset, Seq};

use super::options::{BATCH_BYTES_MAX, PAGE_COMMITS_MAX};
use super::queue::Request;
use super::{EmbeddedLog, query, stopped, wire};
use crate::selection::select;
use crate::{
    AppendError, Appended, Archive, Batch, BoxFuture, Commit, Filter, Journal, JournalError, Kept,
    Mark, Page, RecordedEvent, Remains, SeqRange, ShardId, Unsettled,
};

impl Journal for EmbeddedLog {
    fn claim<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Epoch, JournalError>> {
        let answer = self.ask(|reply| Request::Claim {
            shard: shard.clone(),
            reply,
        });
        Box::pin(async move { answer?.await.unwrap_or_else(|_| Err(stopped())) })
    }

    fn append(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Appended, AppendError>> {
        if batch.appends.is_empty() {
            let last_offset = self.shared.index().durable_offset();
            let open = self.check_open().map_err(AppendError::Refused);
            return Box::pin(ready(open.map(|()| Appended { last_offset })));
        }
        let bytes = wire::size(&batch);
        if bytes > BATCH_BYTES_MAX {
            let (what, limit) = ("a batch", BATCH_BYTES_MAX);
            let error = JournalError::TooLarge { what, bytes, limit };
            return Box::pin(ready(Err(AppendError::Refused(error))));
        }
        Box::pin(Self::append_later(self.ask(|reply| Request::Append {
            batch,
            bytes,
            reply,
        })))
    }

    fn events<'a>(
        &'a self,
        entity: &'a EntityId,
        range: SeqRange,
    ) -> BoxFuture<'a, Result<Vec<RecordedEvent>, JournalError>> {
        Box::pin(async move {
            self.check_open()?;
            let plan = self.shared.index().plan_events(entity, range);
            if plan.places.is_empty() {
                return Ok(Vec::new());
            }
            self.read(move |shared| {
                let commits = query::commits(shared, &plan.places, plan.deleted)?;
                Ok(select(commits.into_iter(), plan.deleted, range))
            })
            .await
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
            self.check_open()?;
            let limit = limit.min(PAGE_COMMITS_MAX);
            let plan = self.shared.index().plan_commits(entity, from, skip, limit);
            if plan.places.is_empty() {
                return Ok(Vec::new());
            }
            self.read(move |shared| query::commits(shared, &plan.places, plan.deleted))
                .await
        })
    }

    fn last_seq<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Seq, JournalError>> {
        let barrier = if self.shared.queue.is_idle() {
            None
        } else {
            Some(self.ask(|reply| Request::Barrier { reply }))
        };
        Box::pin(async move {
            self.check_open()?;
            if let Some(barrier) = barrier {
                barrier?.await.unwrap_or_else(|_| Err(stopped()))?;
            }
            Ok(self.shared.index().last_seq(entity))
        })
    }

    fn tail<'a>(
        &'a self,
        after: Offset,
        filter: &'a Filter,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, JournalError>> {
        Box::pin(async move {
            self.check_open()?;
            if after >= self.shared.index().durable_offset() || limit == 0 {
                return Ok(Page {
                    events: Vec::new(),
                    next: after,
                });
            }
            let filter = filter.clone();
            self.read(move |shared| query::page(shared, after, &filter, limit))
                .await
        })
    }

    fn advanced(&self, after: Offset) -> BoxFuture<'_, Result<Offset, JournalError>> {
        let mut tip = self.shared.subscribe();
        Box::pin(async move {
            let tip = tip
                .wait_for(|tip| tip.offset > after || tip.ended.is_some())
                .await;
            let tip = tip.map_err(|_| JournalError::Closed)?;
            match &tip.ended {
                Some(JournalError::Closed) => Err(JournalError::Closed),
                Some(error) if tip.offset <= after => Err(error.clone()),
                _ => Ok(tip.offset),
            }
        })
    }

    fn unsettled<'a>(
        &'a self,
        kind: &'a str,
        after: Option<&'a Unsettled>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unsettled>, JournalError>> {
        Box::pin(async move {
            self.check_open()?;
            let plan = self.shared.index().plan_unsettled(kind, after, limit);
            if plan.is_empty() {
                return Ok(Vec::new());
            }
            self.read(move |shared| query::unsettled(shared, plan))
                .await
        })
    }

    fn entities<'a>(
        &'a self,
        kind: Option<&'a str>,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<EntityId>, JournalError>> {
        Box::pin(async move {
            self.check_open()?;
            if self.shared.index().slots() <= query::NAMES_AT_ONCE {
                return Ok(query::names(&self.shared, kind, after, limit));
            }
            let (kind, after) = (kind.map(str::to_owned), after.cloned());
            self.read(move |shared| {
                Ok(query::names(shared, kind.as_deref(), after.as_ref(), limit))
            })
            .await
        })
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        to: Seq,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        let entity = entity.clone();
        let answer = self.ask(|reply| Request::Delete { entity, to, reply });
        Box::pin(async move { answer?.await.unwrap_or_else(|_| Err(stopped())) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.queue.end(JournalError::Closed);
        Box::pin(async move {
            let mut tip = self.shared.subscribe();
            // It ends with an error where the committer is gone, and then it is closed, too.
            drop(tip.wait_for(|tip| tip.ended.is_some()).await);
            self.join();
        })
    }
}

impl Archive for EmbeddedLog {
    fn appends(&self, after: Mark, limit: usize) -> BoxFuture<'_, Result<Vec<Kept>, JournalError>> {
        Box::pin(async move {
            self.check_open()?;
            self.read(move |shared| query::appends(shared, after, limit))
                .await
        })
    }

    /// Nothing: deleted appends are still read.
    fn remains<'a>(
        &'a self,
        _entity: &'a EntityId,
    ) -> BoxFuture<'a, Result<Remains, JournalError>> {
        Box::pin(ready(Ok(Remains::default())))
    }

    fn shards(&self) -> BoxFuture<'_, Result<Vec<(ShardId, Epoch)>, JournalError>> {
        let shards = self.check_open().map(|()| self.shared.index().shards());
        Box::pin(ready(shards))
    }

    fn deletions<'a>(
        &'a self,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(EntityId, Seq)>, JournalError>> {
        let open = self.check_open();
        Box::pin(ready(
            open.map(|()| self.shared.index().deletions(after, limit)),
        ))
    }
}
