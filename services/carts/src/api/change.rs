//! `POST /carts/{cart}/items` and `DELETE /carts/{cart}/items/{item_id}`.

use super::entity;
use super::view::{AddedView, NewItem};
use crate::Carts;
use crate::cart::{Add, Cart, NAME_CHARS_MAX, NoSuchItem, Remove};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use griot::EntityRef;
use griot::core::{Handle, Seq};
use griot::http::{IdempotencyKey, Json, Problem, ProblemDocument};
use serde::Serialize;
use ulid::Ulid;

/// The header of an answer that says how many events the cart has now.
const SEQ: HeaderName = HeaderName::from_static("griot-seq");

/// Put an item into a cart, which need not exist before.
///
/// It is answered once that is durable. With an `Idempotency-Key`, the same request again is answered the same and
/// changes nothing.
#[utoipa::path(
    post,
    path = "/carts/{cart}/items",
    tag = "carts",
    params(
        ("cart" = String, Path, description = "The cart's id, of the client's choice"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters of the client's choice"),
    ),
    request_body = NewItem,
    responses(
        (status = 200, description = "It is in", body = AddedView, headers(("Griot-Seq" = u64))),
        (status = 400, description = "The body is not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The id cannot be one of a cart", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "An item of this name is in the cart, or the cart is full", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is longer than 64 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The name is empty, longer than 255 characters, or has the character U+0000 in it; or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Busy: send the same request later", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn add(
    State(carts): State<Carts>,
    path: Result<Path<String>, PathRejection>,
    key: Option<IdempotencyKey>,
    Json(item): Json<NewItem>,
) -> Result<Response, Problem> {
    let Path(cart) = path.map_err(|_| super::no_such_cart())?;
    let cart = entity(&carts, &cart)?;
    let length = item.name.chars().count();
    if length == 0 || length > NAME_CHARS_MAX {
        let rule = format!("must be 1 to {NAME_CHARS_MAX} characters, not {length}");
        return Err(Problem::invalid("name", rule));
    }
    if item.name.contains('\0') {
        return Err(Problem::invalid(
            "name",
            "must not contain the character U+0000",
        ));
    }
    let added = ask(&cart, Add { name: item.name }, key).await?;
    let seq = [(SEQ, added.seq.to_string())];
    Ok((seq, axum::Json(AddedView::of(added))).into_response())
}

/// Take an item out of a cart.
#[utoipa::path(
    delete,
    path = "/carts/{cart}/items/{item_id}",
    tag = "carts",
    params(
        ("cart" = String, Path, description = "The cart's id"),
        ("item_id" = String, Path, description = "The item's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters of the client's choice"),
    ),
    responses(
        (status = 204, description = "It is out", headers(("Griot-Seq" = u64))),
        (status = 404, description = "There is no such item in the cart", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Busy: send the same request later", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(carts): State<Carts>,
    path: Result<Path<(String, String)>, PathRejection>,
    key: Option<IdempotencyKey>,
) -> Result<Response, Problem> {
    let Path((cart, item_id)) = path.map_err(|_| super::no_such_cart())?;
    let cart = entity(&carts, &cart)?;
    let item_id: Ulid = item_id.parse().map_err(|_| Problem::from(NoSuchItem))?;
    let removed = ask(&cart, Remove { item_id }, key).await?;
    Ok(changed(removed.seq))
}

fn changed(seq: Seq) -> Response {
    (StatusCode::NO_CONTENT, [(SEQ, seq.to_string())]).into_response()
}

async fn ask<C>(
    cart: &EntityRef<Cart>,
    command: C,
    key: Option<IdempotencyKey>,
) -> Result<<Cart as Handle<C>>::Reply, Problem>
where
    C: Serialize + Send + Sync + 'static,
    Cart: Handle<C>,
    Problem: From<<Cart as Handle<C>>::Error>,
{
    let asking = cart.ask(command);
    let asking = match key {
        Some(IdempotencyKey(key)) => asking.key(key),
        None => asking,
    };
    Ok(asking.await?)
}
