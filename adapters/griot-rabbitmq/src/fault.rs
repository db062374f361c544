//! What the client's and the server's errors mean, and what to do about them.

use std::sync::Arc;
use std::time::Duration;

use griot_events::BrokerError;
use lapin::{Error, ErrorKind};

/// What AMQP says where a queue or exchange is not there.
const NOT_FOUND: u16 = 404;

/// What AMQP says where a queue exists and is not as it is asked for.
const PRECONDITION_FAILED: u16 = 406;

/// What AMQP says where a login or a permission is missing.
const ACCESS_REFUSED: u16 = 403;

/// What AMQP says where there is no such virtual host, or nobody may enter it.
const NOT_ALLOWED: u16 = 530;

/// The number of what the server said, where it said something.
fn code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said.get_id()),
        _ => None,
    }
}

/// Whether there is a queue that is not as it was asked for.
pub(crate) fn is_different(error: &Error) -> bool {
    code(error) == Some(PRECONDITION_FAILED)
}

/// Whether what was asked about is not there.
pub(crate) fn is_absent(error: &Error) -> bool {
    code(error) == Some(NOT_FOUND)
}

/// What the error of a request means.
pub(crate) fn of(what: &'static str, error: Error) -> BrokerError {
    match code(&error) {
        Some(ACCESS_REFUSED | NOT_ALLOWED) => BrokerError::Refused {
            what,
            reason: format!(
                "the server says {error}: give this user the permission to configure, write and read what begins with the name of the exchange, in this virtual host"
            ),
        },
        Some(PRECONDITION_FAILED) => BrokerError::Refused {
            what,
            reason: format!("the server says {error}"),
        },
        _ => BrokerError::Unreachable(Arc::new(error)),
    }
}

/// The error of a first connection.
pub(crate) fn connecting(error: Error) -> BrokerError {
    let reason = match (code(&error), error.kind()) {
        (Some(ACCESS_REFUSED), _) => {
            "the server does not accept this login: check user and password"
        }
        (Some(NOT_ALLOWED), _) => {
            "this user may not enter the virtual host, or there is none of that name: add it with `rabbitmqctl add_vhost`, and `rabbitmqctl set_permissions`"
        }
        (_, ErrorKind::IOError(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            "TLS failed: check that the server speaks it on this port, and name the authority that signed its certificate with ?ca=PATH"
        }
        _ => return BrokerError::Unreachable(Arc::new(error)),
    };
    BrokerError::Refused {
        what: "the connection",
        reason: format!("{reason} ({error})"),
    }
}

/// There is no connection now.
pub(crate) fn unconnected() -> BrokerError {
    let text = "not connected to RabbitMQ: is the server running?";
    let error = std::io::Error::new(std::io::ErrorKind::NotConnected, text);
    BrokerError::Unreachable(Arc::new(error))
}

/// No answer for so long.
pub(crate) fn late(what: &str, after: Duration) -> BrokerError {
    let text = format!("{what}: no answer of RabbitMQ for {} ms", after.as_millis());
    let error = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
    BrokerError::Unreachable(Arc::new(error))
}

/// A queue that was there is not, or gives nothing any more.
pub(crate) fn gone(queue: &str) -> BrokerError {
    let text = format!("RabbitMQ took the queue {queue} away: was it deleted?");
    BrokerError::Unreachable(Arc::new(std::io::Error::other(text)))
}
