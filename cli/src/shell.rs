//! What every server answers beside its services: health, readiness, metrics, the API's description.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use griot::http::{Problem, answer_with_problems, refuse_long_bodies};
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;

use crate::metrics;

/// When a client that was turned away may come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// `services` and what stands around them; `ready` says what is not, each time it is asked.
pub(crate) fn around<R, F>(
    services: Router,
    description: &OpenApi,
    rendered: PrometheusHandle,
    ready: R,
) -> Result<Router, serde_json::Error>
where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + Send,
{
    let description = description.to_json()?;
    let json = [(CONTENT_TYPE, "application/json")];
    let prometheus = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
    let router = services
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(async move || readiness(ready().await)))
        .route(
            "/metrics",
            get(async move || (prometheus, rendered.render())),
        )
        .route("/openapi.json", get(async move || (json, description)));
    Ok(answer_with_problems(router)
        .layer(from_fn(refuse_long_bodies))
        .layer(CatchPanicLayer::custom(|_| broken()))
        .layer(from_fn(metrics::measure)))
}

/// The answers for connections beyond the limit: try again later.
pub(crate) fn busy() -> Router {
    Router::new().fallback(async |request: Request| {
        // Reads what the client sends: an answer to a half-read request is lost in a reset.
        let _ = axum::body::to_bytes(request.into_body(), griot::http::BODY_BYTES_MAX).await;
        let problem =
            Problem::unavailable("too many connections are open; try again later", COME_AGAIN);
        ([(CONNECTION, "close")], problem)
    })
}

fn readiness(ready: Result<(), String>) -> Response {
    match ready {
        Ok(()) => "ready\n".into_response(),
        Err(what) => Problem::unavailable(what, COME_AGAIN).into_response(),
    }
}

fn broken() -> Response {
    let detail = "this is a fault of the service, see its log; the same request may be sent again with its key";
    Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}
