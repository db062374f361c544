//! The broker contract over Kafka.

use std::sync::Arc;
use std::time::Duration;

use griot_core::Publication;
use griot_events::adapter::{Gate, topics_of};
use griot_events::{BoxFuture, Broker, BrokerError, Source, Subscription};
use rdkafka::producer::Producer as _;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fault;
use crate::ledger::Share;
use crate::member::Member;
use crate::names;
use crate::options::KafkaOptions;
use crate::publisher::{Client, Publisher};
use crate::source::KafkaSource;

/// How long one question to the servers may take, so that a login they refuse is told soon.
const ASK: Duration = Duration::from_secs(1);

/// A topic that every cluster has once a group has read: whether it is there does not matter.
const ANY_TOPIC: &str = "__consumer_offsets";

/// Kafka behind the contract of `griot-events`. Cheap to clone; clones share one client.
#[derive(Clone, Debug)]
pub struct KafkaBroker {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    options: Arc<KafkaOptions>,
    publisher: Publisher,
    gate: Gate,
}

impl KafkaBroker {
    /// Connects to the servers in a URL: `kafka://[USER:PASSWORD@]HOST:PORT[,HOST:PORT][?SETTING=VALUE]`,
    /// or `kafkas://…` for TLS. The settings are those of [`KafkaOptions`].
    ///
    /// # Errors
    ///
    /// As [`KafkaBroker::connect_with`], and [`BrokerError::Refused`] where the URL is malformed.
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
    /// [`BrokerError::Unreachable`] where no server answers in time, and [`BrokerError::Refused`] where
    /// the login is not accepted, TLS fails, or an option is not.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no connection.
    pub async fn connect_with(options: KafkaOptions) -> Result<Self, BrokerError> {
        let options = Arc::new(options);
        let publisher = Publisher::new(Arc::clone(&options))?;
        let client = publisher.client()?;
        let parts = Parts {
            options,
            publisher,
            gate: Gate::default(),
        };
        let broker = Self {
            parts: Arc::new(parts),
        };
        match broker.ask(&client).await {
            Ok(()) => Ok(broker),
            Err(error) => {
                drop(client);
                broker.finish().await;
                Err(error)
            }
        }
    }

    /// Asks the servers until they answer or refuse us, for as long as a request may take.
    async fn ask(&self, client: &Client) -> Result<(), BrokerError> {
        let timeout = self.parts.options.timeout;
        let end = Instant::now() + timeout;
        loop {
            let asking = Arc::clone(client);
            let step = ASK.min(timeout);
            let asked = tokio::task::spawn_blocking(move || {
                asking
                    .client()
                    .fetch_metadata(Some(ANY_TOPIC), step)
                    .map(drop)
            });
            let error = match asked.await.map_err(fault::ended)? {
                Ok(()) => return Ok(()),
                Err(error) => fault::request("the connection", error),
            };
            if let Some(refusal) = client.client().context().take_refusal() {
                return Err(refusal);
            }
            if matches!(error, BrokerError::Refused { .. }) || Instant::now() >= end {
                return Err(error);
            }
        }
    }

    async fn publish_all(&self, publications: Vec<Publication>) -> Vec<Result<(), BrokerError>> {
        match self.parts.gate.enter().await {
            Ok(_within) => self.parts.publisher.publish(publications).await,
            Err(error) => vec![Err(error); publications.len()],
        }
    }

    async fn join(&self, mut subscription: Subscription) -> Result<Box<dyn Source>, BrokerError> {
        self.parts.gate.check()?;
        subscription.topics = topics_of(&subscription)?;
        let client = self.parts.publisher.client()?;
        for topic in &subscription.topics {
            if !names::is_pattern(topic) {
                self.parts.publisher.topics.hold(&client, topic).await?;
            } else if let Some(reason) = names::fault(topic) {
                let what = "the subscription";
                return Err(BrokerError::Refused { what, reason });
            }
        }
        let alive = self.parts.gate.join().await?;
        let share = Share::new(subscription.in_flight_max);
        let member = Member::join(
            Arc::clone(&self.parts.options),
            &subscription,
            Arc::clone(&share),
        )?;
        let reading = watch::Sender::new(());
        let closing = self.parts.gate.closing();
        tokio::spawn(member.run(reading.subscribe(), closing.clone(), alive));
        Ok(Box::new(KafkaSource::new(share, reading, closing)))
    }

    async fn ask_whether_it_is_there(&self) -> Result<(), BrokerError> {
        self.parts.gate.check()?;
        let client = self.parts.publisher.client()?;
        self.ask(&client).await
    }

    async fn finish(&self) {
        // Behind the last member, which has left its group.
        self.parts.gate.close().await;
        self.parts.publisher.close().await;
    }
}

impl Broker for KafkaBroker {
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
