//! A problem document: what every error looks like on the wire (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// An error as `application/problem+json` (RFC 9457): the status, its usual title, and a detail
/// that says what to do next. For a wrong value, `field` names it.
///
/// ```
/// use griot::http::Problem;
/// use std::time::Duration;
///
/// let problem = Problem::invalid("items[3].qty", "must be from 1 to 1000000");
/// assert_eq!(problem.status().as_u16(), 422);
/// let later = Problem::unavailable("too many orders are open", Duration::from_secs(1));
/// assert_eq!(later.status().as_u16(), 503);
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            field: None,
            retry_after: None,
        }
    }

    /// 400: the request cannot be read at all.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: what is asked does not fit the state of the thing.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 422: `field` can be read but must not be what it is.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        Self {
            field: Some(field.into()),
            ..problem
        }
    }

    /// 503: not now; the same request is welcome `retry_after` from now.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Self {
            retry_after: Some(retry_after),
            ..problem
        }
    }

    /// The status it will be answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text that says what is wrong and what to do next.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The name of the wrong field or header, where one is to blame.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

/// What a [`Problem`] is written as, for the description of an API: name it in `components(schemas(…))`
/// and as the body of an error.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes `Document`, and is never made")]
pub struct ProblemDocument {
    #[schema(rename = "type", example = "about:blank")]
    kind: String,
    #[schema(example = "Unprocessable Entity")]
    title: String,
    #[schema(example = 422)]
    status: u16,
    /// What is wrong and what to do next.
    #[schema(example = "must be from 1 to 1000000, not 0")]
    detail: String,
    /// The wrong field, where one is to blame.
    #[schema(example = "items[0].qty")]
    field: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        let mut response = (self.status, axum::Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: 0 would invite a retry at once.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_a_document_with_type_title_status_detail_and_field() {
        let response = Problem::invalid("qty", "must be from 1").into_response();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let bytes = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
            "detail": "must be from 1", "field": "qty",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_zero() {
        for (after, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let problem = Problem::unavailable("later", Duration::from_millis(after));
            assert_eq!(problem.into_response().headers()["retry-after"], expected);
        }
    }
}
