//! A connection to a server: over TCP, TLS where the URL says so, and up to the WebSocket.

use std::io;
use std::sync::Arc;

use griot_events::BrokerError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::{Response, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use crate::limits::DELIVERY_BYTES_MAX;
use crate::options::RemoteOptions;
use crate::wire::cause;

/// What to call this in errors.
const WHAT: &str = "the connection";

/// A connection that speaks in frames.
pub(crate) type Socket = WebSocketStream<Box<dyn Wire>>;

/// A connection, encrypted or not.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Connects.
pub(crate) async fn dial(options: &RemoteOptions) -> Result<Socket, BrokerError> {
    let dialling = async {
        let stream = wire(options).await?;
        let mut endpoint = options.endpoint();
        // The scheme says to the library what it is to send; it does not connect.
        let request = websocket_uri(&mut endpoint)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(DELIVERY_BYTES_MAX))
            .max_frame_size(Some(DELIVERY_BYTES_MAX));
        let upgraded = client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = upgraded.map_err(|error| trouble(&options.url, error))?;
        Ok(socket)
    };
    let dialled = timeout(options.timeout, dialling).await;
    dialled.unwrap_or_else(|_| {
        let text = format!("no answer within {:?}", options.timeout);
        Err(unreachable(&options.url, &text))
    })
}

async fn wire(options: &RemoteOptions) -> Result<Box<dyn Wire>, BrokerError> {
    let url = &options.url;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(refused(format!(
            "{url} names no host: use http://host:port"
        )));
    };
    // An address of version 6 stands in brackets there.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| unreachable(url, &error.to_string()))?;
    // A frame is written in one go; waiting to fill a packet would only delay it.
    let _ = stream.set_nodelay(true);
    if url.scheme() == "http" {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| refused(format!("{url}: {error}")))?;
    let connector = TlsConnector::from(Arc::new(tls(options)?));
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        // A certificate that is not trusted, or no TLS: both are there until somebody mends them.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(refused(format!(
            "{url}: {error}: check that the server speaks TLS, and name the authority that signed its certificate with ?ca=PATH"
        ))),
        Err(error) => Err(unreachable(url, &error.to_string())),
    }
}

fn tls(options: &RemoteOptions) -> Result<ClientConfig, BrokerError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca {
        let unreadable =
            |error: &dyn std::fmt::Display| refused(format!("ca={}: {error}", path.display()));
        let certificates = CertificateDer::pem_file_iter(path);
        for certificate in certificates.map_err(|error| unreadable(&error))? {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    if roots.is_empty() {
        let reason = "no certificate authority is known here: name one with ?ca=PATH";
        return Err(refused(reason.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| refused(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn websocket_uri(endpoint: &mut Url) -> Result<Uri, BrokerError> {
    let scheme = if endpoint.scheme() == "https" {
        "wss"
    } else {
        "ws"
    };
    // Both are schemes of the same kind, between which a URL may change.
    let _ = endpoint.set_scheme(scheme);
    let uri = endpoint.as_str().parse();
    uri.map_err(|error| refused(format!("{endpoint}: {error}")))
}

/// Why there is no WebSocket.
fn trouble(url: &Url, error: Error) -> BrokerError {
    match error {
        Error::Io(error) => unreachable(url, &error.to_string()),
        Error::Http(response) => {
            let said = said(&response);
            if response.status().is_server_error() {
                unreachable(url, &said)
            } else {
                refused(format!("{url} answered {said}"))
            }
        }
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::HandshakeIncomplete) => unreachable(url, "it hung up"),
        error => refused(format!(
            "{url} does not speak WebSocket ({error}): is it a griot server?"
        )),
    }
}

/// What an answer says that is no WebSocket.
fn said(response: &Response<Option<Vec<u8>>>) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem["detail"].as_str());
    match detail {
        Some(detail) => format!("{}: {detail}", response.status()),
        None => format!("{}: is it a griot server with a broker?", response.status()),
    }
}

fn refused(reason: String) -> BrokerError {
    BrokerError::Refused { what: WHAT, reason }
}

fn unreachable(url: &Url, reason: &str) -> BrokerError {
    BrokerError::Unreachable(cause(format!("{url}: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_that_a_network_cut_short_may_be_tried_again() {
        let url = Url::parse("http://127.0.0.1:7070").unwrap();
        let error = Error::Protocol(ProtocolError::HandshakeIncomplete);
        let trouble = trouble(&url, error);
        assert!(
            matches!(trouble, BrokerError::Unreachable(_)),
            "{trouble:?}"
        );
    }
}
