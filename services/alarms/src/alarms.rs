//! The service: users that hear of their alarms, and their API.

use crate::user::{SendDigest, User};
use crate::{AlarmsConfig, api, events};
use axum::Router;
use futures_util::FutureExt;
use futures_util::future::join_all;
use griot::events::{Broker, BrokerError, Consumer, Consuming, Order, Subscription};
use griot::{Entities, Griot, GriotBuilder};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use utoipa::OpenApi;

/// The alarms service, running. Cheap to clone; dropping the last clone ends it as a crash would, and
/// nothing that was heard is lost: what was not done is given again.
#[derive(Debug, Clone)]
pub struct Alarms(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    griot: Griot,
    /// One for each topic, so that messages of one that wait take no room from the other; none once
    /// it is being drained.
    consuming: Mutex<Vec<Consuming>>,
}

impl Alarms {
    /// Adds the users of alarms to what is about to run. It needs a
    /// [publisher](GriotBuilder::publisher).
    #[must_use]
    pub fn register(griot: GriotBuilder, config: &AlarmsConfig) -> GriotBuilder {
        let users = Entities::<User>::new()
            .limits(config.limits.clone())
            .command::<SendDigest>();
        griot.entity(users)
    }

    /// Begins to listen to `broker`, for the users in `griot`, to which they were added by
    /// [`register`](Self::register).
    ///
    /// # Errors
    ///
    /// As [`Broker::subscribe`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the group of consumers may have been made; nothing is lost by that.
    pub async fn start(
        griot: Griot,
        broker: Arc<dyn Broker>,
        config: AlarmsConfig,
    ) -> Result<Self, BrokerError> {
        let router = events::router(griot.clone(), &config);
        let mut consuming = Vec::new();
        for topic in router.topics() {
            let subscription = Subscription {
                topics: vec![topic],
                group: config.group.clone(),
                in_flight_max: config.in_flight_max,
                // No decision needs the order. But where a broker gives a key to one instance at a
                // time, no two of them contend for one user.
                order: Order::PerKey,
            };
            let consumer = Consumer::new(Arc::clone(&broker), subscription, router.clone());
            consuming.push(consumer.start().await?);
        }
        Ok(Self(Arc::new(Inner {
            griot,
            consuming: Mutex::new(consuming),
        })))
    }

    /// The HTTP API. Unknown routes are the caller's: [`griot::http::answer_with_problems`] answers
    /// them.
    pub fn router(&self) -> Router {
        api::router(self.clone())
    }

    /// The description of the API, for `/openapi.json`.
    pub fn openapi() -> utoipa::openapi::OpenApi {
        api::Description::openapi()
    }

    /// Whether everything works but the broker, which is the program's to ask.
    ///
    /// # Errors
    ///
    /// What does not, and why, in words for people.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(trouble) = self.0.griot.trouble() {
            return Err(format!("the journal: {trouble}"));
        }
        let ended = {
            let consuming = self.consuming();
            let has_ended = |one: &Consuming| one.ended().now_or_never().is_some();
            consuming.is_empty() || consuming.iter().any(has_ended)
        };
        if ended {
            return Err("the messages about alarms are not listened to any more".to_owned());
        }
        Ok(())
    }

    /// What the users run on.
    pub fn griot(&self) -> &Griot {
        &self.0.griot
    }

    /// Ends the listening in good order: takes no more messages in, finishes those under way, and
    /// gives the rest back to the broker. What runs the users is drained after it, by whoever started
    /// it. Says how many messages were under way still at the deadline; those are given again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the listening ends at once, as a crash would end it.
    pub async fn drain(&self, deadline: Duration) -> usize {
        let consuming = std::mem::take(&mut *self.consuming());
        let draining = consuming.into_iter().map(|one| one.drain(deadline));
        join_all(draining).await.into_iter().sum()
    }

    fn consuming(&self) -> MutexGuard<'_, Vec<Consuming>> {
        let consuming = self.0.consuming.lock();
        consuming.unwrap_or_else(PoisonError::into_inner)
    }
}
