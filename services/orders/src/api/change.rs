//! `POST /orders/{id}/cancel` and `POST /orders/{id}/resume`.

use super::place::{answer, wait_for_end};
use super::view::OrderView;
use super::{entity, no_such_order, parse_id};
use crate::Orders;
use crate::order::{Cancel, Order, Resume};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use griot::EntityRef;
use griot::http::{Prefer, Problem, ProblemDocument};
use uuid::Uuid;

/// Cancel an order, as long as its payment has not begun. Cancelling it again changes nothing.
#[utoipa::path(
    post,
    path = "/orders/{id}/cancel",
    tag = "orders",
    params(("id" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "It is cancelled", body = OrderView),
        (status = 404, description = "There is no such order", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Its payment has begun, or it was rejected", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    State(orders): State<Orders>,
    path: Result<Path<String>, PathRejection>,
    prefer: Prefer,
) -> Result<Response, Problem> {
    let id = parse_id(&path.map_err(|_| no_such_order())?.0)?;
    let entity = entity(&orders, id)?;
    entity.ask(Cancel).await?;
    changed(&orders, &entity, id, prefer, StatusCode::OK).await
}

/// Go on with an order that needs attention: exactly the failed steps are begun again, under the
/// keys they had.
#[utoipa::path(
    post,
    path = "/orders/{id}/resume",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Prefer" = Option<String>, Header, description = "wait=N: hold the answer up to N seconds until the order is final", example = "wait=10"),
    ),
    responses(
        (status = 202, description = "It goes on", body = OrderView),
        (status = 200, description = "With Prefer: wait: the order is final", body = OrderView),
        (status = 404, description = "There is no such order", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It does not need attention", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(
    State(orders): State<Orders>,
    path: Result<Path<String>, PathRejection>,
    prefer: Prefer,
) -> Result<Response, Problem> {
    let id = parse_id(&path.map_err(|_| no_such_order())?.0)?;
    let entity = entity(&orders, id)?;
    entity.ask(Resume).await?;
    changed(&orders, &entity, id, prefer, StatusCode::ACCEPTED).await
}

/// Answers with the changed order: now, or when it has come to its end.
async fn changed(
    orders: &Orders,
    entity: &EntityRef<Order>,
    id: Uuid,
    prefer: Prefer,
    status: StatusCode,
) -> Result<Response, Problem> {
    match prefer.wait {
        None => Ok(answer(id, status, view(entity, id).await?)),
        Some(wait) => Ok(wait_for_end(orders, entity, id, wait).await),
    }
}

async fn view(entity: &EntityRef<Order>, id: Uuid) -> Result<OrderView, Problem> {
    let name = id.to_string();
    let view = entity.read(move |order: &Order, seq| OrderView::of(&name, order, seq));
    view.await?.ok_or_else(no_such_order)
}
