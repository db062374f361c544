//! What other processes tell of their appends, heard over a connection of its own.
//!
//! It tells sooner than asking does, and no more: who was away hears nothing of what was said meanwhile, and a pooler
//! may let nothing through. So the [`Tip`] still asks, and this only raises it.

use std::sync::Arc;
use std::time::Duration;

use griot_core::Offset;
use griot_journal::adapter::Tip;
use sqlx::Row as _;
use sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::PostgresOptions;

/// Between two attempts to listen again.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener(AbortHandle);

impl Listener {
    /// Listens already where the server lets it; else it tries on.
    pub(crate) async fn start(options: &PostgresOptions, tip: Arc<Tip>) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(options.timeout)
            .connect_lazy_with(options.session().application_name("griot listens"));
        let first = timeout(options.timeout, listening(&pool)).await;
        let first = first.ok().and_then(Result::ok);
        Self(tokio::spawn(listen_on(pool, first, tip)).abort_handle())
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

async fn listen_on(pool: PgPool, mut listener: Option<PgListener>, tip: Arc<Tip>) {
    loop {
        if let Some(mut listener) = listener.take() {
            // A connection that was lost is no error: the next call makes another.
            while let Ok(told) = listener.try_recv().await {
                if let Some(offset) = told.as_ref().and_then(offset) {
                    tip.raise(offset);
                }
            }
        }
        sleep(PAUSE).await;
        listener = listening(&pool).await.ok();
    }
}

fn offset(told: &PgNotification) -> Option<Offset> {
    told.payload().parse().ok().map(Offset)
}
