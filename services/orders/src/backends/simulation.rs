//! The seven backends, simulated: any id exists, answers take as long as they are told to, and
//! some of them fail in the ways real services fail.

use super::books::{Asked, Books, Verdict, Will};
use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use griot::core::stable_hash;
use griot::http::Problem;
use serde::Serialize;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Ids that begin with this do not exist.
const MISSING: &str = "MISSING";

/// A late answer takes this many times the usual latency.
const LATE_TIMES: u32 = 20;

/// The seven backends of an order, simulated. Clones share their books.
///
/// Names, prices and percentages are derived from ids, so every id exists and always says the
/// same, except ids that begin with `MISSING`. A POST or PUT takes effect once per
/// `Idempotency-Key`. A failing request answers 503 or 429 or nothing without having taken
/// effect, or takes effect and then answers 500, garbage, late or nothing.
#[derive(Debug, Clone)]
pub struct Simulation {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    latency: Duration,
    fail_rate: f64,
    declined: Vec<String>,
    books: Mutex<Books>,
}

/// A write under its key.
pub(super) struct Write {
    pub(super) key: String,
    pub(super) asked: Asked,
    pub(super) will: Will,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Unavailable,
    TooMany,
    CutBefore,
    CutAfter,
    Crashed,
    Garbage,
    Late,
}

impl Simulation {
    /// Backends that take `latency` for every answer, fail `fail_rate` of all requests (0.0 none,
    /// 1.0 all), and decline payments by the methods named in `declined`.
    pub fn new(latency: Duration, fail_rate: f64, declined: Vec<String>) -> Self {
        let books = Mutex::new(Books::default());
        Self {
            shared: Arc::new(Shared {
                latency,
                fail_rate,
                declined,
                books,
            }),
        }
    }

    /// How long an answer takes.
    pub fn latency(&self) -> Duration {
        self.shared.latency
    }

    /// The books as `GET /books` gives them, in JSON: `{"forgotten": n, "keys": {key: page}}`,
    /// where a page says what was asked for under that key, how often, and how often it took
    /// effect.
    ///
    /// # Errors
    ///
    /// None that is known: the books can be written as JSON.
    pub fn books(&self) -> serde_json::Result<Vec<u8>> {
        self.shared
            .books
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .to_json()
    }

    fn fault(&self) -> Option<Fault> {
        const FAULTS: [Fault; 7] = [
            Fault::Unavailable,
            Fault::TooMany,
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::Crashed,
            Fault::Garbage,
            Fault::Late,
        ];
        let fails = fastrand::f64() < self.shared.fail_rate;
        fails.then(|| fastrand::choice(FAULTS)).flatten()
    }

    /// Answers after the latency, with the effect in the middle of it: a client that goes away
    /// meanwhile leaves a request that took effect or one that did not.
    async fn answer(&self, effect: impl FnOnce() -> Response) -> Response {
        let fault = self.fault();
        let asked_at = Instant::now();
        sleep_until(asked_at + self.shared.latency / 2).await;
        match fault {
            Some(Fault::Unavailable) => {
                return Problem::unavailable("simulated", Duration::from_secs(1)).into_response();
            }
            Some(Fault::TooMany) => return StatusCode::TOO_MANY_REQUESTS.into_response(),
            Some(Fault::CutBefore) => return cut(),
            _ => {}
        }
        let answer = effect();
        let times = if fault == Some(Fault::Late) {
            LATE_TIMES
        } else {
            1
        };
        sleep_until(asked_at + self.shared.latency.saturating_mul(times)).await;
        match fault {
            Some(Fault::CutAfter) => cut(),
            Some(Fault::Crashed) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Some(Fault::Garbage) => Html("<h1>It works!</h1>").into_response(),
            _ => answer,
        }
    }

    /// Whether payments by this method are declined.
    pub(super) fn declines(&self, method: &str) -> bool {
        self.shared
            .declined
            .iter()
            .any(|declined| declined == method)
    }

    pub(super) async fn look_up<T: Serialize>(
        &self,
        id: String,
        found: impl FnOnce(String) -> T,
    ) -> Response {
        self.answer(|| {
            if id.starts_with(MISSING) {
                return Problem::not_found(format!("there is no {id}")).into_response();
            }
            Json(found(id)).into_response()
        })
        .await
    }

    /// Takes effect once per key; `done` makes the answer of an id.
    pub(super) async fn perform(
        &self,
        write: Write,
        done: impl FnOnce(String) -> Response,
    ) -> Response {
        let Write { key, asked, will } = write;
        self.answer(|| {
            let mut books = self
                .shared
                .books
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match books.perform(&key, asked, will) {
                Verdict::Done => done(format!("{:016X}", stable_hash(key.as_bytes()))),
                Verdict::Declined => {
                    let detail = "the payment was declined; pay by another method";
                    Problem::new(StatusCode::PAYMENT_REQUIRED, detail).into_response()
                }
                Verdict::Conflict => {
                    Problem::invalid("Idempotency-Key", "was used for another request")
                        .into_response()
                }
            }
        })
        .await
    }
}

/// The answer of a service that goes away while it answers: the connection is closed.
fn cut() -> Response {
    let gone = io::Error::from(io::ErrorKind::ConnectionAborted);
    Body::from_stream(futures_util::stream::once(async {
        Err::<Vec<u8>, _>(gone)
    }))
    .into_response()
}
