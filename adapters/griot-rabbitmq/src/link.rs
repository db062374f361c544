//! The connection, which mends itself, and channels of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use griot_events::BrokerError;
use lapin::runtime::default_runtime;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{
    AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism,
};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::fault;
use crate::options::{Login, RabbitOptions, Security};

/// A pause between attempts to reconnect, at most.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// The first pause between attempts to reconnect; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// How often a connection is asked whether it still is one: its events may tell it late.
const LOOK: Duration = Duration::from_secs(1);

/// The reply code of a close that is meant.
pub(crate) const GOODBYE: u16 = 200;

/// The connection to RabbitMQ. It is made again for ever when it is lost.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) options: Arc<RabbitOptions>,
    current: watch::Receiver<Option<Arc<Connection>>>,
}

impl Link {
    /// Connects, and goes on connecting until `closing` says so.
    pub(crate) async fn connect(
        options: RabbitOptions,
        closing: watch::Receiver<bool>,
    ) -> Result<Self, BrokerError> {
        let options = Arc::new(options);
        let dialer = Dialer {
            tls: tls(&options)?,
            options: Arc::clone(&options),
        };
        let first = dialer.dial().await?;
        let (tell, current) = watch::channel(Some(Arc::new(first)));
        tokio::spawn(dialer.keep(tell, closing));
        Ok(Self { options, current })
    }

    /// The connection, as soon as there is one, for as long as a request may take.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        let wait = self.options.timeout;
        let late = || fault::late("the connection", wait);
        timeout(wait, self.connected()).await.map_err(|_| late())?
    }

    /// The connection, as soon as there is one.
    ///
    /// # Errors
    ///
    /// Where the broker was closed.
    pub(crate) async fn connected(&self) -> Result<Arc<Connection>, BrokerError> {
        let mut current = self.current.clone();
        let is_up = |connection: &Option<Arc<Connection>>| {
            connection
                .as_ref()
                .is_some_and(|connection| connection.status().connected())
        };
        let connection = current.wait_for(is_up).await;
        let connection = connection.map_err(|_| BrokerError::Closed)?;
        connection.clone().ok_or(BrokerError::Closed)
    }

    /// Asks whether the server is there.
    pub(crate) async fn check(&self) -> Result<(), BrokerError> {
        if self.current.borrow().is_none() {
            return Err(fault::unconnected());
        }
        self.channel("a channel").await.map(drop)
    }

    /// A channel of its own.
    pub(crate) async fn channel(&self, what: &'static str) -> Result<Channel, BrokerError> {
        let connection = self.connection().await?;
        let channel = self.answer(what, connection.create_channel()).await?;
        channel.map_err(|error| fault::of(what, error))
    }

    /// Awaits the answer to a request, for as long as that may take.
    pub(crate) async fn answer<F: Future>(
        &self,
        what: &'static str,
        request: F,
    ) -> Result<F::Output, BrokerError> {
        let wait = self.options.timeout;
        let answer = timeout(wait, request).await;
        answer.map_err(|_| fault::late(what, wait))
    }

    /// Awaits the end of the connection after `closing` was told.
    pub(crate) async fn closed(&self) {
        let mut current = self.current.clone();
        while current.changed().await.is_ok() {}
    }
}

/// Makes connections.
struct Dialer {
    options: Arc<RabbitOptions>,
    tls: OwnedTLSConfig,
}

