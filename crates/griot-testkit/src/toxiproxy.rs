//! A network to disturb: Toxiproxy in front of a server, and a relay behind it that can forget.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test has nowhere else to go"
)]

use std::future::Future;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as Probe};
use std::sync::{Arc, Once};
use std::{env, fmt};

use griot_events::Broker;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, watch};

use crate::{BrokerFactory, BrokerNetwork, LATE, Trouble, Way};

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
            relay: Relay::start(upstream).await,
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
            Trouble::Forgotten => self.relay.forget.send_modify(|times| *times += 1),
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
        let upstream = self.relay.address.to_string();
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

/// A port below those that the kernel takes for outgoing connections: a client that tries again and
/// again while nobody listens would otherwise end up connected to itself.
fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)));
        if Probe::bind(address).is_ok() {
            return address;
        }
    }
}

/// Passes on what comes, until it is told to forget the connections that there are: those stay open, and
/// swallow everything. Toxiproxy disturbs new connections like old ones.
#[derive(Debug)]
struct Relay {
    address: SocketAddr,
    forget: watch::Sender<u64>,
}

impl Relay {
    async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let forget = watch::Sender::new(0);
        let forgotten = forget.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, upstream.clone(), forgotten.clone()));
            }
        });
        Self { address, forget }
    }
}

async fn pass(mut client: TcpStream, upstream: String, mut forgotten: watch::Receiver<u64>) {
    forgotten.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        _ = forgotten.changed() => {}
    }
    let (mut of_client, mut of_server) = (sink(), sink());
    let (from_client, from_server) = (
        copy(&mut client, &mut of_client),
        copy(&mut server, &mut of_server),
    );
    let _ = tokio::join!(from_client, from_server);
}

/// A broker behind a proxy of its own, for the Network suite.
pub struct ToxicBroker<O> {
    api: String,
    listen: Option<SocketAddr>,
    upstream: String,
    open: O,
    proxy: OnceCell<ToxicProxy>,
}

impl<O> ToxicBroker<O> {
    /// The broker at `upstream`, `HOST:PORT`, behind the Toxiproxy whose HTTP API `GRIOT_TEST_TOXIPROXY`
    /// names; without one, says what is left out. `open` connects to the broker through the address that
    /// it is given. What it opens waits for an answer for less than [`LATE`].
    pub fn from_environment(upstream: impl Into<String>, open: O) -> Option<Self> {
        static SAID: Once = Once::new();
        let Ok(api) = env::var("GRIOT_TEST_TOXIPROXY") else {
            // Not `eprintln!`: what that prints is kept from sight when the test passes.
            let text = b"LEFT OUT tests of a disturbed network: set GRIOT_TEST_TOXIPROXY to the URL of Toxiproxy's API\n";
            SAID.call_once(|| std::io::stderr().write_all(text).unwrap());
            return None;
        };
        Some(Self {
            api,
            listen: None,
            upstream: upstream.into(),
            open,
            proxy: OnceCell::new(),
        })
    }

    /// Behind a proxy at this address, since the broker sends its clients there.
    #[must_use]
    pub fn listening_at(mut self, listen: SocketAddr) -> Self {
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
