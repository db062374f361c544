//! The query of a URL, whose wrong values are named.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use griot::http::Problem;
use std::collections::HashMap;

/// The parameters behind the `?` of a URL. An empty one counts as left out, and unknown ones are
/// ignored.
#[derive(Debug)]
pub(super) struct Parameters(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Query(parameters) =
            query.map_err(|error| Problem::invalid("query", error.body_text()))?;
        Ok(Self(parameters))
    }
}

impl Parameters {
    /// The parameter `name`, if it is given and `read` can make sense of it; else a problem that
    /// names it and the `rule` it breaks.
    pub(super) fn get<T>(
        &self,
        name: &str,
        rule: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        match self.0.get(name).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(Problem::invalid(name, rule)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn limit(uri: &str) -> Result<Option<u8>, Option<String>> {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        let parameters = Parameters::from_request_parts(&mut parts, &())
            .await
            .unwrap();
        parameters
            .get("limit", "must be a small number", |text| text.parse().ok())
            .map_err(|problem| problem.field().map(str::to_owned))
    }

    #[tokio::test]
    async fn a_wrong_parameter_is_named_and_an_empty_one_left_out() {
        assert_eq!(limit("/orders").await, Ok(None));
        assert_eq!(limit("/orders?limit=").await, Ok(None));
        assert_eq!(limit("/orders?other=1&limit=7").await, Ok(Some(7)));
        for uri in [
            "/orders?limit=x",
            "/orders?limit=-1",
            "/orders?limit=%FF",
            "/?limit=256",
        ] {
            assert_eq!(limit(uri).await, Err(Some("limit".to_owned())), "{uri}");
        }
    }
}
