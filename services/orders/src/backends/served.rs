//! The simulated backends over HTTP: their routes, and the description of them.

use super::books::{Asked, Will};
use super::simulation::{Simulation, Write};
use super::wire::{
    Created, InvoiceChange, NewInvoice, NewPayment, Notification, Party, Product, Promotion,
};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use griot::core::stable_hash;
use griot::http::{self, IdempotencyKey, Problem, ProblemDocument};
use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, OpenApi};

/// What `/openapi.json` says of the backends.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Order backends",
        description = "The seven backends of orders, simulated. A POST or PUT takes effect once per Idempotency-Key."
    ),
    paths(
        customer,
        merchant,
        promotion,
        product,
        create_invoice,
        change_invoice,
        pay,
        notify,
        books
    ),
    components(schemas(ProblemDocument))
)]
struct Description;

/// The description of what [`router`] answers, for `/openapi.json`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
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

/// The parameter of every request that takes effect.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `IdempotencyKey` reads")]
struct Step {
    /// The same for every repeat of a step.
    #[param(rename = "Idempotency-Key")]
    key: String,
}

/// It does not.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
#[expect(dead_code, reason = "it describes a `Problem`")]
struct Missing(ProblemDocument);

/// Why a request takes no effect.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes a `Problem`")]
enum Refused {
    /// The body is not JSON, or there is no key
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemDocument),
    /// A value is wrong, or the key was used for another request
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemDocument),
}

/// Look up a customer.
#[utoipa::path(
    get,
    path = "/customers/{id}",
    tag = "backends",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "It exists", body = Party),
        Missing,
    ),
)]
async fn customer(State(simulation): State<Simulation>, Path(id): Path<String>) -> Response {
    simulation.look_up(id, |id| party("Customer", id)).await
}

/// Look up a merchant.
#[utoipa::path(
    get,
    path = "/merchants/{id}",
    tag = "backends",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "It exists", body = Party),
        Missing,
    ),
)]
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

/// Look up a promotion.
#[utoipa::path(
    get,
    path = "/promotions/{id}",
    tag = "backends",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "It exists", body = Promotion),
        Missing,
    ),
)]
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

/// Look up a product.
#[utoipa::path(
    get,
    path = "/products/{id}",
    tag = "backends",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "It exists", body = Product),
        Missing,
    ),
)]
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

impl Write {
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

/// Create an invoice.
#[utoipa::path(
    post,
    path = "/invoices",
    tag = "backends",
    params(Step),
    request_body = NewInvoice,
    responses(
        (status = 201, description = "Created", body = Created),
        Refused,
    ),
)]
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
    let request = Write::new(key, about, &invoice)?;
    Ok(simulation
        .perform(request, |id| created(format!("INV-{id}")))
        .await)
}

/// Make an invoice void.
#[utoipa::path(
    put,
    path = "/invoices/{id}",
    tag = "backends",
    params(("id" = String, Path), Step),
    request_body = InvoiceChange,
    responses(
        (status = 200, description = "Changed", body = InvoiceChange),
        Refused,
    ),
)]
async fn change_invoice(
    State(simulation): State<Simulation>,
    Path(id): Path<String>,
    key: Option<IdempotencyKey>,
    http::Json(change): http::Json<InvoiceChange>,
) -> Result<Response, Problem> {
    let request = Write::new(key, ("void".to_owned(), id, None), &change)?;
    Ok(simulation
        .perform(request, |_| Json(change).into_response())
        .await)
}

/// Pay an invoice.
#[utoipa::path(
    post,
    path = "/payments",
    tag = "backends",
    params(Step),
    request_body = NewPayment,
    responses(
        (status = 201, description = "Paid", body = Created),
        (status = 402, description = "Declined", body = ProblemDocument, content_type = "application/problem+json"),
        Refused,
    ),
)]
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
    let mut request = Write::new(key, about, &payment)?;
    if simulation.declines(&payment.method_id) {
        request.will = Will::Decline;
    }
    Ok(simulation
        .perform(request, |id| created(format!("PMT-{id}")))
        .await)
}

/// Tell the merchant or the customer.
#[utoipa::path(
    post,
    path = "/notifications",
    tag = "backends",
    params(Step),
    request_body = Notification,
    responses(
        (status = 202, description = "Accepted"),
        Refused,
    ),
)]
async fn notify(
    State(simulation): State<Simulation>,
    key: Option<IdempotencyKey>,
    http::Json(notification): http::Json<Notification>,
) -> Result<Response, Problem> {
    let what = format!("{} {}", notification.to.name(), notification.kind.name());
    let request = Write::new(key, (what, notification.order.clone(), None), &notification)?;
    Ok(simulation
        .perform(request, |_| StatusCode::ACCEPTED.into_response())
        .await)
}

fn created(id: String) -> Response {
    (StatusCode::CREATED, Json(Created { id })).into_response()
}

/// The books.
#[utoipa::path(
    get,
    path = "/books",
    tag = "backends",
    responses(
        (status = 200, description = "What was asked for under each key, how often, and how often it took effect", body = serde_json::Value),
    ),
)]
async fn books(State(simulation): State<Simulation>) -> Result<Response, Problem> {
    let json = simulation.books().map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the books: {error}"),
        )
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use std::time::Duration;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_declined_payment_is_a_402_problem() {
        let declined = vec!["CARD-BAD".to_owned()];
        let simulation = Simulation::new(Duration::ZERO, 0.0, declined);
        let payment = r#"{"invoice_id":"INV-1","method_id":"CARD-BAD","amount":1}"#;
        let request = Request::post("/payments")
            .header("idempotency-key", "k")
            .body(Body::from(payment))
            .unwrap();
        let answer = router(simulation).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 402);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body = to_bytes(answer.into_body(), 1_024).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["status"], 402);
    }

    #[test]
    fn the_description_names_every_route() {
        let json = serde_json::to_value(openapi()).unwrap();
        let paths: Vec<_> = json["paths"].as_object().unwrap().keys().collect();
        let expected = [
            "/books",
            "/customers/{id}",
            "/invoices",
            "/invoices/{id}",
            "/merchants/{id}",
            "/notifications",
            "/payments",
            "/products/{id}",
            "/promotions/{id}",
        ];
        assert_eq!(paths, expected);
        for reference in json.to_string().split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
