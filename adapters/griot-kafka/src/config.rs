//! The settings of Kafka's clients, each for a reason.

use std::path::Path;

use griot_events::Subscription;
use rdkafka::ClientConfig;

use crate::names;
use crate::options::{KafkaOptions, Login, Mechanism};

/// What every client is told.
pub(crate) fn client(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    let timeout_ms = options.timeout.as_millis().to_string();
    config
        .set("bootstrap.servers", options.servers.join(","))
        .set("client.id", "griot")
        // A topic is made by us, with our settings, or not at all.
        .set("allow.auto.create.topics", "false")
        // A peer that is silent for so long is taken for gone: also where the network swallows everything.
        .set("socket.timeout.ms", &timeout_ms)
        .set("socket.connection.setup.timeout.ms", &timeout_ms)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000");
    let password = matches!(options.login, Login::Password { .. } | Login::Token(_));
    let protocol = match (options.tls.is_some(), password) {
        (false, false) => "plaintext",
        (false, true) => "sasl_plaintext",
        (true, false) => "ssl",
        (true, true) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = &options.tls {
        if let Some(ca) = &tls.ca {
            config.set("ssl.ca.location", text(ca));
        }
        if let Some((certificate, key)) = &tls.identity {
            config.set("ssl.certificate.location", text(certificate));
            config.set("ssl.key.location", text(key));
        }
    }
    match &options.login {
        Login::Anonymous => {}
        Login::Password {
            mechanism,
            user,
            password,
        } => {
            let mechanism = match mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            config
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", user)
                .set("sasl.password", password);
        }
        Login::Token(_) => {
            config.set("sasl.mechanism", "OAUTHBEARER");
        }
    }
    config
}

/// What a client that publishes is told.
pub(crate) fn producer(options: &KafkaOptions) -> ClientConfig {
    let mut config = client(options);
    config
        // All replicas that are in sync have it, each once, in order.
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // A message that fails for good takes the later ones with it, rather than let them overtake it.
        .set("enable.gapless.guarantee", "true")
        // The client never gives a message up by itself: a later one could overtake it.
        .set("message.timeout.ms", "0")
        .set(
            "request.timeout.ms",
            options.timeout.as_millis().to_string(),
        )
        // As the Java client, so that other programs put a key where we do.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "1")
        .set("compression.type", "lz4")
        // Bounds what waits to be sent: all that is kept of messages while no server is reached, which are
        // never given up.
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "32768");
    config
}

/// What a client that subscribes is told.
pub(crate) fn consumer(options: &KafkaOptions, subscription: &Subscription) -> ClientConfig {
    let mut config = client(options);
    let session = options.session.as_millis();
    let is_pattern = |topic: &String| names::is_pattern(topic);
    let refresh_ms = if subscription.topics.iter().any(is_pattern) {
        2_000
    } else {
        30_000
    };
    config
        .set("group.id", &subscription.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        // A member that comes or goes takes from the others only what it is to have.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.to_string())
        // How soon a member hears that another came: every heartbeat asks.
        .set(
            "heartbeat.interval.ms",
            (session / 10).clamp(100, 1_000).to_string(),
        )
        .set("max.poll.interval.ms", session.max(300_000).to_string())
        // Topics that are new to a pattern, and partitions that are new to a topic.
        .set("topic.metadata.refresh.interval.ms", refresh_ms.to_string())
        .set("topic.blacklist", "^__")
        // Bounds what is read ahead, for each member.
        .set("queued.min.messages", "10000")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "50")
        .set("fetch.error.backoff.ms", "100");
    config
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
