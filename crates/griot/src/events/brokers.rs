//! Brokers by their URLs.

use std::sync::Arc;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::{Broker, BrokerError};
use griot_journal::Journal;
#[cfg(feature = "kafka")]
use griot_kafka::{KafkaBroker, KafkaOptions};
#[cfg(feature = "nats")]
use griot_nats::{NatsBroker, NatsOptions};
#[cfg(feature = "rabbitmq")]
use griot_rabbitmq::{RabbitBroker, RabbitOptions};
#[cfg(feature = "remote")]
use griot_remote::{RemoteBroker, RemoteOptions};

/// The URL of the broker on the program's own journal.
pub const EMBEDDED: &str = "embedded";

/// Opens the broker that `url` names, for a program with a journal: `embedded` is the one on that
/// journal; the others are those of [`connect`].
///
/// # Errors
///
/// As [`connect`] and [`EmbeddedBroker::open`].
///
/// # Cancel safety
///
/// Dropped, there is no broker and nothing is lost.
pub async fn open(url: &str, journal: &Arc<dyn Journal>) -> Result<Arc<dyn Broker>, BrokerError> {
    if url != EMBEDDED {
        return connect(url).await;
    }
    let opening = EmbeddedBroker::open(Arc::clone(journal), EmbeddedOptions::default());
    Ok(Arc::new(opening.await?))
}

/// Connects to the broker of its own that `url` names:
///
/// | URL | broker | feature |
/// | --- | --- | --- |
/// | `nats://…`, `tls://…` | NATS JetStream | `nats` |
/// | `kafka://…`, `kafkas://…` | Kafka | `kafka` |
/// | `amqp://…`, `amqps://…` | RabbitMQ | `rabbitmq` |
/// | `http://…`, `https://…` | that of a running griot server | `remote` |
///
/// What else may stand in a URL is said by the adapter.
///
/// # Errors
///
/// [`BrokerError::Unreachable`] where nobody answers, and [`BrokerError::Refused`] for a URL that
/// means nothing here, or a login that is not accepted.
///
/// # Cancel safety
///
/// Dropped, there is no connection.
pub async fn connect(url: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    match scheme(url) {
        #[cfg(feature = "nats")]
        "nats" | "tls" => Ok(Arc::new(NatsBroker::connect(url).await?)),
        #[cfg(feature = "kafka")]
        "kafka" | "kafkas" => Ok(Arc::new(KafkaBroker::connect(url).await?)),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => Ok(Arc::new(RabbitBroker::connect(url).await?)),
        #[cfg(feature = "remote")]
        "http" | "https" => Ok(Arc::new(RemoteBroker::connect(url).await?)),
        _ => Err(unknown(url)),
    }
}

/// Whether [`open`] could use `url`, as far as can be told without connecting.
///
/// # Errors
///
/// [`BrokerError::Refused`], with what is wrong with it.
pub fn check_url(url: &str) -> Result<(), BrokerError> {
    match scheme(url) {
        _ if url == EMBEDDED => Ok(()),
        #[cfg(feature = "nats")]
        "nats" | "tls" => url.parse::<NatsOptions>().map(drop),
        #[cfg(feature = "kafka")]
        "kafka" | "kafkas" => url.parse::<KafkaOptions>().map(drop),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => url.parse::<RabbitOptions>().map(drop),
        #[cfg(feature = "remote")]
        "http" | "https" => url.parse::<RemoteOptions>().map(drop),
        _ => Err(unknown(url)),
    }
}

/// What stands before `://`.
fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// Says no more of the URL than its scheme: there may be a password in it.
fn unknown(url: &str) -> BrokerError {
    let mut known = vec![EMBEDDED];
    known.extend(cfg!(feature = "nats").then_some("nats://HOST"));
    known.extend(cfg!(feature = "kafka").then_some("kafka://HOST:PORT"));
    known.extend(cfg!(feature = "rabbitmq").then_some("amqp://HOST"));
    known.extend(cfg!(feature = "remote").then_some("http://HOST:PORT"));
    let given = match scheme(url) {
        "" => "the URL has no scheme".to_owned(),
        scheme => format!("`{scheme}://` is not known to this program"),
    };
    BrokerError::Refused {
        what: "this URL",
        reason: format!("{given}: write {}", known.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_means_nothing_is_refused_without_repeating_its_password() {
        for url in ["embeded", "http:/x", "nowhere://me:secret@host", ""] {
            let said = check_url(url).unwrap_err().to_string();
            assert!(said.contains("embedded"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        assert!(check_url(EMBEDDED).is_ok());
    }

    #[cfg(feature = "nats")]
    #[test]
    fn a_setting_that_an_adapter_does_not_know_is_refused() {
        assert!(check_url("nats://localhost").is_ok());
        assert!(check_url("nats://localhost?lease=5").is_err());
    }
}
