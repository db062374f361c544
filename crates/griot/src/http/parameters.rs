//! The query of a URL, whose wrong values are named.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use std::collections::HashMap;

use super::Problem;

/// The parameters behind the `?` of a URL, as an extractor. An empty one counts as left out, and unknown
/// ones are ignored.
///
/// ```
/// use griot::http::{Parameters, Problem};
///
/// async fn list(parameters: Parameters) -> Result<String, Problem> {
///     let limit = parameters.limit(50, 1_000)?;
///     let after = parameters.get("after", "must be a number", |after| after.parse().ok())?;
///     let after: u64 = after.unwrap_or_default();
///     Ok(format!("{limit} after {after}"))
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::get(list);
/// ```
#[derive(Debug)]
pub struct Parameters(HashMap<String, String>);

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
    /// The parameter `name`, if it is given, as `read` makes sense of it.
    ///
    /// # Errors
    ///
    /// Where `read` makes no sense of it: 422, which names it and the `rule` it breaks.
    pub fn get<T>(
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

impl Parameters {
    /// The parameter `limit`: how many things an answer has at most, from 1 to `max`.
    ///
    /// # Errors
    ///
    /// For another value: 422, which names it.
    pub fn limit(&self, unless_said: usize, max: usize) -> Result<usize, Problem> {
        let rule = format!("must be a number from 1 to {max}");
        let limit = self.get("limit", &rule, |limit| {
            let limit = limit.parse().ok();
            limit.filter(|limit| (1..=max).contains(limit))
        })?;
        Ok(limit.unwrap_or(unless_said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn limit(uri: &str) -> Result<usize, Option<String>> {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        let parameters = Parameters::from_request_parts(&mut parts, &());
        let limit = parameters.await.unwrap().limit(5, 255);
        limit.map_err(|problem| problem.field().map(str::to_owned))
    }

    #[tokio::test]
    async fn a_wrong_parameter_is_named_and_an_empty_one_left_out() {
        assert_eq!(limit("/orders").await, Ok(5));
        assert_eq!(limit("/orders?limit=").await, Ok(5));
        assert_eq!(limit("/orders?other=1&limit=7").await, Ok(7));
        for uri in [
            "/orders?limit=x",
            "/orders?limit=-1",
            "/orders?limit=%FF",
            "/orders?limit=0",
            "/?limit=256",
        ] {
            assert_eq!(limit(uri).await, Err(Some("limit".to_owned())), "{uri}");
        }
    }
}
