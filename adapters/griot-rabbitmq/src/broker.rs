//! The broker contract over RabbitMQ.

use std::sync::{Arc, PoisonError};

use griot_core::Publication;
use griot_events::{BoxFuture, Broker, BrokerError, Source, Subscription};
use tokio::sync::{Mutex, RwLock, mpsc, watch};

use crate::feed::{Feed, Reader, Share, Stop};
use crate::link::Link;
use crate::logs::Logs;
use crate::names;
use crate::options::RabbitOptions;
use crate::publisher::Publisher;
use crate::source::{RabbitSource, Shares};

/// RabbitMQ behind the contract of `griot-events`. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct RabbitBroker {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    link: Link,
    logs: Logs,
    publisher: Publisher,
    /// Held for reading while something is published.
    publishing: RwLock<()>,
    closing: watch::Sender<bool>,
    /// Told when everything else is done.
    hanging_up: watch::Sender<bool>,
    feeds: Mutex<Feeds>,
}

/// How many feeds there are: each holds the sender, and nothing is left to receive when all are gone.
#[derive(Debug)]
struct Feeds {
    sender: Option<mpsc::Sender<()>>,
    gone: mpsc::Receiver<()>,
}

impl RabbitBroker {
    /// Connects to the servers in a URL: `amqp://[USER:PASSWORD@]HOST[:PORT][,HOST:PORT][/VHOST][?SETTING=VALUE]`,
    /// or `amqps://…`. The settings are those of [`RabbitOptions`].
    ///
    /// # Errors
    ///
    /// As [`RabbitBroker::connect_with`], and [`BrokerError::Refused`] where the URL is malformed.
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
    /// login or the virtual host is not accepted, or TLS fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no connection.
    pub async fn connect_with(options: RabbitOptions) -> Result<Self, BrokerError> {
        let hanging_up = watch::Sender::new(false);
        let link = Link::connect(options, hanging_up.subscribe()).await?;
        let logs = Logs::new(link.clone());
        let (sender, gone) = mpsc::channel(1);
        let parts = Parts {
            publisher: Publisher::new(link.clone(), logs.clone()),
            logs,
            link,
            publishing: RwLock::new(()),
            closing: watch::Sender::new(false),
            hanging_up,
            feeds: Mutex::new(Feeds {
                sender: Some(sender),
                gone,
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
        let topics = topics_of(&subscription)?;
        let alive = self.parts.feeds.lock().await.sender.clone();
        let alive = alive.ok_or(BrokerError::Closed)?;
        let reader = Reader::new(subscription.in_flight_max);
        let reading = watch::Sender::new(());
        let shares = Shares::default();
        for (word, topic) in topics {
            let link = self.parts.link.clone();
            let share = Share::new(link, subscription.order, Arc::clone(&reader));
            let logs = self.parts.logs.clone();
            let group = &subscription.group;
            let mut feed = Feed::new(Arc::clone(&share), logs, group, word, topic);
            let place = feed.prepare().await?;
            let stop = Stop {
                reading: reading.subscribe(),
                closing: self.parts.closing.subscribe(),
            };
            tokio::spawn(feed.run(Some(place), stop, alive.clone()));
            let mut shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares.push(share);
        }
        let closing = self.parts.closing.subscribe();
        let source = RabbitSource::new(shares, reader, reading, closing);
        Ok(Box::new(source))
    }

    async fn ask_whether_it_is_there(&self) -> Result<(), BrokerError> {
        if self.is_closed() {
            return Err(BrokerError::Closed);
        }
        self.parts.link.check().await
    }

    async fn finish(&self) {
        let published = self.parts.publishing.write().await;
        self.parts.closing.send_replace(true);
        drop(published);
        let mut feeds = self.parts.feeds.lock().await;
        feeds.sender = None;
        // Ends when the last feed has written down what was settled.
        while feeds.gone.recv().await.is_some() {}
        self.parts.hanging_up.send_replace(true);
        self.parts.link.closed().await;
    }
}

/// The topics of a subscription, each with its first word.
fn topics_of(subscription: &Subscription) -> Result<Vec<(String, String)>, BrokerError> {
    let refused = |reason: String| BrokerError::Refused {
        what: "the subscription",
        reason,
    };
    if subscription.topics.is_empty() || subscription.in_flight_max == 0 {
        let reason = "name at least one topic, and let at least one message be in flight";
        return Err(refused(reason.to_owned()));
    }
    let mut topics = subscription.topics.clone();
    topics.sort();
    topics.dedup();
    let mut named = Vec::with_capacity(topics.len());
    for topic in topics {
        if let Some(fault) = names::fault(&topic) {
            return Err(refused(format!("{topic:?}: {fault}")));
        }
        let Some(word) = names::first_word(&topic) else {
            return Err(refused(format!("{topic:?}: name the first word")));
        };
        named.push((word.to_owned(), topic));
    }
    Ok(named)
}

impl Broker for RabbitBroker {
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