impl Dialer {
    /// A connection to the first server that takes one.
    async fn dial(&self) -> Result<Connection, BrokerError> {
        let mut last = BrokerError::Closed;
        for (host, port) in &self.options.servers {
            match self.dial_one(host, *port).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_one(&self, host: &str, port: u16) -> Result<Connection, BrokerError> {
        let properties = ConnectionProperties::default().with_connection_name("griot".into());
        let runtime = default_runtime().map_err(fault::connecting)?;
        let uri = self.uri(host, port);
        let dialed =
            Connection::connect_uri_with_config(uri, properties, self.tls.clone(), runtime);
        let wait = self.options.timeout;
        let dialed = timeout(wait, dialed).await;
        let dialed = dialed.map_err(|_| fault::late("the connection", wait))?;
        dialed.map_err(fault::connecting)
    }

    fn uri(&self, host: &str, port: u16) -> AMQPUri {
        let options = &self.options;
        let (user, password, mechanism) = match &options.login {
            Login::Password { user, password } => (&**user, &**password, SASLMechanism::Plain),
            Login::Certificate => ("", "", SASLMechanism::External),
        };
        AMQPUri {
            scheme: match options.security {
                Security::Plain => AMQPScheme::AMQP,
                Security::Tls => AMQPScheme::AMQPS,
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: user.to_owned(),
                    password: password.to_owned(),
                },
                host: host.trim_matches(['[', ']']).to_owned(),
                port,
            },
            vhost: options.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: u16::try_from(options.heartbeat.as_secs()).ok(),
                auth_mechanism: Some(mechanism),
                ..AMQPQueryString::default()
            },
        }
    }

    /// Tells of each connection, and of its loss, until it is to close.
    async fn keep(
        self,
        tell: watch::Sender<Option<Arc<Connection>>>,
        mut closing: watch::Receiver<bool>,
    ) {
        loop {
            let connection = tell.borrow().clone();
            if let Some(connection) = connection {
                tokio::select! {
                    () = told(&mut closing) => {
                        let goodbye = connection.close(GOODBYE, "goodbye".into());
                        if !matches!(timeout(self.options.timeout, goodbye).await, Ok(Ok(()))) {
                            tracing::warn!("could not say goodbye to RabbitMQ");
                        }
                        return;
                    }
                    () = lost(&connection) => {}
                }
                tracing::warn!("lost the connection to RabbitMQ, reconnecting");
                tell.send_replace(None);
            }
            let again = async {
                for attempt in 0.. {
                    match self.dial().await {
                        Ok(connection) => return Some(connection),
                        Err(error) => tracing::debug!(%error, attempt, "RabbitMQ does not answer"),
                    }
                    sleep(pause(attempt)).await;
                }
                None
            };
            tokio::select! {
                () = told(&mut closing) => return,
                connection = again => {
                    tracing::info!("connected to RabbitMQ");
                    tell.send_replace(connection.map(Arc::new));
                }
            }
        }
    }
}

/// Waits until it is to close, or nobody is left who could say so.
async fn told(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Waits until a connection is one no more.
async fn lost(connection: &Connection) {
    let mut events = std::pin::pin!(connection.events_listener());
    let mut look = tokio::time::interval(LOOK);
    while connection.status().connected() {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Error(error)) => tracing::debug!(%error, "RabbitMQ"),
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(reason, "RabbitMQ takes no messages for now");
                }
                Some(event) => tracing::debug!(?event, "RabbitMQ"),
                None => return,
            },
            _ = look.tick() => {}
        }
    }
}

/// Doubles, and is spread, so that many clients do not all come back at the same moment.
fn pause(attempt: u32) -> Duration {
    let pause = PAUSE_FIRST.saturating_mul(1 << attempt.min(16));
    pause.min(PAUSE_MAX).mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn tls(options: &RabbitOptions) -> Result<OwnedTLSConfig, BrokerError> {
    let ca = match &options.ca {
        Some(path) => {
            let pem = String::from_utf8(read(path)?);
            let no_text = |_| refused(path, "it is no text in PEM form");
            Some(pem.map_err(no_text)?)
        }
        None => None,
    };
    let identity = match &options.identity {
        Some((certificate, key)) => Some(OwnedIdentity::PKCS8 {
            pem: read(certificate)?,
            key: read(key)?,
        }),
        None => None,
    };
    Ok(OwnedTLSConfig {
        identity,
        cert_chain: ca,
    })
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, BrokerError> {
    let read = std::fs::read(path);
    read.map_err(|error| refused(path, &error.to_string()))
}

fn refused(path: &std::path::Path, reason: &str) -> BrokerError {
    BrokerError::Refused {
        what: "a certificate or key",
        reason: format!("{}: {reason}", path.display()),
    }
}
