//! The request header `Prefer` (RFC 7240), as far as it asks to wait.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::time::Duration;

/// What the request header `Prefer` (RFC 7240) asks for. As the RFC has it, what cannot be
/// understood is ignored, and of a preference given twice the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefer {
    /// `wait=N`: hold the answer for up to N seconds until there is a final one.
    pub wait: Option<Duration>,
}

impl Prefer {
    /// Reads every `Prefer` header of `headers`.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let wait = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(wait_seconds);
        Self {
            wait: wait.map(Duration::from_secs),
        }
    }
}

/// The seconds in one preference, which may have parameters behind a semicolon.
fn wait_seconds(preference: &str) -> Option<u64> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    let is_wait = name.trim().eq_ignore_ascii_case("wait");
    is_wait
        .then(|| value.trim().trim_matches('"').parse().ok())
        .flatten()
}

impl<S: Send + Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_headers(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn wait(values: &[&'static str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", HeaderValue::from_static(value));
        }
        Prefer::from_headers(&headers)
            .wait
            .map(|wait| wait.as_secs())
    }

    #[test]
    fn wait_is_found_among_other_preferences() {
        assert_eq!(wait(&["wait=10"]), Some(10));
        assert_eq!(wait(&["respond-async, Wait = \"7\" ; x=1"]), Some(7));
        assert_eq!(wait(&["handling=lenient", "wait=0, wait=5"]), Some(0));
    }

    #[test]
    fn what_cannot_be_understood_is_ignored() {
        for value in [
            "wait",
            "wait=",
            "wait=soon",
            "wait=-1",
            "wait=1.5",
            "await=3",
        ] {
            assert_eq!(wait(&[value]), None, "{value}");
        }
        assert_eq!(wait(&[]), None);
    }
}
