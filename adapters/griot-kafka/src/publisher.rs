//! Publishes: all at once, in order within a partition, each until Kafka has it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use griot_core::Publication;
use griot_events::BrokerError;
use rdkafka::Message as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
    ThreadedProducer,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::config;
use crate::context::Context;
use crate::fault;
use crate::options::KafkaOptions;
use crate::topics::{Known, Topics};
use crate::wire;

/// The client that publishes.
pub(crate) type Client = Arc<ThreadedProducer<Context<Deliveries>>>;

/// The pause before a message is tried again for which there was no room.
const PAUSE: Duration = Duration::from_millis(5);

/// What became of a message; none while it is under way.
type Outcome = Option<Result<(), BrokerError>>;

/// Messages under way by topic and message id: one that is published again, since nobody heard of it
/// in time, is not sent twice, but waited for.
type Pending = Arc<Mutex<HashMap<u128, watch::Receiver<Outcome>>>>;

/// Told by the client what became of each message.
#[derive(Debug)]
pub(crate) struct Deliveries {
    pending: Pending,
    known: Known,
}

/// A message under way.
#[derive(Debug)]
pub(crate) struct Sent {
    name: Option<u128>,
    done: watch::Sender<Outcome>,
}

impl ProducerContext<NoCustomPartitioner> for Context<Deliveries> {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, message)) => {
                if fault::is_absent(error) {
                    self.role.known.forget(message.topic());
                }
                Err(fault::publication(error.clone()))
            }
        };
        if let Some(name) = sent.name {
            locked(&self.role.pending).remove(&name);
        }
        sent.done.send_replace(Some(outcome));
    }
}

/// Publishes to Kafka and awaits its confirms.
pub(crate) struct Publisher {
    options: Arc<KafkaOptions>,
    pub(crate) topics: Topics,
    known: Known,
    pending: Pending,
    /// None once it is closed.
    client: RwLock<Option<Client>>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Publisher");
        shown
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A message on its way, or why it is not.
type Begun = Result<watch::Receiver<Outcome>, BrokerError>;

impl Publisher {
    pub(crate) fn new(options: Arc<KafkaOptions>) -> Result<Self, BrokerError> {
        let known = Known::default();
        let publisher = Self {
            topics: Topics::new(Arc::clone(&options), known.clone()),
            options,
            known,
            pending: Pending::default(),
            client: RwLock::new(None),
        };
        let client = publisher.make()?;
        *publisher
            .client
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(client);
        Ok(publisher)
    }

    fn make(&self) -> Result<Client, BrokerError> {
        let role = Deliveries {
            pending: Arc::clone(&self.pending),
            known: self.known.clone(),
        };
        let context = Context::new(&self.options, role);
        let client = config::producer(&self.options).create_with_context(context);
        client.map(Arc::new).map_err(fault::client)
    }

    /// The client; makes another where it has failed for good.
    pub(crate) fn client(&self) -> Result<Client, BrokerError> {
        let client = {
            let slot = self.client.read().unwrap_or_else(PoisonError::into_inner);
            slot.clone().ok_or(BrokerError::Closed)?
        };
        let Some((code, reason)) = client.client().fatal_error() else {
            return Ok(client);
        };
        let mut slot = self.client.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = slot
            .as_ref()
            .filter(|current| !Arc::ptr_eq(current, &client))
        {
            return Ok(Arc::clone(current));
        }
        tracing::error!(%code, reason, "Kafka's client failed for good, what it had is told to be unknown; it is made anew");
        let fresh = self.make()?;
        let failed = slot.replace(Arc::clone(&fresh));
        // Dropped, it tells what became of its messages, and its thread is waited for.
        drop(tokio::task::spawn_blocking(move || drop((failed, client))));
        Ok(fresh)
    }

    /// The outcomes, in the order of the publications.
    pub(crate) async fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> Vec<Result<(), BrokerError>> {
        let end = Instant::now() + self.options.timeout;
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return vec![Err(error); publications.len()],
        };
        let mut topics = HashMap::new();
        for publication in &publications {
            if !topics.contains_key(&publication.topic) {
                let held = self.topics.hold(&client, &publication.topic).await;
                topics.insert(publication.topic.clone(), held);
            }
        }
        let mut failed: HashMap<String, BrokerError> = HashMap::new();
        let mut begun = Vec::with_capacity(publications.len());
        for publication in publications {
            let held = topics.get(&publication.topic).cloned();
            let earlier = publication.key.as_ref().and_then(|key| failed.get(key));
            let sent = match (earlier, held) {
                (Some(error), _) => Err(fault::held_back(error)),
                (None, Some(Ok(partitions))) => {
                    self.begin(&client, &publication, partitions, end).await
                }
                (None, Some(Err(error))) => Err(error),
                (None, None) => Err(BrokerError::Closed),
            };
            if let (Err(error), Some(key)) = (&sent, &publication.key) {
                failed.entry(key.clone()).or_insert_with(|| error.clone());
            }
            begun.push((publication.key, sent));
        }
        self.finish(begun, end).await
    }

