//! A proxy before a server, that speaks TLS or falls silent as it is told.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// A proxy. Dropped, it takes no more connections.
pub(crate) struct Proxy {
    /// Its port on loopback.
    pub(crate) port: u16,
    open: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Passes everything on, to the server in a URL.
    pub(crate) async fn before(url: &str) -> Self {
        Self::start(url, None).await
    }

    /// The same behind TLS.
    pub(crate) async fn with_tls(url: &str, config: ServerConfig) -> Self {
        Self::start(url, Some(Arc::new(config).into())).await
    }

    async fn start(url: &str, tls: Option<TlsAcceptor>) -> Self {
        let target = url.rsplit_once('@').unwrap().1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, gate) = watch::channel(true);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (gate, tls, target) = (gate.clone(), tls.clone(), target.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(target).await?;
                    match tls {
                        None => pass(client, server, gate).await,
                        // A client that does not trust it goes away in the middle of the handshake.
                        Some(tls) => pass(tls.accept(client).await?, server, gate).await,
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        Self {
            port,
            open,
            accepting,
        }
    }

    /// Passes nothing on, and closes nothing.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Passes on again.
    pub(crate) fn heal(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass<C: AsyncRead + AsyncWrite>(
    client: C,
    server: TcpStream,
    gate: watch::Receiver<bool>,
) {
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    tokio::select! {
        () = one_way(from_client, to_server, gate.clone()) => {}
        () = one_way(from_server, to_client, gate) => {}
    }
}

/// Ends with either side.
async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        if gate.wait_for(|open| *open).await.is_err() || read == 0 {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
