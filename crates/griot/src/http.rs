//! What HTTP services on griot share, so that all of them answer alike: RFC 9457 problem
//! documents, a JSON extractor that says what is wrong with a body and where, the parameters of a
//! URL, pages of a history, and the request headers `Idempotency-Key` and `Prefer`. It is not a web
//! framework: routes are plain axum.
//!
//! ```
//! use axum::{Router, routing::post};
//! use griot::http::{Json, Problem, answer_with_problems};
//!
//! #[derive(serde::Deserialize)]
//! struct Deposit {
//!     amount: i64,
//! }
//!
//! async fn deposit(Json(deposit): Json<Deposit>) -> Result<String, Problem> {
//!     if deposit.amount <= 0 {
//!         return Err(Problem::invalid("amount", "must be more than 0"));
//!     }
//!     Ok(format!("{} more", deposit.amount))
//! }
//!
//! let app: Router = answer_with_problems(Router::new().route("/deposits", post(deposit)));
//! # let _ = app;
//! ```

mod ask;
mod event_view;
mod history_page;
mod idempotency_key;
mod json;
mod moment;
mod parameters;
mod prefer;
mod problem;
#[cfg(feature = "read-models")]
mod read_model;

pub use event_view::EventView;
pub use history_page::HistoryPage;
pub use idempotency_key::IdempotencyKey;
pub use json::{BODY_BYTES_MAX, Json, Object, refuse_long_bodies};
pub use parameters::Parameters;
pub use prefer::Prefer;
pub use problem::{Problem, ProblemDocument};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};

/// Makes `router` answer unknown routes with 404 and known routes asked with an unknown method
/// with 405, both as problem documents. Call it once, on the outermost router, after every route
/// has been added.
pub fn answer_with_problems(router: Router) -> Router {
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

async fn unknown_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} does not take {method}; the header allow lists what it takes",
            uri.path()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    async fn ask(method: &str, path: &str) -> axum::response::Response {
        let router = answer_with_problems(Router::new().route("/here", get(|| async { "yes" })));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty());
        router.oneshot(request.unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn an_unknown_route_is_a_404_problem() {
        let answer = ask("GET", "/there").await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }

    #[tokio::test]
    async fn an_unknown_method_is_a_405_problem_that_lists_the_known_ones() {
        let answer = ask("DELETE", "/here").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.headers()["allow"], "GET,HEAD");
    }

    #[tokio::test]
    async fn a_known_route_answers_for_itself() {
        assert_eq!(ask("GET", "/here").await.status(), StatusCode::OK);
    }
}
