//! The service: orders that run, their list and their API.

use crate::backends::Backends;
use crate::config::OrdersConfig;
use crate::list::{self, Query};
use crate::order::Order;
use crate::summary::Summary;
use crate::{api, calls};
use axum::Router;
use griot::core::Offset;
use griot::projection::{Projection, ProjectionError};
use griot::sql::{Kept, Migrations, SqlTarget};
use griot::{EntityError, EntityRef, Griot, GriotBuilder};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use utoipa::OpenApi;
use uuid::Uuid;

/// The longest a list waits to show what was durable when it was asked for.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// The orders service, running. Cheap to clone; dropping the last clone ends it as a crash would,
/// and nothing acknowledged is lost.
#[derive(Debug, Clone)]
pub struct Orders(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    griot: Griot,
    kept: Kept,
    stopping: watch::Sender<bool>,
}

impl Orders {
    /// Adds orders to what is about to run: once it does, it takes up every order that is under way.
    #[must_use]
    pub fn register(
        griot: GriotBuilder,
        backends: &Backends,
        config: &OrdersConfig,
    ) -> GriotBuilder {
        griot.entity(calls::entities(backends, config))
    }

    /// What makes the tables of the read model.
    pub fn tables() -> Migrations {
        list::tables()
    }

    /// What keeps the list, to [rebuild](griot::projection::Rebuild) it.
    pub fn projection() -> Projection<SqlTarget> {
        list::projection(Offset::MAX)
    }

    /// The service on `griot`, where orders are [registered](Orders::register): begins to keep the list in
    /// `target`, which was opened with [`tables`](Orders::tables).
    ///
    /// # Errors
    ///
    /// As [`Runner::start`](griot::projection::Runner::start).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the list may have been taken over from another instance; nothing is lost by that.
    pub async fn start(
        griot: Griot,
        target: SqlTarget,
        config: &OrdersConfig,
    ) -> Result<Self, ProjectionError> {
        let orders = Self::begin(griot, config, move || ready(Ok(target.clone())));
        orders.kept().first().await?;
        Ok(orders)
    }

    /// The same, with a list in the database at `url`, which may be there later: until it is, everything works but the
    /// list, and [`kept`](Orders::kept) says what is missing.
    pub fn start_at(griot: Griot, url: &str, config: &OrdersConfig) -> Self {
        let url = url.to_owned();
        Self::begin(griot, config, move || {
            let url = url.clone();
            async move { SqlTarget::open(&url, Self::tables()).await }
        })
    }

    fn begin<O>(griot: Griot, config: &OrdersConfig, open: impl Fn() -> O + Send + 'static) -> Self
    where
        O: Future<Output = Result<SqlTarget, ProjectionError>> + Send,
    {
        let journal = Arc::clone(griot.journal());
        let kept = Kept::begin(open, journal, list::projection, config.take_over_after);
        Self(Arc::new(Inner {
            kept,
            griot,
            stopping: watch::Sender::new(false),
        }))
    }

    /// The HTTP API, and the page at `/`. Unknown routes are the caller's:
    /// [`griot::http::answer_with_problems`] answers them.
    pub fn router(&self) -> Router {
        api::router(self.clone())
    }

    /// The description of the API, for `/openapi.json`.
    pub fn openapi() -> utoipa::openapi::OpenApi {
        api::Description::openapi()
    }

    /// Whether everything works, the database of the list included.
    ///
    /// # Errors
    ///
    /// What does not, and why, in words for people.
    pub async fn ready(&self) -> Result<(), String> {
        if let Some(trouble) = self.0.griot.trouble() {
            return Err(format!("the journal: {trouble}"));
        }
        self.0.kept.ready().await
    }

    /// The list, from when its database is there.
    pub fn kept(&self) -> &Kept {
        &self.0.kept
    }

    /// What the orders run on.
    pub fn griot(&self) -> &Griot {
        &self.0.griot
    }

    /// Answers whoever waits for an order, from now on at once, and ends the keeping of the list in good order: what
    /// it has begun is committed, the rest is for the next start. The orders themselves end with [`Griot::drain`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends by itself.
    pub async fn drain(&self, deadline: Duration) {
        self.0.stopping.send_replace(true);
        self.0.kept.drain(deadline).await;
    }

    /// Ready once the service is being drained.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.0.stopping.subscribe();
        // It cannot close while `self` holds the sender.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    pub(crate) fn entity(&self, id: Uuid) -> Result<EntityRef<Order>, EntityError> {
        self.0.griot.entity(&id.to_string())
    }

    /// Those that `query` asks for, all that were placed before among them; `None` where the one to go on after is
    /// not listed.
    pub(crate) async fn list(
        &self,
        query: &Query,
    ) -> Result<Option<Vec<Summary>>, ProjectionError> {
        let (target, keeper) = self.0.kept.get()?;
        match keeper.read_model().catch_up(CATCH_UP_MAX).await {
            // A list that is a little behind is better than none; one that is not made yet is not.
            Err(ProjectionError::Behind { .. } | ProjectionError::Held { .. })
                if keeper.has_caught_up().await? => {}
            caught_up => caught_up?,
        }
        list::page(&target, query).await
    }
}
