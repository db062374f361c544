//! What the program counts, in the text form that Prometheus reads.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the buckets of everything measured in seconds.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How often measurements are folded into buckets, so that they stay few when nobody reads them.
const FOLD_EVERY: Duration = Duration::from_secs(5);

const REQUESTS: &str = "http_requests_total";
const REQUEST_SECONDS: &str = "http_request_duration_seconds";
const REQUESTS_IN_FLIGHT: &str = "http_requests_in_flight";

/// Starts to collect; the handle renders what was collected.
///
/// # Panics
///
/// If the process collects already, or outside of a tokio runtime.
pub(crate) fn start() -> PrometheusHandle {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder);
    #[expect(
        clippy::expect_used,
        reason = "the buckets are constant and each command starts it once"
    )]
    let handle = handle.expect("the first and only recorder");
    describe_counter!(REQUESTS, "Requests answered, by method, route and status");
    describe_histogram!(
        REQUEST_SECONDS,
        "Time to an answer, by method, route and status"
    );
    describe_gauge!(REQUESTS_IN_FLIGHT, "Requests that wait for an answer");
    let folding = handle.clone();
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(FOLD_EVERY);
        loop {
            turns.tick().await;
            folding.run_upkeep();
        }
    });
    handle
}

/// The layer that counts and times every request.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    // The route, never the path: a path has an id in it and would be a new series for each.
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => "none".to_owned(),
    };
    let in_flight = InFlight::enter();
    let start = Instant::now();
    let response = next.run(request).await;
    let seconds = start.elapsed().as_secs_f64();
    drop(in_flight);
    let status = response.status();
    tracing::debug!(method, route, status = status.as_u16(), seconds, "request");
    let labels = [
        ("method", method.to_owned()),
        ("route", route),
        ("status", status.as_str().to_owned()),
    ];
    counter!(REQUESTS, &labels).increment(1);
    histogram!(REQUEST_SECONDS, &labels).record(seconds);
    response
}

/// A request in flight, also while its client goes away and the future is dropped.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        gauge!(REQUESTS_IN_FLIGHT).increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(REQUESTS_IN_FLIGHT).decrement(1.0);
    }
}

/// The method, or `other`: a client can invent methods, a label must not grow with them.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}
