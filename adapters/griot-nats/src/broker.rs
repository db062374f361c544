//! The broker contract over JetStream.

use std::sync::Arc;

use griot_core::Publication;
use griot_events::{BoxFuture, Broker, BrokerError, Order, Source, Subscription};
use serde_json::Value;
use tokio::sync::{Mutex, RwLock, mpsc, watch};

use crate::consumer::Consumer;
use crate::fault;
use crate::feed::{Feed, Reader, Share};
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
    /// Held for reading while something is published.
    publishing: RwLock<()>,
    closing: watch::Sender<bool>,
    feeds: Mutex<Feeds>,
}

/// How many feeds there are: each holds the sender, and nothing is left to receive when all are gone.
#[derive(Debug)]
struct Feeds {
    sender: Option<mpsc::Sender<()>>,
    gone: mpsc::Receiver<()>,
    /// Whether the connection was closed behind them.
    drained: bool,
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
        let (sender, gone) = mpsc::channel(1);
        let parts = Parts {
            publisher: Publisher::new(link.clone(), streams.clone()),
            streams,
            link,
            publishing: RwLock::new(()),
            closing: watch::Sender::new(false),
            feeds: Mutex::new(Feeds {
                sender: Some(sender),
                gone,
                drained: false,
            }),
        };
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    fn is_closed(&self) -> bool {
        *self.parts.closing.borrow()
    }

    async fn publish_all(&self, publications: Vec<Publication>) -> Vec<Result<(), BrokerError>> {
        let _publishing = self.parts.publishing.read().await;
        if self.is_closed() {
            return vec![Err(BrokerError::Closed); publications.len()];
        }
        self.parts.publisher.publish(publications).await
    }

    async fn join(&self, subscription: Subscription) -> Result<Box<dyn Source>, BrokerError> {
        if self.is_closed() {
            return Err(BrokerError::Closed);
        }
        self.parts.link.connected().await?;
        let consumers = self.consumers(&subscription).await?;
        // What one member may have in flight, over all its topics.
        let in_flight_max = share_of(subscription.in_flight_max, consumers.len());
        let reader = Arc::new(Reader::default());
        let reading = watch::Sender::new(());
        let alive = self.parts.feeds.lock().await.sender.clone();
        let alive = alive.ok_or(BrokerError::Closed)?;
        let mut shares = Vec::with_capacity(consumers.len());
        for consumer in consumers {
            let link = self.parts.link.clone();
            let share = Share::new(link, subscription.order, in_flight_max, Arc::clone(&reader));
            let feed = Feed::new(Arc::clone(&share), consumer).await?;
            let closing = self.parts.closing.subscribe();
            tokio::spawn(feed.run(reading.subscribe(), closing, alive.clone()));
            shares.push(share);
        }
        let closing = self.parts.closing.subscribe();
        Ok(Box::new(NatsSource::new(shares, reader, reading, closing)))
    }

    /// The consumers of a subscription, made where they were not there.
    async fn consumers(&self, subscription: &Subscription) -> Result<Vec<Consumer>, BrokerError> {
        if subscription.topics.is_empty() || subscription.in_flight_max == 0 {
            return Err(BrokerError::Refused {
                what: "the subscription",
                reason: "name at least one topic, and let at least one message be in flight"
                    .to_owned(),
            });
        }
        let mut topics = subscription.topics.clone();
        topics.sort();
        topics.dedup();
        let mut places = Vec::new();
        for topic in topics {
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
        if self.is_closed() {
            return Err(BrokerError::Closed);
        }
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
        let published = self.parts.publishing.write().await;
        self.parts.closing.send_replace(true);
        drop(published);
        let mut feeds = self.parts.feeds.lock().await;
        feeds.sender = None;
        // Ends when the last feed has given everything back.
        while feeds.gone.recv().await.is_some() {}
        if feeds.drained {
            return;
        }
        feeds.drained = true;
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
