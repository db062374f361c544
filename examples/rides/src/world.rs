//! Everything running: both services and the e-mails, on one journal and one broker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use griot::events::{self, Broker, BrokerError, Consumer, Consuming, Order, Router, Subscription};
use griot::journal::JournalError;
use griot::prelude::*;

use crate::ride::{self, Ride, Unfit};
use crate::{fulfilment, mail};

/// Messages that each service may have under way.
const IN_FLIGHT_MAX: usize = 256;

/// Both services and the e-mails.
#[derive(Debug)]
#[must_use = "dropped, it ends"]
pub struct World {
    griot: Griot,
    broker: Arc<dyn Broker>,
    consuming: Vec<Consuming>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The journal said no.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The broker said no.
    #[error("{}", .0.in_full())]
    Broker(#[from] BrokerError),
    /// The entities did not start.
    #[error(transparent)]
    Start(#[from] EntityError),
    /// A ride said no.
    #[error(transparent)]
    Ride(#[from] AskError<Unfit>),
    /// It took too long.
    #[error("`{0}` did not happen within {1:?}; its log says why")]
    Late(&'static str, Duration),
}

impl World {
    /// Starts it on the journal in `directory` and the broker that `url` names; e-mails go to
    /// `outbox`.
    ///
    /// # Errors
    ///
    /// What the journal or the broker says.
    pub async fn start(directory: &Path, url: &str, outbox: &Path) -> Result<Self, WorldError> {
        let builder = griot::open(directory).await?;
        let broker = events::open(url, builder.journal()).await?;
        let griot = builder
            .publisher(events::publisher(Arc::clone(&broker)))
            .entity(Entities::<Ride>::new())
            .entity(fulfilment::entities())
            .start()
            .await?;
        let mut world = Self {
            griot: griot.clone(),
            broker,
            consuming: Vec::new(),
        };
        world.listen("rides", ride::router(griot.clone())).await?;
        world
            .listen("fulfilment", fulfilment::router(griot))
            .await?;
        // The feature is this line, and its file.
        world.listen("mail", mail::router(outbox)).await?;
        Ok(world)
    }

    async fn listen(&mut self, group: &str, router: Router) -> Result<(), BrokerError> {
        let subscription = Subscription {
            topics: router.topics(),
            group: group.to_owned(),
            in_flight_max: IN_FLIGHT_MAX,
            order: Order::PerKey,
        };
        let consumer = Consumer::new(Arc::clone(&self.broker), subscription, router);
        self.consuming.push(consumer.start().await?);
        Ok(())
    }

    /// The ride of this name, which need not exist yet.
    ///
    /// # Errors
    ///
    /// A name that no ride can have.
    pub fn ride(&self, name: &str) -> Result<EntityRef<Ride>, EntityError> {
        self.griot.entity(name)
    }

    /// What it runs on.
    pub fn griot(&self) -> &Griot {
        &self.griot
    }

    /// Ends in good order, within twice the deadline: first who listens, then the entities.
    pub async fn drain(self, deadline: Duration) {
        let draining = self.consuming.into_iter().map(|one| one.drain(deadline));
        for draining in draining.map(tokio::spawn).collect::<Vec<_>>() {
            let _ = draining.await;
        }
        self.griot.drain(deadline).await;
        self.broker.close().await;
    }
}
