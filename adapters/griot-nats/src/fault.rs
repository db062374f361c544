//! What the client's and the server's errors mean, and what to do about them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::{ConnectError, ConnectErrorKind};
use griot_events::{BrokerError, Cause};

/// What an administrator has to do where JetStream is not there.
const ENABLE: &str = "JetStream is not enabled: add `jetstream { store_dir: \"…\", sync_interval: always }` to the server's configuration, and enable it for the account where there are accounts";

/// The last thing that the server said we may not do. It says so beside the request that suffered,
/// which merely gets no answer.
#[derive(Debug, Default)]
pub(crate) struct Forbidden(Mutex<Option<String>>);

impl Forbidden {
    pub(crate) fn note(&self, error: &str) {
        if error.to_ascii_lowercase().contains("permissions violation") {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
        }
    }

    /// The error of a request without an answer.
    fn or(&self, otherwise: BrokerError, what: &'static str) -> BrokerError {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.map_or(otherwise, |said| BrokerError::Refused {
            what,
            reason: format!(
                "the server says {said}: allow this user to publish and subscribe to its topics, `$JS.API.>`, `$JS.ACK.>` and `_INBOX.>`"
            ),
        })
    }

    /// The error of a request to JetStream.
    pub(crate) fn trouble(&self, what: &'static str, trouble: Trouble) -> BrokerError {
        match trouble {
            Trouble::Absent => BrokerError::Unreachable(timed_out(ENABLE.to_owned())),
            Trouble::Silent(cause) => self.or(BrokerError::Unreachable(cause), what),
            Trouble::Said(error) => refusal(what, error),
        }
    }

    /// The error of a publication whose acknowledgement did not come.
    pub(crate) fn unconfirmed(&self, cause: Cause) -> BrokerError {
        self.or(BrokerError::Unknown(cause), "the publication")
    }
}

/// Why a request to JetStream came to nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody listens: JetStream is not enabled, or still starting.
    Absent,
    /// No answer.
    Silent(Cause),
    /// It says no.
    Said(async_nats::jetstream::Error),
}

impl Trouble {
    /// Whether this is what JetStream said.
    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Said(error) if error.error_code() == code)
    }
}

/// JetStream is not there at all.
pub(crate) fn disabled(what: &'static str) -> BrokerError {
    BrokerError::Refused {
        what,
        reason: ENABLE.to_owned(),
    }
}

/// What JetStream's no means.
pub(crate) fn refusal(what: &'static str, error: async_nats::jetstream::Error) -> BrokerError {
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            disabled(what)
        }
        _ if error.code() == 503 => BrokerError::Unreachable(Arc::new(error)),
        _ => BrokerError::Refused {
            what,
            reason: format!("the server says: {error}"),
        },
    }
}

/// The error of the first connection.
pub(crate) fn connecting(error: ConnectError) -> BrokerError {
    let reason = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            "the server does not accept this login: check user and password, token or credentials file"
        }
        ConnectErrorKind::ServerParse => "an address is malformed: use nats://host:port",
        _ if is_of_tls(&error) => {
            "TLS failed: check that the server speaks it, and name the authority that signed its certificate with ?ca=PATH"
        }
        _ => return BrokerError::Unreachable(Arc::new(error)),
    };
    BrokerError::Refused {
        what: "the connection",
        reason: format!("{reason} ({error})"),
    }
}

/// Whether TLS is what failed: the client calls that an error of input and output, mostly.
fn is_of_tls(error: &ConnectError) -> bool {
    let mut causes = causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .filter_map(std::io::Error::get_ref);
    error.kind() == ConnectErrorKind::Tls
        || causes.any(|cause| cause.downcast_ref::<async_nats::rustls::Error>().is_some())
}

/// Not connected for so long.
pub(crate) fn late(after: Duration) -> BrokerError {
    let text = format!(
        "not connected to NATS for {} ms: is the server running?",
        after.as_millis()
    );
    BrokerError::Unreachable(timed_out(text))
}

fn timed_out(text: String) -> Cause {
    Arc::new(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
}

/// What JetStream itself said, where an error of the client comes from that.
pub(crate) fn said<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a async_nats::jetstream::Error> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error, and what it comes from.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
