//! The broker contract over RabbitMQ.

use std::sync::{Arc, PoisonError};

use griot_core::Publication;
use griot_events::adapter::{Gate, Stay, topics_of};
use griot_events::{BoxFuture, Broker, BrokerError, Order, Source, Subscription};
use tokio::sync::watch;

use crate::feed::{Feed, Reader, Share, Stop};
use crate::link::Link;
use crate::logs::Logs;
use crate::names;
use crate::options::RabbitOptions;
use crate::place::Place;
use crate::publisher::Publisher;
use crate::source::{RabbitSource, Shares};
use crate::words;

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
    gate: Gate,
    /// Told when everything else is done.
    hanging_up: watch::Sender<bool>,
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
        let parts = Parts {
            publisher: Publisher::new(link.clone(), logs.clone()),
            logs,
            link,
            gate: Gate::default(),
            hanging_up,
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
        let alive = self.parts.gate.join().await?;
        let topics = topics_of(&subscription)?;
        if let Some((topic, fault)) = topics
            .iter()
            .find_map(|topic| Some((topic, names::fault(topic)?)))
        {
            return Err(BrokerError::Refused {
                what: "the subscription",
                reason: format!("{topic:?}: {fault}"),
            });
        }
        let reading = watch::Sender::new(());
        let member = Member {
            link: self.parts.link.clone(),
            logs: self.parts.logs.clone(),
            group: subscription.group,
            order: subscription.order,
            reader: Reader::new(subscription.in_flight_max),
            shares: Shares::default(),
            stop: Stop {
                reading: reading.subscribe(),
                closing: self.parts.gate.closing(),
            },
            alive,
        };
        let (reader, shares) = (Arc::clone(&member.reader), Arc::clone(&member.shares));
        for topic in topics {
            match names::first_word(&topic) {
                Some(word) => member.join(word.to_owned(), topic.clone()).await?,
                None => member.clone().follow(topic),
            }
        }
        let closing = self.parts.gate.closing();
        let source = RabbitSource::new(shares, reader, reading, closing);
        Ok(Box::new(source))
    }

    async fn ask_whether_it_is_there(&self) -> Result<(), BrokerError> {
        self.parts.gate.check()?;
        self.parts.link.check().await
    }

    async fn finish(&self) {
        // Behind the last feed, which has written down what was settled.
        self.parts.gate.close().await;
        self.parts.hanging_up.send_replace(true);
        self.parts.link.closed().await;
    }
}

/// A member of a group, as its feeds need to know it.
#[derive(Clone)]
struct Member {
    link: Link,
    logs: Logs,
    group: String,
    order: Order,
    reader: Arc<Reader>,
    shares: Shares,
    stop: Stop,
    alive: Stay,
}

impl Member {
    /// Reads a topic, or what a pattern stands for, whose first word is known.
    async fn join(&self, word: String, topic: String) -> Result<(), BrokerError> {
        let (share, mut feed) = self.feed(word, topic);
        let place = feed.prepare().await?;
        self.start(share, feed, Some(place));
        Ok(())
    }

    /// Reads what a pattern stands for that begins with a wildcard: topics of all words there are and will
    /// be.
    fn follow(self, pattern: String) {
        tokio::spawn(async move {
            let mut stop = self.stop.clone();
            let join = |word: String| {
                let (share, feed) = self.feed(word, pattern.clone());
                self.start(share, feed, None);
            };
            tokio::select! {
                () = stop.wait() => {}
                () = words::follow(&self.link, join) => {}
            }
        });
    }

    fn feed(&self, word: String, topic: String) -> (Arc<Share>, Feed) {
        let reader = Arc::clone(&self.reader);
        let share = Share::new(self.link.clone(), self.order, reader);
        let logs = self.logs.clone();
        let feed = Feed::new(Arc::clone(&share), logs, &self.group, word, topic);
        (share, feed)
    }

    fn start(&self, share: Arc<Share>, feed: Feed, place: Option<Place>) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.push(share);
        tokio::spawn(feed.run(place, self.stop.clone(), self.alive.clone()));
    }
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