    /// Hands a message to the client, once there is room.
    async fn begin(
        &self,
        client: &Client,
        publication: &Publication,
        partitions: i32,
        end: Instant,
    ) -> Begun {
        let id = wire::id(publication);
        let name = id.map(|id| xxh3_128(format!("{}\0{id}", publication.topic).as_bytes()));
        loop {
            let error = match self.send(client, publication, partitions, name) {
                Ok(outcome) => return outcome,
                Err(error) => error,
            };
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !is_full || Instant::now() >= end {
                return Err(fault::publication(error));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn send(
        &self,
        client: &Client,
        publication: &Publication,
        partitions: i32,
        name: Option<u128>,
    ) -> Result<Begun, KafkaError> {
        let mut pending = locked(&self.pending);
        if let Some(under_way) = name.and_then(|name| pending.get(&name)) {
            return Ok(Ok(under_way.clone()));
        }
        let headers = match wire::headers(publication) {
            Ok(headers) => headers,
            Err(error) => return Ok(Err(error)),
        };
        let (done, outcome) = watch::channel(None);
        let sent = Box::new(Sent { name, done });
        let mut record = BaseRecord::with_opaque_to(&publication.topic, sent)
            .payload(publication.payload.as_ref())
            .headers(headers);
        match &publication.key {
            Some(key) => record = record.key(key.as_str()),
            // Any partition will do, and the same one when it is published again: there it is known.
            None => {
                record.partition = wire::id(publication).and_then(|id| partition(id, partitions));
            }
        }
        client.send(record).map_err(|(error, _)| error)?;
        if let Some(name) = name {
            pending.insert(name, outcome.clone());
        }
        Ok(Ok(outcome))
    }

    /// Awaits what becomes of the messages of a call.
    async fn finish(
        &self,
        begun: Vec<(Option<String>, Begun)>,
        end: Instant,
    ) -> Vec<Result<(), BrokerError>> {
        let mut failed = HashMap::<String, BrokerError>::new();
        let mut outcomes = Vec::with_capacity(begun.len());
        for (key, sent) in begun {
            let mut outcome = match sent {
                Ok(outcome) => self.outcome(outcome, end).await,
                Err(error) => Err(error),
            };
            let earlier = key.as_ref().and_then(|key| failed.get(key));
            if let (Ok(()), Some(error)) = (&outcome, earlier) {
                // Heard of too late for the one before it: told to be unknown, both are asked for again.
                outcome = Err(error.clone());
            }
            if let (Err(error), Some(key)) = (&outcome, key) {
                failed.entry(key).or_insert_with(|| error.clone());
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn outcome(
        &self,
        mut outcome: watch::Receiver<Outcome>,
        end: Instant,
    ) -> Result<(), BrokerError> {
        let known = timeout_at(end, outcome.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Ok(())),
            // The client is gone without a word.
            Ok(Err(error)) => Err(BrokerError::Unknown(Arc::new(error))),
            Err(_) => {
                let cause = fault::late("a publication", self.options.timeout);
                Err(BrokerError::Unknown(cause))
            }
        }
    }

    /// Sends what is under way, for so long as a publication may take, and lets go of the client.
    pub(crate) async fn close(&self) {
        let client = self
            .client
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(client) = client else { return };
        let timeout = self.options.timeout;
        let closed = tokio::task::spawn_blocking(move || {
            if let Err(error) = client.flush(timeout) {
                tracing::warn!(%error, "messages were still under way to Kafka when it was closed");
            }
        });
        let _ = closed.await;
    }
}

/// The partition of a message without a key.
fn partition(id: &str, partitions: i32) -> Option<i32> {
    let partitions = u64::try_from(partitions).ok().filter(|count| *count > 0)?;
    i32::try_from(xxh3_64(id.as_bytes()) % partitions).ok()
}

fn locked(pending: &Pending) -> MutexGuard<'_, HashMap<u128, watch::Receiver<Outcome>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
