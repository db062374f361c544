//! The HTTP server: accepts connections up to a limit and ends them in order.
//!
//! HTTP/1.1 has one request at a time on a connection, so the limit on connections is the limit on
//! requests in flight as well, and with the limit on bodies it bounds the memory that clients can take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// Connections that are being told 503; those beyond wait in the operating system's backlog.
const TURNED_AWAY_MAX: usize = 256;

/// How long a connection that is turned away may take to read its answer.
const TURNED_AWAY_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a client may take to send the head of its next request; an idle connection ends then.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// The largest head of a request that is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long to wait before accepting again after the operating system refused a connection.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A bound listener, the answers it gives, and the connections it has.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    app: Router,
    busy: Router,
    places: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    connections: GracefulShutdown,
    http: http1::Builder,
}

impl Server {
    /// Listens on `address`; up to `connections_max` connections get `app`'s answers at a time and
    /// those beyond get `busy`'s.
    ///
    /// # Errors
    ///
    /// [`Failure::Listen`] when the address is taken, not this machine's, or not allowed.
    pub(crate) async fn bind(
        address: SocketAddr,
        connections_max: usize,
        app: Router,
        busy: Router,
    ) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Failure::Listen { address, source })?;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        Ok(Self {
            listener,
            app,
            busy,
            places: Arc::new(Semaphore::new(connections_max)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            connections: GracefulShutdown::new(),
            http,
        })
    }

    /// The address clients connect to, with the port that port 0 became.
    ///
    /// # Errors
    ///
    /// What the operating system says when it does not know.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections until the future is dropped; those accepted go on.
    ///
    /// # Cancel safety
    ///
    /// No accepted connection is lost but one that waits to be turned away.
    pub(crate) async fn accept(&self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => self.serve(stream).await,
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; raise the limit on open files");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// Lets every connection finish the request it is in and ends it; waits for all of them.
    pub(crate) async fn drain(self) {
        drop(self.listener);
        self.connections.shutdown().await;
    }

    async fn serve(&self, stream: TcpStream) {
        // An answer is one small write; waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.answer(stream, self.app.clone(), place, None);
        } else if let Ok(place) = Arc::clone(&self.turned_away).acquire_owned().await {
            metrics::counter!("http_connections_turned_away_total").increment(1);
            self.answer(stream, self.busy.clone(), place, Some(TURNED_AWAY_TIME_MAX));
        }
    }

    fn answer(
        &self,
        stream: TcpStream,
        router: Router,
        place: OwnedSemaphorePermit,
        time_max: Option<Duration>,
    ) {
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let connection = self.connections.watch(connection);
        tokio::spawn(async move {
            // An error here is a client that went away or spoke no HTTP: its loss, and no news to us.
            let _ = match time_max {
                Some(time_max) => tokio::time::timeout(time_max, connection)
                    .await
                    .unwrap_or(Ok(())),
                None => connection.await,
            };
            drop(place);
        });
    }
}

/// Whether a failed accept is about one client that went away, so that the next can come at once.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
