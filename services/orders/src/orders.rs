//! The service: orders that run, their list and their API.

use crate::backends::Backends;
use crate::config::OrdersConfig;
use crate::index::{Query, Summary, UnknownAfter};
use crate::listing::{Listing, tip_beyond};
use crate::order::Order;
use crate::{api, calls};
use axum::Router;
use griot::core::Offset;
use griot::{EntityError, EntityRef, Griot, GriotBuilder};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use utoipa::OpenApi;
use uuid::Uuid;

/// The orders service, running. Cheap to clone; dropping the last clone ends it as a crash would,
/// and nothing acknowledged is lost.
#[derive(Debug, Clone)]
pub struct Orders(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    griot: Griot,
    listing: Arc<Listing>,
    follower: JoinHandle<()>,
    stopping: watch::Sender<bool>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.follower.abort();
    }
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

    /// The service on `griot`, where orders are [registered](Orders::register): begins to build the
    /// list.
    pub fn start(griot: Griot) -> Self {
        let began = tip_beyond(&**griot.journal(), Offset::ZERO).unwrap_or(Offset::ZERO);
        let listing = Arc::new(Listing::new(began));
        let follower = Arc::clone(&listing).follow(Arc::clone(griot.journal()));
        Self(Arc::new(Inner {
            follower: tokio::spawn(follower),
            griot,
            listing,
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

    /// Whether everything works.
    ///
    /// # Errors
    ///
    /// What does not, and why, in words for people.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(trouble) = self.0.griot.trouble() {
            return Err(format!("the journal: {trouble}"));
        }
        if !self.0.listing.is_caught_up() {
            return Err("the list of orders is being built from the journal".to_owned());
        }
        Ok(())
    }

    /// What the orders run on.
    pub fn griot(&self) -> &Griot {
        &self.0.griot
    }

    /// Answers whoever waits for an order, from now on at once. The orders themselves end with
    /// [`Griot::drain`].
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
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

    pub(crate) fn is_listed(&self) -> bool {
        self.0.listing.is_caught_up()
    }

    pub(crate) async fn list(&self, query: &Query) -> Result<Vec<Summary>, UnknownAfter> {
        self.0.listing.catch_up(&**self.0.griot.journal()).await;
        self.0.listing.list(query)
    }
}
