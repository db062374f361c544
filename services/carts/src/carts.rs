//! The service: carts, the table of their items, and their API.

use crate::cart::Cart;
use crate::{CartsConfig, api, items};
use axum::Router;
use griot::core::{EntityId, Seq};
use griot::projection::{ProjectionError, ReadModel, Runner, Running, State};
use griot::sql::{Migrations, SqlTarget};
use griot::{Entities, EntityError, EntityRef, Griot, GriotBuilder};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use utoipa::OpenApi;

/// The carts service, running. Cheap to clone; dropping the last clone ends it as a crash would, and nothing
/// acknowledged is lost.
#[derive(Debug, Clone)]
pub struct Carts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    griot: Griot,
    target: SqlTarget,
    read_model: ReadModel<SqlTarget>,
    stop: watch::Sender<bool>,
    /// Why the table is not kept any more; `None` while it is.
    ended: watch::Receiver<Option<String>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let keeper = self
            .keeper
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper {
            keeper.abort();
        }
    }
}

impl Carts {
    /// Adds carts to what is about to run.
    #[must_use]
    pub fn register(griot: GriotBuilder, config: &CartsConfig) -> GriotBuilder {
        griot.entity(Entities::<Cart>::new().limits(config.limits.clone()))
    }

    /// What makes the tables of the read model.
    pub fn tables() -> Migrations {
        items::tables()
    }

    /// The service on `griot`, where carts are [registered](Carts::register): begins to keep the table of items in
    /// `target`, which was opened with [`tables`](Carts::tables).
    ///
    /// # Errors
    ///
    /// As [`Runner::start`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the projection may have been taken over from another instance; nothing is lost by that.
    pub async fn start(
        griot: Griot,
        target: SqlTarget,
        config: &CartsConfig,
    ) -> Result<Self, ProjectionError> {
        let runner = Runner::new(Arc::clone(griot.journal()), target.clone());
        let running = runner.start(&items::projection()).await?;
        let read_model = running.read_model().clone();
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = watch::channel(None);
        let keeper = tokio::spawn(keep(runner, running, config.take_over_after, stopping, end));
        Ok(Self(Arc::new(Inner {
            griot,
            target,
            read_model,
            stop,
            ended,
            keeper: Mutex::new(Some(keeper)),
        })))
    }

    /// The HTTP API. Unknown routes are the caller's: [`griot::http::answer_with_problems`] answers them.
    pub fn router(&self) -> Router {
        api::router(self.clone())
    }

    /// The description of the API, for `/openapi.json`.
    pub fn openapi() -> utoipa::openapi::OpenApi {
        api::Description::openapi()
    }

    /// Whether everything works, the database of the read model included.
    ///
    /// # Errors
    ///
    /// What does not, and why, in words for people.
    pub async fn ready(&self) -> Result<(), String> {
        if let Some(trouble) = self.0.griot.trouble() {
            return Err(format!("the journal: {trouble}"));
        }
        if let Some(reason) = &*self.0.ended.borrow() {
            return Err(format!("the table of items is not kept any more: {reason}"));
        }
        let standing = self.0.read_model.standing().await;
        let standing = standing.map_err(|error| format!("the read model: {error}"))?;
        let held = standing.iter().find(|slice| slice.state != State::Running);
        held.map_or(Ok(()), |slice| {
            Err(format!("the table of items is {}", slice.state))
        })
    }

    /// What the carts run on.
    pub fn griot(&self) -> &Griot {
        &self.0.griot
    }

    /// Ends the keeping of the table in good order: what it has begun is committed, the rest is for the next start. What
    /// runs the carts is drained after it, by whoever started it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends by itself.
    pub async fn drain(&self, deadline: Duration) {
        self.0.stop.send_replace(true);
        let keeper = self.keeper().take();
        if let Some(mut keeper) = keeper
            && timeout(deadline, &mut keeper).await.is_err()
        {
            keeper.abort();
        }
    }

    fn keeper(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        let keeper = self.0.keeper.lock();
        keeper.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entity(&self, id: &str) -> Result<EntityRef<Cart>, EntityError> {
        self.0.griot.entity(id)
    }

    /// Waits until the table shows what happened to a cart up to `seq`.
    pub(crate) async fn wait_for(
        &self,
        cart: &EntityId,
        seq: Seq,
        deadline: Duration,
    ) -> Result<(), ProjectionError> {
        self.0.read_model.wait_for(cart, seq, deadline).await
    }

    pub(crate) fn target(&self) -> &SqlTarget {
        &self.0.target
    }
}

/// Keeps the table until it is told to stop, or it cannot be kept any more. While another instance keeps it, this one
/// stands by.
async fn keep(
    runner: Runner<SqlTarget>,
    mut running: Running<SqlTarget>,
    take_over_after: Duration,
    mut stopping: watch::Receiver<bool>,
    end: watch::Sender<Option<String>>,
) {
    loop {
        let ended = tokio::select! {
            ended = running.ended() => ended,
            _ = stopping.changed() => return report(running.drain().await, &end),
        };
        let Err(error @ ProjectionError::Fenced { .. }) = ended else {
            return report(ended, &end);
        };
        tracing::info!(%error, "another instance keeps the table of items");
        let read_model = running.read_model().clone();
        tokio::select! {
            () = read_model.until_abandoned(take_over_after) => {}
            _ = stopping.changed() => return,
        }
        tracing::info!("no instance keeps the table of items any more: this one does");
        running = match runner.start(&items::projection()).await {
            Ok(running) => running,
            Err(error) => return report(Err(error), &end),
        };
    }
}

/// Says why the table is not kept any more, where that is not as it should be.
fn report(ended: Result<(), ProjectionError>, end: &watch::Sender<Option<String>>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the table of items is not kept any more");
        end.send_replace(Some(error.to_string()));
    }
}
