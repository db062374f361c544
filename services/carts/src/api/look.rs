//! `GET /carts/{cart}` and `GET /carts/{cart}/history`.

use super::view::CartView;
use super::{entity, no_such_cart, unreadable};
use crate::Carts;
use crate::cart::Cart;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use griot::http::{EventView, HistoryPage, Parameters, Problem, ProblemDocument};

/// Look at a cart: as it is, or as it was.
#[utoipa::path(
    get,
    path = "/carts/{cart}",
    tag = "carts",
    params(
        ("cart" = String, Path, description = "The cart's id"),
        ("seq" = Option<u64>, Query, description = "As it was after this many events"),
        ("at" = Option<String>, Query, description = "As it was at this moment, RFC 3339", example = "2026-01-31T12:00:00Z"),
    ),
    responses(
        (status = 200, description = "The cart", body = CartView),
        (status = 404, description = "There is, or was, no such cart", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cart(
    State(carts): State<Carts>,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Json<CartView>, Problem> {
    let Path(id) = path.map_err(|_| no_such_cart())?;
    let view = match parameters.moment()? {
        None => {
            let name = id.clone();
            let view = move |cart: &Cart, seq| CartView::of(&name, cart, seq);
            entity(&carts, &id)?.read(view).await?
        }
        Some(moment) => {
            let then = carts.griot().state_at::<Cart>(&id, moment).await;
            let then = then.map_err(|error| unreadable(&error))?;
            then.and_then(|(cart, seq)| CartView::of(&id, &cart, seq))
        }
    };
    view.map(Json).ok_or_else(no_such_cart)
}

/// How a cart got where it is: its events, oldest first.
///
/// Where there may be more, the header `Link` leads to the rest.
#[utoipa::path(
    get,
    path = "/carts/{cart}/history",
    tag = "carts",
    params(
        ("cart" = String, Path, description = "The cart's id"),
        ("limit" = Option<usize>, Query, description = "At most this many: 1 to 10000, 10000 unless said", minimum = 1, maximum = 10000),
        ("after" = Option<u64>, Query, description = "Go on after the event with this number"),
    ),
    responses(
        (status = 200, description = "The events", body = [EventView], headers(("Link" = String))),
        (status = 404, description = "There is no such cart", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn history(
    State(carts): State<Carts>,
    path: Result<Path<String>, PathRejection>,
    page: HistoryPage,
) -> Result<Response, Problem> {
    let Path(id) = path.map_err(|_| no_such_cart())?;
    let events = carts.griot().history::<Cart>(&id, page.range()).await;
    let events = events.map_err(|error| unreadable(&error))?;
    page.answer(events).ok_or_else(no_such_cart)
}
