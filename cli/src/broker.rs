//! The broker that a command speaks to, and how it is reached.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use griot::events::{self, Broker, BrokerError};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::url::shown;

/// How long a broker may take to answer a command that a person waits for.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where a server with the default address has its embedded broker, for other processes.
const LOCAL: &str = "http://127.0.0.1:7070";

/// The URL of a broker, which this program could use as far as can be told without connecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerUrl(String);

impl BrokerUrl {
    /// What the help of a command says that speaks to a broker of other processes.
    pub(crate) const HELP: &str = "The broker: `nats://…`, `kafka://…`, `amqp://…`, or that of a running `griot serve`, `http://HOST:PORT`; \
        `embedded` is the one on this machine with the default address";

    /// All of it, with the password that may stand in it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Without a password.
    pub(crate) fn shown(&self) -> String {
        shown(&self.0)
    }

    /// Whether it is the broker that is part of a server.
    pub(crate) fn is_embedded(&self) -> bool {
        self.0 == events::EMBEDDED
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        events::check_url(url).map_err(|error| error.to_string())?;
        Ok(Self(url.to_owned()))
    }
}

/// All of it: it is what a configuration is written with. People are shown [`BrokerUrl::shown`].
impl Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says which broker it is that cannot be used.
pub(crate) fn failed(url: &BrokerUrl, source: BrokerError) -> Failure {
    let url = url.shown();
    Failure::Broker { url, source }
}

/// Connects to a broker outside of this process, which has to answer soon.
///
/// # Errors
///
/// [`Failure::Broker`], with the URL and the reason.
pub(crate) async fn connect(url: &BrokerUrl) -> Result<Arc<dyn Broker>, Failure> {
    let address = if url.is_embedded() {
        LOCAL
    } else {
        url.as_str()
    };
    let connecting = async {
        let broker = events::connect(address).await?;
        broker.check().await?;
        Ok(broker)
    };
    let connected = timeout(CONNECT_MAX, connecting).await;
    let connected = connected.unwrap_or_else(|late| Err(BrokerError::Unreachable(Arc::new(late))));
    connected.map_err(|error| failed(url, error))
}
