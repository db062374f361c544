//! The journal: each call asks the server, appends by way of the committer.

use std::sync::Arc;

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::adapter::{Committer, Tip};
use griot_journal::{
    AppendError, Appended, Batch, BoxFuture, Commit, Filter, Journal, JournalError,
    PAGE_COMMITS_MAX, Page, RecordedEvent, SeqRange, ShardId, Unsettled,
};
use sqlx::mysql::MySqlRow;

use crate::group::Appends;
use crate::link::{Line, Link, Question};
use crate::read::{self, column};
use crate::{MysqlError, MysqlOptions, schema};

/// Commits something, and so waits until everything that was committed before is on the disk.
const FLUSH: &str = "update griot_flushes set number = number + 1";

/// A journal and its snapshots in a database of MySQL or MariaDB, for any number of processes at a time.
///
/// It remembers every key that an entity ever answered.
///
/// Dropping it lets what is under way finish in the background; [`close`](Journal::close) waits for that.
#[derive(Debug)]
pub struct MysqlJournal {
    committer: Committer,
    tip: Arc<Tip>,
    appends: Link,
    reads: Link,
}

impl MysqlJournal {
    /// Connects to the server that a URL names, and makes database and tables where they are missing. The URL is
    /// `mysql://USER:PASSWORD@HOST:PORT/DATABASE?SETTING=VALUE&…`; [`MysqlOptions`] says which settings.
    ///
    /// # Errors
    ///
    /// [`JournalError::NewerVersion`] where a newer griot made the tables; [`JournalError::Store`] with a
    /// [`MysqlError`] in it for everything else.
    ///
    /// # Cancel safety
    ///
    /// The tables may be made in part; the next one makes the rest.
    pub async fn connect(url: &str) -> Result<Self, JournalError> {
        Self::open(&url.parse()?).await
    }

    /// As [`connect`](Self::connect), with options.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn open(options: &MysqlOptions) -> Result<Self, JournalError> {
        let appends = Link::new(options, 1);
        let bytes_max = schema::prepare(&appends, options).await?;
        let tip = Arc::new(Tip::new(options.poll));
        let line = Line::new(appends.clone());
        let journal = Self {
            committer: Committer::start(Appends { line, bytes_max }, Arc::clone(&tip)),
            tip,
            appends,
            reads: Link::new(options, options.connections),
        };
        journal.last_offset().await?;
        Ok(journal)
    }

    pub(crate) async fn read(&self, question: Question<'_>) -> Result<Vec<MySqlRow>, JournalError> {
        self.committer.check_open()?;
        Ok(self.reads.ask(question).await?)
    }

    async fn last_offset(&self) -> Result<Offset, JournalError> {
        let rows = self.read(sqlx::query(read::LAST_OFFSET)).await?;
        let row = rows.first().ok_or_else(nothing)?;
        let last = Offset(column(row, "last_offset")?);
        self.make_durable(last).await?;
        Ok(last)
    }

    /// The server shows a commit before it is on the disk. Nobody may go on from an offset that a power cut takes back.
    async fn make_durable(&self, last: Offset) -> Result<(), JournalError> {
        if self.tip.known().is_some_and(|known| known < last) {
            self.flush().await?;
            self.tip.raise(last);
        }
        Ok(())
    }

    /// Waits until what was read is on the disk.
    pub(crate) async fn flush(&self) -> Result<(), JournalError> {
        self.read(sqlx::query(FLUSH)).await.map(drop)
    }
}

impl Journal for MysqlJournal {
    fn claim<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Epoch, JournalError>> {
        Box::pin(async move {
            let claim = sqlx::query("call griot_claim(?, ?)")
                .bind(shard.kind.as_bytes())
                .bind(shard.number);
            let rows = self.read(claim).await?;
            let row = rows.first().ok_or_else(nothing)?;
            Ok(Epoch(column(row, "epoch")?))
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
                .bind(name(entity))
                .bind(range.from.get())
                .bind(range.to.get())
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
                .bind(name(entity))
                .bind(from.get())
                .bind(count(skip))
                .bind(count(limit.min(PAGE_COMMITS_MAX)));
            let rows = self.read(commits).await?;
            let kept = read::kept(&rows)?;
            Ok(kept.into_iter().map(read::commit).collect())
        })
    }

    fn last_seq<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Seq, JournalError>> {
        let idle = self.committer.idle();
        Box::pin(async move {
            idle.await?;
            let rows = self
                .read(sqlx::query(read::LAST_SEQ).bind(name(entity)))
                .await?;
            match rows.first() {
                Some(row) => Ok(Seq(column(row, "seq")?)),
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
            let kind = filter.kind.as_deref().map(str::as_bytes);
            let tag = filter.tag.as_ref().map(sqlx::types::Json);
            let tail = sqlx::query(read::TAIL)
                .bind(after.get())
                .bind(to)
                .bind(kind)
                .bind(kind)
                .bind(tag)
                .bind(tag);
            let rows = self.read(tail).await?;
            let first = rows.first().ok_or_else(nothing)?;
            let last: u64 = column(first, "last_offset")?;
            let mut events = Vec::with_capacity(rows.len());
            for row in &rows {
                // Where there are no events, the row says only how far the journal is.
                if column::<Option<u64>>(row, "journal_offset")?.is_some() {
                    events.push(read::event(row, read::entity(row, "entity")?)?);
                }
            }
            let next = Offset(to.min(last).max(after.get()));
            self.make_durable(next.min(Offset(last))).await?;
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
            let seq = id.map_or(0, |id| id.seq.get());
            let unsettled = sqlx::query(read::UNSETTLED)
                .bind(after.map(|after| name(&after.entity)))
                .bind(kind.as_bytes())
                .bind(seq)
                .bind(seq)
                .bind(id.map_or(0, |id| id.n))
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
            let kind = kind.map(str::as_bytes);
            let entities = sqlx::query(read::ENTITIES)
                .bind(kind)
                .bind(kind)
                .bind(after.map_or(&b""[..], name))
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
            let delete = sqlx::query("call griot_delete_events(?, ?)")
                .bind(name(entity))
                .bind(to.get());
            self.read(delete).await.map(drop)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let committed = self.committer.close();
        Box::pin(async move {
            committed.await;
            self.appends.close().await;
            self.reads.close().await;
        })
    }
}

pub(crate) fn name(entity: &EntityId) -> &[u8] {
    entity.as_str().as_bytes()
}

fn nothing() -> JournalError {
    MysqlError::Database(sqlx::Error::RowNotFound).into()
}

pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
