//! The journal: each call asks the server, appends by way of the committer.

use std::sync::Arc;

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::adapter::{Committer, Tip};
use griot_journal::{
    AppendError, Appended, Batch, BoxFuture, Commit, Filter, Journal, JournalError,
    PAGE_COMMITS_MAX, Page, RecordedEvent, SeqRange, ShardId, Unsettled,
};
use sqlx::postgres::PgRow;

use crate::group::{Appends, unsigned};
use crate::link::{Line, Link, Question};
use crate::listener::Listener;
use crate::read::{self, column};
use crate::text::escaped;
use crate::{PostgresError, PostgresOptions, schema};

/// A journal and its snapshots in a schema of a PostgreSQL database, for any number of processes at a time.
///
/// It remembers every key that an entity ever answered.
///
/// Dropping it lets what is under way finish in the background; [`close`](Journal::close) waits for that.
#[derive(Debug)]
pub struct PostgresJournal {
    committer: Committer,
    tip: Arc<Tip>,
    listener: Listener,
    appends: Link,
    reads: Link,
}

impl PostgresJournal {
    /// Connects to the server that a URL names, and makes the schema where it is missing. The URL is
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?SETTING=VALUE&…`; [`PostgresOptions`] says which settings.
    ///
    /// # Errors
    ///
    /// [`JournalError::NewerVersion`] where a newer griot made the schema, [`JournalError::Unreachable`] where no
    /// server answers; [`JournalError::Store`] with a [`PostgresError`] in it for everything else.
    ///
    /// # Cancel safety
    ///
    /// The schema is made wholly or not at all.
    pub async fn connect(url: &str) -> Result<Self, JournalError> {
        Self::open(&url.parse()?).await
    }

    /// As [`connect`](Self::connect), with options.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn open(options: &PostgresOptions) -> Result<Self, JournalError> {
        let appends = Link::new(options, options.appending_session(), 1);
        schema::prepare(&appends, options).await?;
        let tip = Arc::new(Tip::new(options.poll));
        let line = Line::new(appends.clone());
        let reads = Link::new(options, options.session(), options.connections);
        let journal = Self {
            committer: Committer::start(Appends(line), Arc::clone(&tip)),
            listener: Listener::start(options, reads.clone(), Arc::clone(&tip)).await,
            tip,
            appends,
            reads,
        };
        journal.last_offset().await?;
        Ok(journal)
    }

    pub(crate) async fn read(&self, question: Question<'_>) -> Result<Vec<PgRow>, JournalError> {
        self.committer.check_open()?;
        Ok(self.reads.ask(question).await?)
    }

    async fn last_offset(&self) -> Result<Offset, JournalError> {
        let rows = self.read(sqlx::query(read::LAST_OFFSET)).await?;
        let row = rows.first().ok_or_else(nothing)?;
        let last = Offset(unsigned(column(row, "last_offset")?));
        self.tip.raise(last);
        Ok(last)
    }
}

impl Journal for PostgresJournal {
    fn claim<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Epoch, JournalError>> {
        Box::pin(async move {
            let claim = sqlx::query("select claim($1, $2) as epoch")
                .bind(escaped(&shard.kind))
                .bind(i64::from(shard.number));
            let rows = self.read(claim).await?;
            let row = rows.first().ok_or_else(nothing)?;
            Ok(Epoch(unsigned(column(row, "epoch")?)))
        })
    }

    fn append(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Appended, AppendError>> {
        if batch.appends.is_empty() {
            return Box::pin(async {
                let last_offset = self.last_offset().await.map_err(AppendError::Refused)?;
                Ok(Appended { last_offset })
            });
        }
        self.committer.append(batch)
    }

    fn events<'a>(
        &'a self,
        entity: &'a EntityId,
        range: SeqRange,
    ) -> BoxFuture<'a, Result<Vec<RecordedEvent>, JournalError>> {
        Box::pin(async move {
            let events = sqlx::query(read::EVENTS)
                .bind(entity.as_str())
                .bind(bounded(range.from.get()))
                .bind(bounded(range.to.get()))
                .bind(count(range.limit));
            let rows = self.read(events).await?;
            rows.iter()
                .map(|row| read::event(row, entity.clone()))
                .collect()
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
            let commits = sqlx::query(read::COMMITS)
                .bind(entity.as_str())
                .bind(bounded(from.get()))
                .bind(count(skip))
                .bind(count(limit.min(PAGE_COMMITS_MAX)));
            let rows = self.read(commits).await?;
            rows.iter()
                .map(|row| read::commit(row, entity.clone()))
                .collect()
        })
    }

    fn last_seq<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Seq, JournalError>> {
        let idle = self.committer.idle();
        Box::pin(async move {
            idle.await?;
            let rows = self
                .read(sqlx::query(read::LAST_SEQ).bind(entity.as_str()))
                .await?;
            match rows.first() {
                Some(row) => Ok(Seq(unsigned(column(row, "seq")?))),
                None => Ok(Seq::ZERO),
            }
        })
    }

    fn tail<'a>(
        &'a self,
        after: Offset,
        filter: &'a Filter,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, JournalError>> {
        Box::pin(async move {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            let to = after.get().saturating_add(limit);
            let tail = sqlx::query(read::TAIL)
                .bind(bounded(after.get()))
                .bind(bounded(to))
                .bind(filter.kind.as_deref())
                .bind(filter.tag.as_deref().map(escaped));
            let rows = self.read(tail).await?;
            let first = rows.first().ok_or_else(nothing)?;
            let last = unsigned(column(first, "last_offset")?);
            let mut events = Vec::with_capacity(rows.len());
            for row in &rows {
                // Where there are no events, the row says only how far the journal is.
                if column::<Option<i64>>(row, "journal_offset")?.is_some() {
                    events.push(read::event(row, read::entity(row, "entity")?)?);
                }
            }
            let next = Offset(to.min(last).max(after.get()));
            Ok(Page { events, next })
        })
    }

    fn advanced(&self, after: Offset) -> BoxFuture<'_, Result<Offset, JournalError>> {
        Box::pin(self.tip.advanced(after, move || self.last_offset()))
    }

    fn unsettled<'a>(
        &'a self,
        kind: &'a str,
        after: Option<&'a Unsettled>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unsettled>, JournalError>> {
        Box::pin(async move {
            let id = after.map(|after| after.record.id);
            let unsettled = sqlx::query(read::UNSETTLED)
                .bind(kind)
                .bind(after.map(|after| after.entity.as_str()))
                .bind(id.map_or(i64::MIN, |id| id.seq.get().cast_signed()))
                .bind(id.map_or(i64::MIN, |id| id.n.into()))
                .bind(count(limit));
            let rows = self.read(unsettled).await?;
            rows.iter().map(read::unsettled).collect()
        })
    }

    fn entities<'a>(
        &'a self,
        kind: Option<&'a str>,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<EntityId>, JournalError>> {
        Box::pin(async move {
            let entities = sqlx::query(read::ENTITIES)
                .bind(kind)
                .bind(after.map(EntityId::as_str))
                .bind(count(limit));
            let rows = self.read(entities).await?;
            rows.iter().map(|row| read::entity(row, "name")).collect()
        })
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        to: Seq,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let delete = sqlx::query("select delete_events($1, $2)")
                .bind(entity.as_str())
                .bind(bounded(to.get()));
            self.read(delete).await.map(drop)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let committed = self.committer.close();
        Box::pin(async move {
            committed.await;
            self.listener.stop();
            self.appends.close().await;
            self.reads.close().await;
        })
    }
}

fn nothing() -> JournalError {
    PostgresError::Database(sqlx::Error::RowNotFound).into()
}

/// A bound that no stored number is beyond.
pub(crate) fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn whole(what: &'static str, number: u64) -> Result<i64, JournalError> {
    let wrong = |_| PostgresError::OutOfRange {
        what,
        number: number.into(),
    };
    Ok(i64::try_from(number).map_err(wrong)?)
}
