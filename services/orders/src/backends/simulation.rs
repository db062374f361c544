//! The seven backends, simulated: any id exists, answers take as long as they are told to, and
//! some of them fail in the ways real services fail.

use super::books::{Asked, Books, Verdict, Will};
use super::wire::{
    Created, InvoiceChange, NewInvoice, NewPayment, Notification, Party, Product, Promotion,
};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use griot::core::stable_hash;
use griot::http::{self, IdempotencyKey, Problem};
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

    async fn look_up<T: Serialize>(&self, id: String, found: impl FnOnce(String) -> T) -> Response {
        self.answer(|| {
            if id.starts_with(MISSING) {
                return Problem::not_found(format!("there is no {id}")).into_response();
            }
            Json(found(id)).into_response()
        })
        .await
    }

    async fn perform(&self, request: Request, done: impl FnOnce(String) -> Response) -> Response {
        let Request { key, asked, will } = request;
        self.answer(|| {
            let mut books = self
                .shared
                .books
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match books.perform(&key, asked, will) {
                Verdict::Done => done(format!("{:016X}", stable_hash(key.as_bytes()))),
                Verdict::Declined => StatusCode::PAYMENT_REQUIRED.into_response(),
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

/// The seven over HTTP, and `GET /books`.
pub fn router(simulation: Simulation) -> Router {
    let router = Router::new()
        .route("/customers/{id}", get(customer))
        .route("/merchants/{id}", get(merchant))
        .route("/promotions/{id}", get(promotion))
        .route("/products/{id}", get(product))
        .route("/invoices", post(create_invoice))
        .route("/invoices/{id}", put(change_invoice))
        .route("/payments", post(pay))
        .route("/notifications", post(notify))
        .route("/books", get(books))
        .with_state(simulation);
    http::answer_with_problems(router)
}

async fn customer(State(simulation): State<Simulation>, Path(id): Path<String>) -> Response {
    simulation.look_up(id, |id| party("Customer", id)).await
}

async fn merchant(State(simulation): State<Simulation>, Path(id): Path<String>) -> Response {
    simulation.look_up(id, |id| party("Merchant", id)).await
}

fn party(kind: &str, id: String) -> Party {
    Party {
        email: format!("{id}@example.com"),
        name: format!("{kind} {id}"),
        id,
    }
}

async fn promotion(State(simulation): State<Simulation>, Path(id): Path<String>) -> Response {
    let found = |id: String| {
        // At most 50, so it fits.
        let discount = u8::try_from(stable_hash(id.as_bytes()) % 51).unwrap_or_default();
        Promotion {
            name: format!("{discount}% off"),
            discount,
            id,
        }
    };
    simulation.look_up(id, found).await
}

async fn product(State(simulation): State<Simulation>, Path(id): Path<String>) -> Response {
    let found = |id: String| {
        // At most 9,999, so it fits.
        let price = 100 + i64::try_from(stable_hash(id.as_bytes()) % 9_900).unwrap_or_default();
        Product {
            name: format!("Product {id}"),
            price,
            id,
        }
    };
    simulation.look_up(id, found).await
}

/// A write under its key.
struct Request {
    key: String,
    asked: Asked,
    will: Will,
}

impl Request {
    fn new(
        key: Option<IdempotencyKey>,
        (what, subject, amount): (String, String, Option<i64>),
        body: &impl Serialize,
    ) -> Result<Self, Problem> {
        let IdempotencyKey(key) =
            key.ok_or_else(|| Problem::malformed("a POST or PUT must carry Idempotency-Key"))?;
        let bytes = serde_json::to_vec(&(&what, &subject, body))
            .map_err(|error| Problem::malformed(error.to_string()))?;
        let asked = Asked {
            what,
            subject,
            amount,
            fingerprint: stable_hash(&bytes),
        };
        Ok(Self {
            key,
            asked,
            will: Will::Do,
        })
    }
}

async fn create_invoice(
    State(simulation): State<Simulation>,
    key: Option<IdempotencyKey>,
    http::Json(invoice): http::Json<NewInvoice>,
) -> Result<Response, Problem> {
    if invoice.subtotal.checked_sub(invoice.discount) != Some(invoice.total) {
        return Err(Problem::invalid("total", "must be subtotal - discount"));
    }
    let about = (
        "invoice".to_owned(),
        invoice.order.clone(),
        Some(invoice.total),
    );
    let request = Request::new(key, about, &invoice)?;
    Ok(simulation
        .perform(request, |id| created(format!("INV-{id}")))
        .await)
}

async fn change_invoice(
    State(simulation): State<Simulation>,
    Path(id): Path<String>,
    key: Option<IdempotencyKey>,
    http::Json(change): http::Json<InvoiceChange>,
) -> Result<Response, Problem> {
    let request = Request::new(key, ("void".to_owned(), id, None), &change)?;
    Ok(simulation
        .perform(request, |_| Json(change).into_response())
        .await)
}

async fn pay(
    State(simulation): State<Simulation>,
    key: Option<IdempotencyKey>,
    http::Json(payment): http::Json<NewPayment>,
) -> Result<Response, Problem> {
    let about = (
        "payment".to_owned(),
        payment.invoice_id.clone(),
        Some(payment.amount),
    );
    let mut request = Request::new(key, about, &payment)?;
    if simulation.shared.declined.contains(&payment.method_id) {
        request.will = Will::Decline;
    }
    Ok(simulation
        .perform(request, |id| created(format!("PMT-{id}")))
        .await)
}

async fn notify(
    State(simulation): State<Simulation>,
    key: Option<IdempotencyKey>,
    http::Json(notification): http::Json<Notification>,
) -> Result<Response, Problem> {
    let what = format!("{} {}", notification.to.name(), notification.kind.name());
    let request = Request::new(key, (what, notification.order.clone(), None), &notification)?;
    Ok(simulation
        .perform(request, |_| StatusCode::ACCEPTED.into_response())
        .await)
}

fn created(id: String) -> Response {
    (StatusCode::CREATED, Json(Created { id })).into_response()
}

async fn books(State(simulation): State<Simulation>) -> Result<Response, Problem> {
    let json = simulation.books().map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the books: {error}"),
        )
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}
