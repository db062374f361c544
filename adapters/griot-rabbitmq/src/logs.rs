//! The logs that keep what is published; made where there are none.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use griot_events::BrokerError;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use crate::fault;
use crate::link::Link;
use crate::names;
use crate::words;

/// What to call this in errors.
const WHAT: &str = "the log of a topic";

/// Makes the exchange, and a log for all topics that begin with the same word.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    link: Link,
    /// First words whose log is known to be there.
    known: Arc<Mutex<HashSet<String>>>,
}

impl Logs {
    pub(crate) fn new(link: Link) -> Self {
        let known = Arc::default();
        Self { link, known }
    }

    /// Makes sure that there is a log for what is published to topics of a first word.
    pub(crate) async fn keep(&self, word: &str) -> Result<(), BrokerError> {
        if self.with_known(|known| known.contains(word)) {
            return Ok(());
        }
        self.link.answer(WHAT, self.make(word)).await??;
        self.with_known(|known| known.insert(word.to_owned()));
        Ok(())
    }

    /// Looks again next time: it is not there after all.
    pub(crate) fn forget(&self, word: &str) {
        self.with_known(|known| known.remove(word));
    }

    async fn make(&self, word: &str) -> Result<(), BrokerError> {
        let channel = self.link.channel(WHAT).await?;
        let exchange = self.link.options.exchange.as_str();
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let made = channel
            .exchange_declare(
                exchange.into(),
                ExchangeKind::Topic,
                durable,
                FieldTable::default(),
            )
            .await;
        made.map_err(|error| fault::of("the exchange", error))?;
        let log = names::log_of(exchange, word);
        if find(&self.link, WHAT, &log).await?.is_none() {
            words::list(&self.link, word).await?;
        }
        let declared = declare(&self.link, WHAT, &log, self.arguments()).await?;
        let channel = declared.ok_or_else(|| refused(WHAT, &log))?;
        // `orders.#` stands for `orders` as well.
        let bound = channel
            .queue_bind(
                log.into(),
                exchange.into(),
                format!("{word}.#").into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await;
        bound.map_err(|error| fault::of(WHAT, error))
    }

    fn arguments(&self) -> FieldTable {
        let options = &self.link.options;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("stream"));
        if let Some(age) = options.max_age {
            arguments.insert("x-max-age".into(), text(&format!("{}s", age.as_secs())));
        }
        if let Some(bytes) = options.max_bytes {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(bytes));
        }
        if let Some(replicas) = options.replicas {
            let size = AMQPValue::LongLongInt(replicas.into());
            arguments.insert("x-initial-cluster-size".into(), size);
        }
        arguments
    }

    fn with_known<R>(&self, work: impl FnOnce(&mut HashSet<String>) -> R) -> R {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// The error where the server does not make a queue.
pub(crate) fn refused(what: &'static str, queue: &str) -> BrokerError {
    BrokerError::Refused {
        what,
        reason: format!("the server does not make {queue} as it has to be: its log says why"),
    }
}

/// Makes a durable queue; one that is there already stays as it is. None where the server does not make
/// one like this. The channel is one of its own, since AMQP ends it with a refusal.
pub(crate) async fn declare(
    link: &Link,
    what: &'static str,
    queue: &str,
    arguments: FieldTable,
) -> Result<Option<Channel>, BrokerError> {
    let channel = link.channel(what).await?;
    let declared = channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments)
        .await;
    match declared {
        Ok(_) => Ok(Some(channel)),
        Err(error) if fault::is_different(&error) => {
            tracing::debug!(%error, queue, "it stays as it is");
            find(link, what, queue).await
        }
        Err(error) => Err(fault::of(what, error)),
    }
}

/// A channel on which a queue was found; none where there is no such queue.
async fn find(
    link: &Link,
    what: &'static str,
    queue: &str,
) -> Result<Option<Channel>, BrokerError> {
    let channel = link.channel(what).await?;
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::durable()
    };
    let found = channel
        .queue_declare(queue.into(), passive, FieldTable::default())
        .await;
    match found {
        Ok(_) => Ok(Some(channel)),
        Err(error) if fault::is_absent(&error) => Ok(None),
        Err(error) => Err(fault::of(what, error)),
    }
}
