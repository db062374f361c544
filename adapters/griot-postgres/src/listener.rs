//! What other processes tell of their appends, heard over a connection of its own.
//!
//! It tells sooner than asking does, and no more: who was away hears nothing of what was said meanwhile, and a pooler
//! may let nothing through. So the [`Tip`] still asks, and this only has it asked sooner.

use std::sync::Arc;
use std::time::Duration;

use griot_core::Offset;
use griot_journal::adapter::Tip;
use sqlx::Row as _;
use sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::PostgresOptions;
use crate::group::unsigned;
use crate::link::Link;
use crate::read::{self, column};

/// Between two attempts to listen again.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener(AbortHandle);

impl Listener {
    /// Listens already where the server lets it; else it tries on.
    pub(crate) async fn start(options: &PostgresOptions, reads: Link, tip: Arc<Tip>) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(options.timeout)
            .connect_lazy_with(options.session().application_name("griot listens"));
        let first = timeout(options.timeout, listening(&pool)).await;
        let first = first.ok().and_then(Result::ok);
        if first.is_none() {
            tracing::warn!("cannot listen for what others append: asking for it meanwhile");
        }
        Self(tokio::spawn(listen_on(pool, first, reads, tip)).abort_handle())
    }

    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listening(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let row = sqlx::query("select channel()").fetch_one(pool).await?;
    let channel: String = row.try_get(0)?;
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(&channel).await?;
    Ok(listener)
}

async fn listen_on(pool: PgPool, mut listener: Option<PgListener>, reads: Link, tip: Arc<Tip>) {
    loop {
        if let Some(mut listener) = listener.take() {
            // A connection that was lost is no error: the next call makes another.
            while let Ok(told) = listener.try_recv().await {
                let more = std::iter::from_fn(|| listener.next_buffered());
                let news = told.into_iter().chain(more);
                let news = news.filter_map(|told| offset(&told)).max();
                if news.is_some_and(|news| tip.known().is_some_and(|known| known < news)) {
                    ask(&reads, &tip).await;
                }
            }
        }
        sleep(PAUSE).await;
        listener = listening(&pool).await.ok();
    }
}

/// Anybody may say anything: what is believed is what the journal has.
async fn ask(reads: &Link, tip: &Tip) {
    let asked = reads.ask(sqlx::query(read::LAST_OFFSET)).await;
    let rows = asked.unwrap_or_default();
    if let Some(Ok(last)) = rows.first().map(|row| column(row, "last_offset")) {
        tip.raise(Offset(unsigned(last)));
    }
}

fn offset(told: &PgNotification) -> Option<Offset> {
    told.payload().parse().ok().map(Offset)
}
