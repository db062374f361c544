//! How a request reaches the backends and what comes back: a status and a bounded body in time,
//! or the reason why not.

use super::client::{self, HttpClient};
use super::{Authorities, Failure, wire};
use crate::OrdersError;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tower::ServiceExt;
use url::Url;

/// The longest answer that is read. The longest valid one is far below.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Transport {
    way: Way,
    base: Url,
    timeout: Duration,
    /// Every call fails of it, and one line says so until a call succeeds.
    untrusted: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
enum Way {
    Http(HttpClient),
    InProcess(Router),
}

/// What a backend answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// What was asked, for the reasons given to people.
    asked: String,
    pub(super) status: StatusCode,
    body: Bytes,
}

impl Transport {
    pub(super) fn in_process(router: Router, timeout: Duration) -> Self {
        #[expect(clippy::expect_used, reason = "the text is a URL")]
        let base = Url::parse("http://simulated").expect("a URL");
        Self {
            way: Way::InProcess(router),
            base,
            timeout,
            untrusted: Arc::default(),
        }
    }

    pub(super) fn http(
        base_url: &str,
        timeout: Duration,
        authorities: &Authorities,
    ) -> Result<Self, OrdersError> {
        let refused = |reason: String| OrdersError::BackendsUrl {
            url: base_url.to_owned(),
            reason,
        };
        let base = Url::parse(base_url).map_err(|error| refused(error.to_string()))?;
        if !base.username().is_empty() || base.password().is_some() {
            // The text is read by more people than the password is for.
            return Err(OrdersError::BackendsUrl {
                url: format!("{}://…@{}", base.scheme(), base.host_str().unwrap_or("…")),
                reason: "it must not have a user or a password, which would not be sent".to_owned(),
            });
        }
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(refused(
                "it must be http://HOST[:PORT][/PATH] or https://…".to_owned(),
            ));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refused("it must not have a query or a fragment".to_owned()));
        }
        Ok(Self {
            way: Way::Http(client::to(&base, authorities).map_err(refused)?),
            base,
            timeout,
            untrusted: Arc::default(),
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Eight kinds of calls at this bound each stay below the 1,024 files that a process may
    /// commonly have open, with room for clients and the journal.
    pub(super) fn calls_max(&self) -> usize {
        match self.way {
            Way::Http(_) => 100,
            Way::InProcess(_) => usize::MAX,
        }
    }

    /// Asks once and waits for the whole answer, at most for the timeout.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        key: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let asked = format!("{method} /{}", path.join("/"));
        let retry = |reason: &str| Failure::Retry(format!("{asked}: {reason}"));
        let request = self.request(method, path, key, body).map_err(|error| {
            Failure::Refused(format!(
                "{asked}: the request cannot be made: {}",
                chain(&*error)
            ))
        })?;
        let exchange = async {
            let (head, body) = self.send(request).await?.into_parts();
            let body = to_bytes(body, ANSWER_BYTES_MAX).await?;
            Ok::<_, Box<dyn Error + Send + Sync>>((head.status, body))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Err(_) => Err(retry(&format!("no answer within {:?}", self.timeout))),
            Ok(Err(error)) => {
                if client::is_untrusted(&*error) && !self.untrusted.swap(true, Ordering::Relaxed) {
                    warn_of_untrusted(&self.base, &chain(&*error));
                }
                Err(retry(&chain(&*error)))
            }
            Ok(Ok((status, body))) => {
                self.untrusted.store(false, Ordering::Relaxed);
                Ok(Answer {
                    asked,
                    status,
                    body,
                })
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        key: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Request<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| "the base URL cannot have a path")?
            .pop_if_empty()
            .extend(path);
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(key) = key {
            request = request
                .header("idempotency-key", key)
                .header(header::CONTENT_TYPE, "application/json");
        }
        Ok(request.body(body)?)
    }

    async fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        match &self.way {
            Way::Http(client) => {
                let response = client.request(request.map(Body::from)).await?;
                Ok(response.map(Body::new))
            }
            Way::InProcess(router) => Ok(router.clone().oneshot(request.map(Body::from)).await?),
        }
    }
}

impl Answer {
    /// Takes the answer as a yes, whatever its body says.
    pub(super) fn accept(&self) -> Result<(), Failure> {
        let said = format!("{} was answered with {}", self.asked, self.status);
        match self.status.as_u16() {
            200..=299 => Ok(()),
            429 | 500..=599 => Err(Failure::Retry(said)),
            _ => Err(Failure::Refused(said)),
        }
    }

    /// Takes the answer as a yes that says more.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        self.accept()?;
        wire::read(&self.body).map_err(|error| {
            Failure::Retry(format!("{} was answered with garbage: {error}", self.asked))
        })
    }
}

fn warn_of_untrusted(base: &Url, error: &str) {
    tracing::warn!(
        backends = %base, error,
        "the certificate of the backends is not trusted: name the one of the authority that signed \
         it (`griot serve --backends-ca FILE`); calls are tried again meanwhile, no order is lost"
    );
}

/// An error with all its causes in one line: the outermost text alone seldom says why.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_http_or_https_url_with_a_host_is_taken() {
        let transport =
            |url: &str| Transport::http(url, Duration::from_secs(1), &Authorities::platform());
        assert!(transport("http://127.0.0.1:7071").is_ok());
        assert!(transport("http://backends/api/v1/").is_ok());
        for url in ["", "backends", "ftp://x", "http://", "http://x?y=1"] {
            let error = transport(url).unwrap_err().to_string();
            assert!(error.contains(&format!("`{url}`")), "{error}");
        }
        for url in ["https://user:secret@host", "http://:secret@host"] {
            let error = transport(url).unwrap_err().to_string();
            assert!(error.contains("password"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(transport("http://user@host").is_err());
    }

    #[test]
    fn a_path_below_the_base_is_kept_and_ids_stay_one_segment() {
        for base in ["http://host/api", "http://host/api/"] {
            let second = Duration::from_secs(1);
            let transport = Transport::http(base, second, &Authorities::platform()).unwrap();
            let path = ["products", "a/b?c#d ü%2F"];
            let request = transport
                .request(Method::GET, &path, None, Vec::new())
                .unwrap();
            let expected = "http://host/api/products/a%2Fb%3Fc%23d%20%C3%BC%252F";
            assert_eq!(request.uri().to_string(), expected);
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let answer = |status| Answer {
            asked: "GET /x".into(),
            status: StatusCode::from_u16(status).unwrap(),
            body: Bytes::from_static(b"nonsense"),
        };
        assert_eq!(answer(200).accept(), Ok(()));
        assert_eq!(answer(202).accept(), Ok(()));
        for status in [429, 500, 502, 503, 504, 599] {
            assert!(
                matches!(answer(status).accept(), Err(Failure::Retry(_))),
                "{status}"
            );
        }
        for status in [301, 400, 401, 402, 403, 404, 408, 409, 422] {
            assert!(
                matches!(answer(status).accept(), Err(Failure::Refused(_))),
                "{status}"
            );
        }
        assert!(matches!(
            answer(200).read::<wire::Created>(),
            Err(Failure::Retry(_))
        ));
    }
}
