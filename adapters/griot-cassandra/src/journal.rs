//! The journal: each call asks the cluster, appends by way of the committer.

use std::sync::Arc;

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::adapter::{Committer, Tip};
use griot_journal::{
    AppendError, Appended, Batch, BoxFuture, Commit, Filter, Journal, JournalError,
    PAGE_COMMITS_MAX, Page, RecordedEvent, SeqRange, ShardId, Unsettled,
};
use tokio::sync::Mutex;

use crate::CassandraOptions;
use crate::chain::{Chain, Committing, Head, progress};
use crate::link::Link;
use crate::read;
use crate::tail::Tail;

/// A journal and its snapshots in a keyspace of Apache Cassandra, for any number of processes at a time.
///
/// It remembers every key that an entity ever answered.
///
/// Dropping it lets what is under way finish in the background; [`close`](Journal::close) waits for that.
#[derive(Debug)]
pub struct CassandraJournal {
    committer: Committer,
    tip: Arc<Tip>,
    chain: Arc<Mutex<Chain>>,
    link: Arc<Link>,
    pub(crate) tail: Tail,
}

impl CassandraJournal {
    /// Connects to the cluster that a URL names, and makes keyspace and tables where they are missing. The URL is
    /// `cassandra://USER:PASSWORD@HOST:PORT,…/KEYSPACE?SETTING=VALUE&…`; [`CassandraOptions`] says which settings.
    ///
    /// # Errors
    ///
    /// [`JournalError::NewerVersion`] where a newer griot made the tables, [`JournalError::Unreachable`] where no node
    /// answers; [`JournalError::Store`] with a [`CassandraError`](crate::CassandraError) in it for everything else.
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
    pub async fn open(options: &CassandraOptions) -> Result<Self, JournalError> {
        let link = Arc::new(Link::open(options).await?);
        let tip = Arc::new(Tip::new(options.poll));
        let chain = Chain::open(Arc::clone(&link), Arc::clone(&tip)).await?;
        let chain = Arc::new(Mutex::new(chain));
        Ok(Self {
            committer: Committer::start(Committing(Arc::clone(&chain)), Arc::clone(&tip)),
            tip,
            chain,
            link,
            tail: Tail::default(),
        })
    }

    /// The way to the cluster, while the journal is open.
    pub(crate) fn link(&self) -> Result<&Link, JournalError> {
        self.committer.check_open()?;
        Ok(&self.link)
    }

    pub(crate) async fn head(&self) -> Result<Head, JournalError> {
        let head = progress(self.link()?).await?;
        self.tip.raise(head.last_offset);
        Ok(head)
    }

    async fn last_offset(&self) -> Result<Offset, JournalError> {
        Ok(self.head().await?.last_offset)
    }
}

impl Journal for CassandraJournal {
    fn claim<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Epoch, JournalError>> {
        Box::pin(async move {
            self.link()?;
            Ok(self.chain.lock().await.claim(shard).await?)
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
            let head = self.head().await?;
            read::events(self.link()?, entity, head.number, range).await
        })
    }

    fn commits<'a>(
        &'a self,
        entity: &'a EntityId,
        from: Seq,
        skip: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Commit>, JournalError>> {
        let some = (skip, limit.min(PAGE_COMMITS_MAX));
        Box::pin(async move {
            let head = self.head().await?;
            read::commits(self.link()?, entity, head.number, from, some).await
        })
    }

    fn last_seq<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Seq, JournalError>> {
        let idle = self.committer.idle();
        Box::pin(async move {
            idle.await?;
            let head = self.head().await?;
            let last = read::last_commit(self.link()?, entity, head.number).await?;
            Ok(last.map_or(Seq::ZERO, |(seq, ..)| Seq(seq.cast_unsigned())))
        })
    }

    fn tail<'a>(
        &'a self,
        after: Offset,
        filter: &'a Filter,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, JournalError>> {
        Box::pin(async move {
            let head = self.head().await?;
            let link = self.link()?;
            self.tail.page(link, head, after, filter, limit).await
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
        Box::pin(async move { read::unsettled(self.link()?, kind, after, limit).await })
    }

    fn entities<'a>(
        &'a self,
        kind: Option<&'a str>,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<EntityId>, JournalError>> {
        Box::pin(async move { read::entities(self.link()?, kind, after, limit).await })
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        to: Seq,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.link()?;
            Ok(self.chain.lock().await.delete(entity, to).await?)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.committer.close()
    }
}
