//! A stretch of network between a client and a server, which a test disturbs.

#![expect(clippy::unwrap_used, reason = "a test has nowhere else to go")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It arrives.
    Whole,
    /// Nothing arrives before the network is whole again, and nobody is told: half-open connections.
    Silent,
    /// Connections are cut.
    Cut,
}

/// Passes on what comes. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    network: watch::Sender<Network>,
    forget: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Passes on to `upstream`, `HOST:PORT`.
    ///
    /// # Panics
    ///
    /// When there is no port.
    pub async fn before(upstream: impl Into<String>) -> Self {
        Self::start(upstream.into(), |client| std::future::ready(Ok(client))).await
    }

    /// The same behind TLS.
    ///
    /// # Panics
    ///
    /// When there is no port.
    #[cfg(feature = "tls")]
    pub async fn with_tls(
        upstream: impl Into<String>,
        config: tokio_rustls::rustls::ServerConfig,
    ) -> Self {
        let tls = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        Self::start(upstream.into(), move |client| tls.accept(client)).await
    }

    async fn start<A, C>(upstream: String, accept: impl Fn(TcpStream) -> A + Send + 'static) -> Self
    where
        A: Future<Output = io::Result<C>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, forget) = (watch::Sender::new(Network::Whole), watch::Sender::new(0));
        let (state, forgotten) = (network.subscribe(), forget.subscribe());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (client, upstream) = (accept(client), upstream.clone());
                let (state, forgotten) = (state.clone(), forgotten.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(upstream).await?;
                    // A client that does not trust it goes away in the middle of the handshake.
                    pass(client.await?, server, state, forgotten).await;
                    io::Result::Ok(())
                });
            }
        });
        Self {
            address,
            network,
            forget,
            accepting,
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the network.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// The connections that there are stay open, and swallow everything; new ones are as good as ever.
    pub fn forget(&self) {
        self.forget.send_modify(|times| *times += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass<C: AsyncRead + AsyncWrite>(
    client: C,
    server: TcpStream,
    mut network: watch::Receiver<Network>,
    mut forgotten: watch::Receiver<u64>,
) {
    forgotten.mark_unchanged();
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let (up, down) = (network.clone(), network.clone());
    tokio::select! {
        () = one_way(&mut from_client, &mut to_server, up) => return,
        () = one_way(&mut from_server, &mut to_client, down) => return,
        _ = network.wait_for(|network| *network == Network::Cut) => return,
        _ = forgotten.changed() => {}
    }
    let (mut of_client, mut of_server) = (sink(), sink());
    let _ = tokio::join!(
        copy(&mut from_client, &mut of_client),
        copy(&mut from_server, &mut of_server),
    );
}

/// Ends with either side.
async fn one_way(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut network: watch::Receiver<Network>,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut bytes).await {
        let arrives = network.wait_for(|network| *network != Network::Silent);
        let arrives = arrives.await.is_ok();
        let Some(bytes) = bytes.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        if !arrives || to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
