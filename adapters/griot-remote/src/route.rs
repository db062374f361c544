//! The route by which a server offers its broker.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use griot_events::Broker;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::conversation::Conversation;
use crate::limits::{FRAME_BYTES_MAX, Limits};
use crate::origin;
use crate::wire::VERSION;

/// What a connection reads at a time. There may be many of them.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// The route `/broker`, by which other processes use `broker` through [`RemoteBroker`], with the
/// default [`Limits`]. It does not close the broker; once that is closed, connections end.
///
/// Whoever reaches it may publish and read everything: let only those reach the server who may. A
/// browser is turned away where the page is of another origin than the server.
///
/// It is served by anything that lets a connection be upgraded, which `axum::serve` does; with
/// hyper alone, by `serve_connection(…).with_upgrades()`.
///
/// [`RemoteBroker`]: crate::RemoteBroker
pub fn serve(broker: Arc<dyn Broker>) -> Router {
    serve_with(broker, Limits::default())
}

/// The same, with these limits.
pub fn serve_with(broker: Arc<dyn Broker>, limits: Limits) -> Router {
    let places = limits.connections_max.min(Semaphore::MAX_PERMITS);
    let door = Door {
        broker,
        places: Arc::new(Semaphore::new(places)),
        limits: Arc::new(limits),
    };
    Router::new()
        .route("/broker", any(enter))
        .with_state(Arc::new(door))
}

/// What all connections share.
#[derive(Debug)]
struct Door {
    broker: Arc<dyn Broker>,
    limits: Arc<Limits>,
    places: Arc<Semaphore>,
}

async fn enter(
    State(door): State<Arc<Door>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match door.admit(&uri, &headers, upgrade) {
        Ok((upgrade, place)) => upgrade
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(FRAME_BYTES_MAX)
            .max_frame_size(FRAME_BYTES_MAX)
            .on_upgrade(async move |socket: WebSocket| {
                let broker = Arc::clone(&door.broker);
                let limits = Arc::clone(&door.limits);
                Conversation::new(broker, limits).hold(socket).await;
                drop(place);
            }),
        Err((status, detail)) => problem(status, &detail),
    }
}

impl Door {
    fn admit(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    ) -> Result<(WebSocketUpgrade, OwnedSemaphorePermit), (StatusCode, String)> {
        if origin::is_foreign(headers) {
            let detail = "a page of another origin may not use the broker";
            return Err((StatusCode::FORBIDDEN, detail.to_owned()));
        }
        let upgrade = upgrade.map_err(|rejection| {
            let detail = format!("the broker speaks WebSocket: {}", rejection.body_text());
            (rejection.status(), detail)
        })?;
        let asked = version_of(uri);
        if asked.as_deref() != Some(VERSION.to_string().as_str()) {
            let asked = asked.unwrap_or_else(|| "none".to_owned());
            let detail = format!(
                "this server speaks version {VERSION} of the broker's protocol and was asked for {asked:?}: use a client of the server's release"
            );
            return Err((StatusCode::BAD_REQUEST, detail));
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| {
            let max = self.limits.connections_max;
            let detail = format!("{max} connections use the broker, and no more may: try later");
            (StatusCode::SERVICE_UNAVAILABLE, detail)
        })?;
        Ok((upgrade, place))
    }
}

fn version_of(uri: &Uri) -> Option<String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut pairs = url::form_urlencoded::parse(query);
    let version = pairs.find(|(name, _)| name == "version");
    version.map(|(_, version)| version.into_owned())
}

/// An error as RFC 9457 has it, as from every other route of a griot server.
fn problem(status: StatusCode, detail: &str) -> Response {
    let document = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = (status, document.to_string()).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, kind);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
