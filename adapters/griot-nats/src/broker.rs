//! The broker contract over JetStream.

use std::sync::Arc;

use griot_core::Publication;
use griot_events::adapter::{Bell, Gate, topics_of};
use griot_events::{BoxFuture, Broker, BrokerError, Order, Source, Subscription};
use serde_json::Value;
use tokio::sync::{OnceCell, watch};

use crate::consumer::Consumer;
use crate::fault;
use crate::feed::{Feed, Share};
use crate::link::Link;
use crate::options::NatsOptions;
use crate::publisher::Publisher;
use crate::source::NatsSource;
use crate::streams::Streams;

/// NATS JetStream behind the contract of `griot-events`. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct NatsBroker {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    link: Link,
    streams: Streams,
    publisher: Publisher,
    gate: Gate,
    /// Whether the connection was closed behind everything else.
    drained: OnceCell<()>,
}

impl NatsBroker {
    /// Connects to the servers in a URL: `nats://[USER:PASSWORD|TOKEN@]HOST[:PORT][,HOST:PORT][?SETTING=VALUE]`,
    /// or `tls://…`. The settings are those of [`NatsOptions`].
    ///
    /// # Errors
    ///
    /// As [`NatsBroker::connect_with`], and [`BrokerError::Refused`] where the URL is malformed.
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
    /// [`BrokerError::Unreachable`] where no server answers, and [`BrokerError::Refused`] where the
    /// login is not accepted, TLS fails, or JetStream is not enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no connection.
    pub async fn connect_with(options: NatsOptions) -> Result<Self, BrokerError> {
        let link = Link::connect(options).await?;
        let streams = Streams::new(link.clone());
        let parts = Parts {
            publisher: Publisher::new(link.clone(), streams.clone()),
            streams,
            link,
            gate: Gate::default(),
            drained: OnceCell::new(),
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

    async fn join(&self, subscription: Subscription) -> Result<Box<dyn Source>, BrokerError> {
        self.parts.gate.check()?;
        self.parts.link.connected().await?;
        let consumers = self.consumers(&subscription).await?;
        // What one member may have in flight, over all its topics.
        let in_flight_max = share_of(subscription.in_flight_max, consumers.len());
        let bell = Arc::new(Bell::default());
        let reading = watch::Sender::new(());
        let alive = self.parts.gate.join().await?;
        let mut shares = Vec::with_capacity(consumers.len());
        for consumer in consumers {
            let link = self.parts.link.clone();
            let share = Share::new(link, subscription.order, in_flight_max, Arc::clone(&bell));
            let feed = Feed::new(Arc::clone(&share), consumer).await?;
            let closing = self.parts.gate.closing();
            tokio::spawn(feed.run(reading.subscribe(), closing, alive.clone()));
            shares.push(share);
        }
        let closing = self.parts.gate.closing();
        Ok(Box::new(NatsSource::new(shares, bell, reading, closing)))
    }

    /// The consumers of a subscription, made where they were not there.
    async fn consumers(&self, subscription: &Subscription) -> Result<Vec<Consumer>, BrokerError> {
        let mut places = Vec::new();
        for topic in topics_of(subscription)? {
            for stream in self.parts.streams.of(&topic).await? {
                places.push((stream, topic.clone()));
            }
        }
        let in_flight_max = share_of(subscription.in_flight_max, places.len());
        let mut consumers = Vec::with_capacity(places.len());
        for (stream, topic) in places {
            let (link, group, order): (_, _, Order) = (
                self.parts.link.clone(),
                &subscription.group,
                subscription.order,
            );
            let consumer = Consumer::new(link, stream, topic, group, order, in_flight_max);
            consumer.make().await?;
            consumers.push(consumer);
        }
        Ok(consumers)
    }

    async fn ask_whether_it_is_there(&self) -> Result<(), BrokerError> {
        self.parts.gate.check()?;
        let link = &self.parts.link;
        if !link.is_connected() {
            return Err(fault::late(std::time::Duration::ZERO));
        }
        let answer = link.ask("INFO", &Value::Null).await;
        answer
            .map(drop)
            .map_err(|trouble| link.forbidden.trouble("JetStream", trouble))
    }

    async fn finish(&self) {
        self.parts.gate.close().await;
        self.parts.drained.get_or_init(|| self.hang_up()).await;
    }

    async fn hang_up(&self) {
        let timeout = self.parts.link.options.timeout;
        let client = &self.parts.link.client;
        let drained = async {
            let _ = client.flush().await;
            client.drain().await
        };
        if !matches!(tokio::time::timeout(timeout, drained).await, Ok(Ok(()))) {
            tracing::warn!("could not say goodbye to NATS");
        }
    }
}

/// What each of so many has, together no more than all; one at least.
fn share_of(in_flight_max: usize, consumers: usize) -> usize {
    (in_flight_max / consumers.max(1)).max(1)
}

impl Broker for NatsBroker {
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
        Box::pin(self.join(subscription))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.ask_whether_it_is_there())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.finish())
    }
}
