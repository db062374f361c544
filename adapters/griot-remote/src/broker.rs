//! The broker contract over a running server.

use std::sync::Arc;

use griot_core::Publication;
use griot_events::adapter::Gate;
use griot_events::{BoxFuture, Broker, BrokerError, Source, Subscription};
use tokio::time::{Instant, timeout};

use crate::inbox::Inbox;
use crate::limits::TOPICS_MAX;
use crate::link::{Joining, Link, again_after, lost};
use crate::options::RemoteOptions;
use crate::publisher::Publisher;
use crate::source::RemoteSource;
use crate::wire::{Ask, Nothing};

/// The broker of a running griot server, behind the contract of `griot-events`. Cheap to clone; clones
/// share one connection to publish by, and each subscription has one of its own.
#[derive(Clone, Debug)]
pub struct RemoteBroker {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    options: Arc<RemoteOptions>,
    publisher: Publisher,
    /// Every connection stays until it has ended.
    gate: Gate,
}

impl RemoteBroker {
    /// Connects to the server at a URL: `http://host:port`, or `https://` where TLS is spoken.
    ///
    /// # Errors
    ///
    /// As [`RemoteBroker::connect_with`], and [`BrokerError::Refused`] where the URL is malformed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no connection.
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::connect_with(url.parse()?).await
    }

    /// Connects. From then on a lost connection is made again, for ever, with growing pauses.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unreachable`] where no server answers in time, and [`BrokerError::Refused`]
    /// where what answers is no griot server, one of another version, or not trusted.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no connection.
    pub async fn connect_with(options: RemoteOptions) -> Result<Self, BrokerError> {
        let options = Arc::new(options);
        let gate = Gate::default();
        let (closing, alive) = (gate.closing(), gate.join().await?);
        let link = Link::connect(Arc::clone(&options), None, closing, alive).await?;
        let parts = Parts {
            publisher: Publisher::new(link, Arc::clone(&options)),
            options,
            gate,
        };
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    async fn publish_all(&self, publications: Vec<Publication>) -> Vec<Result<(), BrokerError>> {
        match self.parts.gate.enter().await {
            Ok(_within) => self.parts.publisher.publish(publications).await,
            Err(error) => vec![Err(error); publications.len()],
        }
    }

    async fn join(&self, subscription: Subscription) -> Result<RemoteSource, BrokerError> {
        let topics = subscription.topics.len();
        if topics > TOPICS_MAX {
            return Err(BrokerError::Refused {
                what: "the subscription",
                reason: format!("{topics} topics, and {TOPICS_MAX} are taken: use a pattern"),
            });
        }
        let inbox = Arc::new(Inbox::new(subscription.in_flight_max));
        let joining = Joining {
            subscribe: subscription.into(),
            inbox: Arc::clone(&inbox),
        };
        let link = self.link(joining).await?;
        Ok(RemoteSource::new(link, inbox, self.parts.gate.closing()))
    }

    /// Connects for a subscription; a server that cannot be reached for a moment is waited for.
    async fn link(&self, joining: Joining) -> Result<Link, BrokerError> {
        let by = Instant::now() + self.parts.options.timeout;
        for attempt in 0.. {
            let gate = &self.parts.gate;
            let (closing, alive) = (gate.closing(), gate.join().await?);
            let options = Arc::clone(&self.parts.options);
            let linked = Link::connect(options, Some(joining.clone()), closing, alive).await;
            match linked {
                Err(BrokerError::Unreachable(_)) if Instant::now() < by => {
                    again_after(attempt).await;
                }
                linked => return linked,
            }
        }
        Err(BrokerError::Closed)
    }

    async fn ask_whether_it_is_there(&self) -> Result<(), BrokerError> {
        self.parts.gate.check()?;
        let asker = self.parts.publisher.link().now()?;
        let answer = timeout(
            self.parts.options.timeout,
            asker.ask(Ask::Check(Nothing {})),
        );
        let outcomes = answer.await.unwrap_or_else(|_| Err(lost()));
        let outcome = outcomes.map(|outcomes| outcomes.into_iter().next().unwrap_or_default());
        match outcome.and_then(|outcome| outcome.into_result("the check")) {
            Err(BrokerError::Unknown(cause)) => Err(BrokerError::Unreachable(cause)),
            checked => checked,
        }
    }
}

impl Broker for RemoteBroker {
    fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> BoxFuture<'_, Vec<Result<(), BrokerError>>> {
        Box::pin(self.publish_all(publications))
    }

    fn subscribe(
        &self,
        subscription: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn Source>, BrokerError>> {
        Box::pin(async move {
            let source = self.join(subscription).await?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.ask_whether_it_is_there())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.parts.gate.close())
    }
}
