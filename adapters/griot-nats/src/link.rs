//! The connection, and requests to JetStream over it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::RequestErrorKind;
use async_nats::connection::State;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{Context, ContextBuilder};
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use griot_events::BrokerError;
use serde_json::Value;
use tokio::sync::watch;

use crate::fault::{self, Forbidden, Trouble};
use crate::options::{Login, NatsOptions};

/// A pause between attempts to reconnect, at most.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Publications that may be out and not acknowledged, over all calls.
const UNCONFIRMED_MAX: usize = 4_096;

/// Where JetStream's own requests go.
const API: &str = "$JS.API";

/// The connection to NATS. It mends itself.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) context: Context,
    pub(crate) client: Client,
    pub(crate) options: Arc<NatsOptions>,
    pub(crate) forbidden: Arc<Forbidden>,
    connected: watch::Receiver<()>,
}

impl Link {
    pub(crate) async fn connect(options: NatsOptions) -> Result<Self, BrokerError> {
        let forbidden = Arc::new(Forbidden::default());
        let (told, connected) = watch::channel(());
        let connect = with_login(&options).await?;
        let connect = with_tls(connect, &options)
            .name("griot")
            .request_timeout(Some(options.timeout))
            .connection_timeout(options.timeout)
            // The third that is due while two are not answered ends the connection; the client's own
            // interval would keep one that leads nowhere for three minutes.
            .ping_interval(options.timeout)
            .reconnect_delay_callback(pause)
            .event_callback({
                let forbidden = Arc::clone(&forbidden);
                move |event| {
                    observe(&event, &forbidden, &told);
                    std::future::ready(())
                }
            });
        let client = connect.connect(&options.servers).await;
        let client = client.map_err(fault::connecting)?;
        let context = ContextBuilder::new()
            .timeout(options.timeout)
            .max_ack_inflight(UNCONFIRMED_MAX)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let link = Self {
            context,
            client,
            options: Arc::new(options),
            forbidden,
            connected,
        };
        match link.ask("INFO", &Value::Null).await {
            Ok(_) => Ok(link),
            Err(Trouble::Absent) => Err(fault::disabled("JetStream")),
            Err(trouble) => Err(link.forbidden.trouble("JetStream", trouble)),
        }
    }

    /// One request to JetStream's API.
    pub(crate) async fn ask(&self, subject: &str, request: &Value) -> Result<Value, Trouble> {
        // Some requests are refused with any payload at all, also with `null`.
        let payload = match request {
            Value::Null => Bytes::new(),
            request => request.to_string().into(),
        };
        let answer = self.client.request(format!("{API}.{subject}"), payload);
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                return Err(Trouble::Absent);
            }
            Err(error) => return Err(Trouble::Silent(Arc::new(error))),
        };
        match serde_json::from_slice(&answer.payload) {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => Err(Trouble::Said(error)),
            Err(error) => Err(Trouble::Silent(Arc::new(error))),
        }
    }

    /// How often it was connected: another number means another connection, on which what was under
    /// way on the last one did not arrive.
    pub(crate) fn generation(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Told when it is connected again.
    pub(crate) fn reconnections(&self) -> watch::Receiver<()> {
        self.connected.clone()
    }

    /// Waits until it is connected, for as long as a request may take.
    pub(crate) async fn connected(&self) -> Result<(), BrokerError> {
        let timeout = self.options.timeout;
        let mut connected = self.reconnections();
        let waiting = async {
            while !self.is_connected() {
                // The state is set before the event is told, so the two cannot pass each other.
                if connected.changed().await.is_err() {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(timeout, waiting).await;
        waited.map_err(|_| fault::late(timeout))
    }
}

async fn with_login(options: &NatsOptions) -> Result<ConnectOptions, BrokerError> {
    let connect = ConnectOptions::new();
    Ok(match &options.login {
        Login::Anonymous => connect,
        Login::Password { user, password } => {
            connect.user_and_password(user.clone(), password.clone())
        }
        Login::Token(token) => connect.token(token.clone()),
        Login::Credentials(path) => {
            let connect = connect.credentials_file(path).await;
            connect.map_err(|error| BrokerError::Refused {
                what: "the credentials file",
                reason: format!("{}: {error}", path.display()),
            })?
        }
    })
}

fn with_tls(connect: ConnectOptions, options: &NatsOptions) -> ConnectOptions {
    let connect = match &options.ca {
        Some(ca) => connect.add_root_certificates(ca.clone()),
        None => connect,
    };
    let connect = match &options.identity {
        Some((certificate, key)) => {
            connect.add_client_certificate(certificate.clone(), key.clone())
        }
        None => connect,
    };
    let tls = options
        .servers
        .iter()
        .any(|server| server.starts_with("tls://"));
    connect.require_tls(tls)
}

fn observe(event: &Event, forbidden: &Forbidden, connected: &watch::Sender<()>) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            connected.send_replace(());
        }
        Event::Disconnected => tracing::warn!("lost the connection to NATS, reconnecting"),
        Event::ServerError(error) => {
            tracing::warn!(%error, "NATS reports an error");
            forbidden.note(&error.to_string());
        }
        event => tracing::debug!(%event, "NATS"),
    }
}

/// Doubles, and is spread, so that many clients do not all come back at the same moment.
fn pause(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1).min(16)).unwrap_or(16);
    let pause = Duration::from_millis(2)
        .saturating_mul(1 << doublings)
        .min(PAUSE_MAX);
    if attempt <= 1 {
        return Duration::ZERO;
    }
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}
