//! The service: users that hear of their alarms, and their API.

use crate::user::{SendDigest, User};
use crate::{AlarmsConfig, api, events};
use axum::Router;
use futures_util::FutureExt;
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
    /// `None` once it is being drained.
    consuming: Mutex<Option<Consuming>>,
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
        let subscription = Subscription {
            topics: router.topics(),
            group: config.group,
            in_flight_max: config.in_flight_max,
            // No decision needs the order. But where a broker gives a key to one instance at a time,
            // no two of them contend for one user.
            order: Order::PerKey,
        };
        let consumer = Consumer::new(broker, subscription, router);
        let consuming = consumer.start().await?;
        Ok(Self(Arc::new(Inner {
            griot,
            consuming: Mutex::new(Some(consuming)),
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
        let ended = match self.consuming().as_ref() {
            Some(consuming) => consuming.ended().now_or_never().is_some(),
            None => true,
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
        let consuming = self.consuming().take();
        match consuming {
            Some(consuming) => consuming.drain(deadline).await,
            None => 0,
        }
    }

    fn consuming(&self) -> MutexGuard<'_, Option<Consuming>> {
        let consuming = self.0.consuming.lock();
        consuming.unwrap_or_else(PoisonError::into_inner)
    }
}
