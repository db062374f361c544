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
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::failure::Failure;
use crate::limits::Room;

/// Connections that wait to be accepted; the operating system may allow fewer.
const BACKLOG: u32 = 4096;

/// How long a client may take to send the head of its next request; an idle connection ends then.
const HEAD_TIME_MAX: Duration = Duration::from_mins(1);

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
    /// Every connection listens: closed once they have ended.
    draining: watch::Sender<bool>,
    http: http1::Builder,
}

impl Server {
    /// Listens on `address`. Connections within `room` get `app`'s answers, those beyond get `busy`'s.
    ///
    /// # Errors
    ///
    /// [`Failure::Listen`] when the address is taken, not this machine's, or not allowed.
    pub(crate) fn bind(
        address: SocketAddr,
        room: Room,
        app: Router,
        busy: Router,
    ) -> Result<Self, Failure> {
        let listener = listen(address).map_err(|source| Failure::Listen { address, source })?;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        Ok(Self {
            listener,
            app,
            busy,
            places: Arc::new(Semaphore::new(room.served)),
            turned_away: Arc::new(Semaphore::new(room.turned_away)),
            draining: watch::Sender::new(false),
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
        self.draining.send_replace(true);
        self.draining.closed().await;
    }

    async fn serve(&self, stream: TcpStream) {
        // An answer is one small write; waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            let app = TowerToHyperService::new(self.app.clone());
            let connection = self.http.serve_connection(TokioIo::new(stream), app);
            let mut connection = Box::pin(connection.with_upgrades());
            let mut draining = self.draining.subscribe();
            tokio::spawn(async move {
                // An error here is a client that went away or spoke no HTTP: no news to us.
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = async { drop(draining.wait_for(|draining| *draining).await) } => {
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
                drop((draining, place));
            });
        } else if let Ok(place) = Arc::clone(&self.turned_away).acquire_owned().await {
            metrics::counter!("http_connections_turned_away_total").increment(1);
            let (http, busy) = (self.http.clone(), self.busy.clone());
            tokio::spawn(async move {
                turn_away(stream, http, busy).await;
                drop(place);
            });
        }
    }
}

/// Gives `busy`'s answer to one request. Nothing is set aside for it before the client has asked, so
/// that many can be told at a time: whoever waits too long to be accepted is reset by the system.
async fn turn_away(stream: TcpStream, mut http: http1::Builder, busy: Router) {
    let asked = tokio::time::timeout(HEAD_TIME_MAX, stream.readable()).await;
    if let Ok(Ok(())) = asked {
        let busy = TowerToHyperService::new(busy);
        let answering = http
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), busy);
        let _ = Box::pin(answering).await;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that comes back at once must not wait for its predecessor's connections to expire.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether a failed accept is about one client that went away, so that the next can come at once.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
