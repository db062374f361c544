//! A network to disturb: Toxiproxy in front of a server, and a relay behind it that can forget.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test has nowhere else to go"
)]

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use griot_events::Broker;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::{BrokerFactory, BrokerNetwork, LATE, Relay, Trouble, Way, free_address, setting};

/// A proxy in front of a server, whose connections can be disturbed.
#[derive(Debug)]
pub struct ToxicProxy {
    client: Client,
    /// Of all proxies.
    proxies: String,
    name: String,
    listen: SocketAddr,
    relay: Relay,
}

impl ToxicProxy {
    /// Makes a proxy in front of `upstream` by the Toxiproxy whose HTTP API is at `api`. It listens at
    /// `listen`, or at a free port where none is given.
    ///
    /// # Panics
    ///
    /// When Toxiproxy does not answer, or refuses.
    pub async fn open(api: &str, listen: Option<SocketAddr>, upstream: String) -> Self {
        let listen = listen.unwrap_or_else(free_address);
        let proxy = Self {
            client: Client::new(),
            proxies: format!("{}/proxies", api.trim_end_matches('/')),
            name: format!("griot-{}", listen.port()),
            listen,
            relay: Relay::before(upstream).await,
        };
        proxy.make().await;
        proxy
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Begins a trouble, which lasts until [`heal`](Self::heal).
    ///
    /// # Panics
    ///
    /// When Toxiproxy does not answer.
    pub async fn disturb(&self, trouble: Trouble) {
        let (up, down) = ("upstream", "downstream");
        match trouble {
            Trouble::Slow => {
                for stream in [up, down] {
                    let latency = json!({ "latency": 25, "jitter": 20 });
                    self.add("latency", stream, latency).await;
                    self.add("bandwidth", stream, json!({ "rate": 100 })).await;
                }
            }
            Trouble::Late => {
                let latency = json!({ "latency": LATE.as_millis() });
                self.add("latency", down, latency).await;
            }
            Trouble::Cut => self.remove().await,
            Trouble::HalfOpen(way) => {
                let stream = if way == Way::ToServer { up } else { down };
                // Never ends, and swallows what is sent.
                self.add("timeout", stream, json!({ "timeout": 0 })).await;
            }
            Trouble::Forgotten => self.relay.forget(),
        }
    }

    /// Ends every trouble, and every connection: to take a toxic away from one whose client has gone makes
    /// Toxiproxy hang.
    ///
    /// # Panics
    ///
    /// When Toxiproxy does not answer.
    pub async fn heal(&self) {
        self.make().await;
    }

    /// Makes it anew, also where an earlier test left one at this address.
    async fn make(&self) {
        self.remove().await;
        let (name, listen) = (&self.name, self.listen.to_string());
        let upstream = self.relay.address().to_string();
        let proxy = json!({ "name": name, "listen": listen, "upstream": upstream });
        let request = self.client.post(&self.proxies).body(proxy.to_string());
        done(request).await;
    }

    async fn remove(&self) {
        let url = format!("{}/{}", self.proxies, self.name);
        let answer = self.client.delete(url).send().await;
        let answer = answer.expect("Toxiproxy answers");
        let gone = answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND;
        assert!(gone, "{}", answer.text().await.unwrap());
    }

    async fn add(&self, kind: &str, stream: &str, attributes: Value) {
        let toxic = json!({ "type": kind, "stream": stream, "attributes": attributes });
        let url = format!("{}/{}/toxics", self.proxies, self.name);
        done(self.client.post(url).body(toxic.to_string())).await;
    }
}

async fn done(request: RequestBuilder) {
    let answer = request.send().await.expect("Toxiproxy answers");
    let done = answer.status().is_success();
    assert!(done, "{}", answer.text().await.unwrap());
}

/// A broker behind a proxy of its own, for the Network suite.
pub struct ToxicBroker<O> {
    api: String,
    listen: Option<SocketAddr>,
    upstream: String,
    open: O,
    proxy: OnceCell<ToxicProxy>,
    alone: Option<MutexGuard<'static, ()>>,
}

impl<O> ToxicBroker<O> {
    /// The broker at `upstream`, `HOST:PORT`, behind the Toxiproxy whose HTTP API `GRIOT_TEST_TOXIPROXY`
    /// names; without one, says what is left out. `open` connects to the broker through the address that
    /// it is given. What it opens waits for an answer for less than [`LATE`].
    pub fn from_environment(upstream: impl Into<String>, open: O) -> Option<Self> {
        let what =
            "tests of a disturbed network: set GRIOT_TEST_TOXIPROXY to the URL of Toxiproxy's API";
        let api = setting("GRIOT_TEST_TOXIPROXY", what)?;
        Some(Self {
            api,
            listen: None,
            upstream: upstream.into(),
            open,
            proxy: OnceCell::new(),
            alone: None,
        })
    }

    /// Behind a proxy at this address, since the broker sends its clients there. Waits until no other of
    /// this program listens there.
    ///
    /// # Panics
    ///
    /// In a runtime.
    #[must_use]
    pub fn listening_at(mut self, listen: SocketAddr) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        self.alone = Some(ALONE.blocking_lock());
        self.listen = Some(listen);
        self
    }

    async fn proxy(&self) -> &ToxicProxy {
        let open = || ToxicProxy::open(&self.api, self.listen, self.upstream.clone());
        self.proxy.get_or_init(open).await
    }
}

impl<O> fmt::Debug for ToxicBroker<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ToxicBroker");
        shown.field("upstream", &self.upstream);
        shown.finish_non_exhaustive()
    }
}

impl<O, F> BrokerFactory for ToxicBroker<O>
where
    O: Fn(SocketAddr) -> F + Send + Sync,
    F: Future<Output = Arc<dyn Broker>> + Send,
{
    async fn open(&self) -> Arc<dyn Broker> {
        (self.open)(self.proxy().await.address()).await
    }
}

impl<O, F> BrokerNetwork for ToxicBroker<O>
where
    O: Fn(SocketAddr) -> F + Send + Sync,
    F: Future<Output = Arc<dyn Broker>> + Send,
{
    async fn disturb(&self, trouble: Trouble) {
        self.proxy().await.disturb(trouble).await;
    }

    async fn heal(&self) {
        self.proxy().await.heal().await;
    }
}
