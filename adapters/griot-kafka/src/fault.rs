//! What the client's and the server's errors mean, and what to do about them.

use std::sync::Arc;
use std::time::Duration;

use griot_events::{BrokerError, Cause};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The error of a request: trying again may help where it is not refused.
pub(crate) fn request(what: &'static str, error: KafkaError) -> BrokerError {
    let refusal = error
        .rdkafka_error_code()
        .and_then(|code| refusal(what, code));
    refusal.unwrap_or_else(|| BrokerError::Unreachable(Arc::new(error)))
}

/// The error of a publication that was handed to the client.
pub(crate) fn publication(error: KafkaError) -> BrokerError {
    let code = error.rdkafka_error_code();
    if let Some(refusal) = code.and_then(|code| refusal("the publication", code)) {
        return refusal;
    }
    match code {
        // It was never sent.
        Some(
            RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => BrokerError::Unreachable(Arc::new(error)),
        _ => BrokerError::Unknown(Arc::new(error)),
    }
}

/// Whether the topic is not there.
pub(crate) fn is_absent(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

/// The error, where trying again does not help.
pub(crate) fn refusal(what: &'static str, code: RDKafkaErrorCode) -> Option<BrokerError> {
    let hint = match code {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            "the server does not accept this login: check user, password or token, and the mechanism with ?sasl=…"
        }
        RDKafkaErrorCode::UnsupportedSASLMechanism => {
            "the server does not speak this mechanism: name another with ?sasl=…"
        }
        RDKafkaErrorCode::SSL => {
            "TLS failed: check that the server speaks it at this port, and name the authority that signed its certificate with ?ca=PATH"
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            "this user may not use the topic: allow it to describe, read and write its topics, and to create them or have them created before"
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            "this user may not use the group: allow it to read it"
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "the cluster refuses this user: allow it to create topics, and idempotent writes where the server is older than 3.0"
        }
        RDKafkaErrorCode::MessageSizeTooLarge => {
            "it is too large: send less than a megabyte, and not more than the topic's max.message.bytes"
        }
        RDKafkaErrorCode::InconsistentGroupProtocol => {
            "other members of the group do not assign cooperatively: let all of a group be of this kind"
        }
        RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::InvalidPartitions
        | RDKafkaErrorCode::InvalidReplicationFactor
        | RDKafkaErrorCode::InvalidConfig
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::InvalidSessionTimeout
        | RDKafkaErrorCode::InvalidGroupId => "change what the message says",
        _ => return None,
    };
    Some(BrokerError::Refused {
        what,
        reason: format!("{hint} ({code})"),
    })
}

/// The client could not be made with these options.
pub(crate) fn client(error: KafkaError) -> BrokerError {
    BrokerError::Refused {
        what: "the connection",
        reason: format!("check the options: {error}"),
    }
}

/// No answer for so long.
pub(crate) fn late(what: &str, after: Duration) -> Cause {
    let text = format!(
        "{what}: no answer for {} ms, is Kafka running?",
        after.as_millis()
    );
    Arc::new(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
}

/// Not sent because an earlier message of its key failed.
pub(crate) fn held_back(error: &BrokerError) -> BrokerError {
    let text = format!("not sent, since an earlier message of its key failed: {error}");
    BrokerError::Unreachable(Arc::new(std::io::Error::other(text)))
}

/// A task or thread of ours ended before its time.
pub(crate) fn ended(error: impl std::error::Error + Send + Sync + 'static) -> BrokerError {
    BrokerError::Unreachable(Arc::new(error))
}
