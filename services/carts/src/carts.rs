//! The service: carts, the table of their items, and their API.

use crate::cart::Cart;
use crate::{CartsConfig, api, items};
use axum::Router;
use griot::projection::{Projection, ProjectionError};
use griot::sql::{Kept, Migrations, SqlTarget};
use griot::{Entities, EntityError, EntityRef, Griot, GriotBuilder};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use utoipa::OpenApi;

/// The carts service, running. Cheap to clone; dropping the last clone ends it as a crash would, and nothing
/// acknowledged is lost.
#[derive(Debug, Clone)]
pub struct Carts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    griot: Griot,
    kept: Kept,
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
    /// As [`Runner::start`](griot::projection::Runner::start).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the projection may have been taken over from another instance; nothing is lost by that.
    pub async fn start(
        griot: Griot,
        target: SqlTarget,
        config: &CartsConfig,
    ) -> Result<Self, ProjectionError> {
        let carts = Self::begin(griot, config, move || ready(Ok(target.clone())));
        carts.kept().first().await?;
        Ok(carts)
    }

    /// The same, with the table in the database at `url`, which may be there later: until it is, everything works but the
    /// list of items, and [`kept`](Carts::kept) says what is missing.
    pub fn start_at(griot: Griot, url: &str, config: &CartsConfig) -> Self {
        let url = url.to_owned();
        Self::begin(griot, config, move || {
            let url = url.clone();
            async move { SqlTarget::open(&url, Self::tables()).await }
        })
    }

    fn begin<O>(griot: Griot, config: &CartsConfig, open: impl Fn() -> O + Send + 'static) -> Self
    where
        O: Future<Output = Result<SqlTarget, ProjectionError>> + Send,
    {
        let journal = Arc::clone(griot.journal());
        let projection = |_| items::projection();
        let kept = Kept::begin(open, journal, projection, config.take_over_after);
        Self(Arc::new(Inner { griot, kept }))
    }

    /// What keeps the table of items, to [rebuild](griot::projection::Rebuild) it.
    pub fn projection() -> Projection<SqlTarget> {
        items::projection()
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
        self.0.kept.ready().await
    }

    /// The table of items, from when its database is there.
    pub fn kept(&self) -> &Kept {
        &self.0.kept
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
        self.0.kept.drain(deadline).await;
    }

    pub(crate) fn entity(&self, id: &str) -> Result<EntityRef<Cart>, EntityError> {
        self.0.griot.entity(id)
    }
}
