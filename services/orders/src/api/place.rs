//! `POST /orders`.

use super::entity;
use super::view::{Accepted, OrderView};
use crate::Orders;
use crate::order::{Order, OrderRequest, OrderState, Place};
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use griot::http::{IdempotencyKey, Json, Prefer, Problem, ProblemDocument};
use griot::{AskError, EntityRef};
use std::time::Duration;
use uuid::Uuid;

/// The namespace of order ids that are made of an `Idempotency-Key`. Stored in effect: with
/// another one, a repeated key would place a second order.
const KEYS: Uuid = Uuid::from_u128(0x6b1d_3a4e_52c8_4f0e_9b7a_0f6c_d1e2_a394);

/// The longest an answer is held, whatever the client prefers.
pub(super) const WAIT_MAX: Duration = Duration::from_hours(1);

/// Place an order.
///
/// It is answered once the order is durable. With an `Idempotency-Key`, the same request again
/// is answered the same and places nothing.
#[utoipa::path(
    post,
    path = "/orders",
    tag = "orders",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters of the client's choice"),
        ("Prefer" = Option<String>, Header, description = "wait=N: hold the answer up to N seconds until the order is final", example = "wait=10"),
    ),
    request_body = OrderRequest,
    responses(
        (status = 202, description = "Placed, and durable", body = Accepted, headers(("Location" = String))),
        (status = 200, description = "With Prefer: wait: the order is final", body = OrderView, headers(("Location" = String))),
        (status = 400, description = "The body is not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is longer than 64 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A value is wrong, or the key was used for another order", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Busy: send the same request later", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn place(
    State(orders): State<Orders>,
    key: Option<IdempotencyKey>,
    prefer: Prefer,
    Json(request): Json<OrderRequest>,
) -> Result<Response, Problem> {
    request
        .check()
        .map_err(|invalid| Problem::invalid(invalid.field, invalid.rule))?;
    let id = match key {
        // The same key leads to the same entity, so a retry meets the order it placed before.
        Some(IdempotencyKey(key)) => Uuid::new_v5(&KEYS, key.as_bytes()),
        None => Uuid::now_v7(),
    };
    let entity = entity(&orders, id)?;
    ask_until_known(&entity, Place(request)).await?;
    Ok(match prefer.wait {
        None => accepted(id, OrderState::Placed),
        Some(wait) => wait_for_end(&orders, &entity, id, wait).await,
    })
}

/// Placing is idempotent, so an unknown outcome can be settled by asking again.
async fn ask_until_known(entity: &EntityRef<Order>, place: Place) -> Result<(), Problem> {
    match entity.ask(place.clone()).await {
        Err(AskError::Unknown) => Ok(entity.ask(place).await?),
        answer => Ok(answer?),
    }
}

/// Holds the answer until the order is final or the time is up, or the program stops. What was
/// asked is durable by then, so there is no error: an order that cannot be looked at is answered
/// as placed.
pub(super) async fn wait_for_end(
    orders: &Orders,
    entity: &EntityRef<Order>,
    id: Uuid,
    wait: Duration,
) -> Response {
    let wait = wait.min(WAIT_MAX);
    let name = id.to_string();
    let view = move |order: &Order, seq| OrderView::of(&name, order, seq);
    let end = view.clone();
    let ended = entity.wait_until(wait, move |order, seq| {
        order.is_final().then(|| end(order, seq)).flatten()
    });
    let ended = tokio::select! {
        ended = ended => ended.ok().flatten(),
        () = orders.stopping() => None,
    };
    let mut answer = if let Some(view) = ended {
        answer(id, StatusCode::OK, view)
    } else {
        let seen = entity.read(view).await.ok().flatten();
        let state = seen.map_or(OrderState::Placed, |view| view.state());
        accepted(id, state)
    };
    if let Ok(applied) = format!("wait={}", wait.as_secs()).parse() {
        answer
            .headers_mut()
            .insert(HeaderName::from_static("preference-applied"), applied);
    }
    answer
}

fn accepted(id: Uuid, state: OrderState) -> Response {
    let body = Accepted {
        id: id.to_string(),
        state,
    };
    answer(id, StatusCode::ACCEPTED, body)
}

pub(super) fn answer(id: Uuid, status: StatusCode, body: impl serde::Serialize) -> Response {
    let location = [(header::LOCATION, format!("/orders/{id}"))];
    (status, location, axum::Json(body)).into_response()
}
