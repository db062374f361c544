//! Topics: those that there are, and those that are made here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use griot_events::BrokerError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use tokio::time::Instant;

use crate::config;
use crate::context::Context;
use crate::fault;
use crate::names;
use crate::options::{KafkaOptions, Login};
use crate::publisher::Client as Publishing;

/// What to call this in errors.
const WHAT: &str = "the topic";

/// Copies of a topic, where the cluster has servers for as many.
const REPLICAS: usize = 3;

/// How often a topic that was just made is looked for.
const PAUSE: Duration = Duration::from_millis(20);

/// The topics that were seen, with their numbers of partitions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<HashMap<String, i32>>>);

/// Sees to topics.
#[derive(Debug)]
pub(crate) struct Topics {
    options: Arc<KafkaOptions>,
    known: Known,
}

/// What the servers say of a topic.
enum Found {
    /// It has so many partitions.
    Ready(i32),
    /// It was made, and some partition has nobody who leads it yet.
    Starting,
    /// There is none; the cluster has so many servers.
    Absent(usize),
}

impl Known {
    pub(crate) fn forget(&self, topic: &str) {
        self.all().remove(topic);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topics {
    pub(crate) fn new(options: Arc<KafkaOptions>, known: Known) -> Self {
        Self { options, known }
    }

    /// Sees to a topic: makes it where there is none. Says how many partitions it has.
    pub(crate) async fn hold(&self, client: &Publishing, topic: &str) -> Result<i32, BrokerError> {
        if let Some(partitions) = self.known.all().get(topic) {
            return Ok(*partitions);
        }
        if let Some(reason) = names::fault(topic) {
            return Err(BrokerError::Refused { what: WHAT, reason });
        }
        if names::is_pattern(topic) {
            let reason = format!("{topic:?} is a pattern: name one topic");
            return Err(BrokerError::Refused { what: WHAT, reason });
        }
        let end = Instant::now() + self.options.timeout;
        let mut is_made = false;
        loop {
            match self.find(client, topic).await? {
                Found::Ready(partitions) => {
                    self.known.all().insert(topic.to_owned(), partitions);
                    return Ok(partitions);
                }
                Found::Absent(servers) if !is_made => {
                    self.make(topic, servers).await?;
                    is_made = true;
                }
                Found::Absent(_) | Found::Starting => {}
            }
            if Instant::now() >= end {
                let cause = fault::late("a topic that was made", self.options.timeout);
                return Err(BrokerError::Unreachable(cause));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn find(&self, client: &Publishing, topic: &str) -> Result<Found, BrokerError> {
        let (client, name, timeout) = (Arc::clone(client), topic.to_owned(), self.options.timeout);
        let found = tokio::task::spawn_blocking(move || look(client.client(), &name, timeout));
        let found = found.await.map_err(fault::ended)?;
        found.map_err(|error| fault::request(WHAT, error))
    }

    async fn make(&self, topic: &str, servers: usize) -> Result<(), BrokerError> {
        let options = &self.options;
        if matches!(options.login, Login::Token(_)) {
            // The client that makes topics cannot be given tokens: it has no place to ask for them.
            return Err(BrokerError::Refused {
                what: WHAT,
                reason: format!(
                    "there is no {topic:?}: with OAUTHBEARER topics are not made here, create it first"
                ),
            });
        }
        let copies = options.replicas.map_or(servers.min(REPLICAS), usize::from);
        let copies = i32::try_from(copies.max(1)).unwrap_or(i32::MAX);
        let mut wanted = NewTopic::new(
            topic,
            options.partitions.into(),
            TopicReplication::Fixed(copies),
        );
        if copies >= 3 {
            // Acknowledged by two, a message survives the loss of one.
            wanted = wanted.set("min.insync.replicas", "2");
        }
        let context = Context::new(options, ());
        let client: AdminClient<_> = config::client(options)
            .create_with_context(context)
            .map_err(fault::client)?;
        let timeouts = AdminOptions::new()
            .request_timeout(Some(options.timeout))
            .operation_timeout(Some(options.timeout));
        let made = client.create_topics([&wanted], &timeouts).await;
        // Its thread is waited for.
        drop(tokio::task::spawn_blocking(move || drop(client)));
        for outcome in made.map_err(|error| fault::request(WHAT, error))? {
            match outcome {
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(fault::request(WHAT, KafkaError::AdminOp(code))),
                Ok(_) => {
                    tracing::info!(
                        topic,
                        partitions = options.partitions,
                        copies,
                        "made a topic"
                    );
                }
            }
        }
        Ok(())
    }
}

fn look<R: Send + Sync>(
    client: &Client<Context<R>>,
    topic: &str,
    timeout: Duration,
) -> Result<Found, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let servers = metadata.brokers().len();
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(Found::Absent(servers));
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Ok(Found::Absent(servers));
        }
        Some(RDKafkaErrorCode::LeaderNotAvailable) => return Ok(Found::Starting),
        Some(code) => return Err(KafkaError::MetadataFetch(code)),
    }
    let partitions = found.partitions();
    if partitions.is_empty() || partitions.iter().any(|partition| partition.leader() < 0) {
        return Ok(Found::Starting);
    }
    Ok(Found::Ready(
        i32::try_from(partitions.len()).unwrap_or(i32::MAX),
    ))
}
