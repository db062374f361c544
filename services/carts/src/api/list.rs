//! `GET /items`.

use super::view::{Href, ItemsLinks, ItemsView};
use crate::Carts;
use crate::cart::Cart;
use crate::items;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use griot::core::{Entity, EntityId, Seq};
use griot::http::{Parameters, Problem, ProblemDocument};
use std::time::Duration;
use ulid::Ulid;
use url::Url;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// How long a write that somebody wants to see is waited for.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// List the items in all carts, in the order in which they were added.
///
/// The list follows what happens within moments; `wait_for` shows what somebody has just written.
#[utoipa::path(
    get,
    path = "/items",
    tag = "carts",
    params(
        ("limit" = Option<usize>, Query, description = "At most this many: 1 to 1000, 50 unless said", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "Go on after the item with this id"),
        ("wait_for" = Option<String>, Query, description = "CART:SEQ: answer once the list shows this cart up to this event", example = "ann:3"),
    ),
    responses(
        (status = 200, description = "The items", body = ItemsView, content_type = "application/hal+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The list cannot be read, or does not show the event in time", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn items(
    State(carts): State<Carts>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let limit = parameters.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let after = parameters.get("after", "must be the id of an item", |id| id.parse().ok())?;
    let rule = "must be CART:SEQ, such as ann:3";
    let (target, keeper) = carts.kept().get()?;
    if let Some((cart, seq)) = parameters.get("wait_for", rule, written)? {
        keeper.read_model().wait_for(&cart, seq, WAIT_MAX).await?;
    }
    let page = Problem::unless_read(items::page(&target, after, limit)).await?;
    let next = page.items.last().filter(|_| page.more);
    let next = next.and_then(|last| last.id.parse().ok());
    let links = ItemsLinks {
        this: href(limit, after),
        next: next.map(|last| href(limit, Some(last))),
    };
    let hal = [(header::CONTENT_TYPE, "application/hal+json")];
    Ok((hal, axum::Json(ItemsView::of(page, links))).into_response())
}

/// The cart and the sequence that `wait_for` names.
fn written(text: &str) -> Option<(EntityId, Seq)> {
    let (cart, seq) = text.rsplit_once(':')?;
    Some((
        EntityId::new(Cart::KIND, cart).ok()?,
        Seq(seq.parse().ok()?),
    ))
}

fn href(limit: usize, after: Option<Ulid>) -> Href {
    let after = after.map(|after| format!("&after={after}"));
    Href {
        href: format!("/items?limit={limit}{}", after.unwrap_or_default()),
    }
}

/// Where a cart is, with what is not plain in its id escaped.
pub(super) fn path_of_cart(id: &str) -> String {
    let mut url = Url::parse("http://carts/carts").ok();
    let path = url.as_mut().and_then(|url| {
        url.path_segments_mut().ok()?.push(id);
        Some(url.path().to_owned())
    });
    path.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_a_cart_and_a_sequence() {
        let (cart, seq) = written("of:ann:3").unwrap();
        assert_eq!((cart.id(), seq), ("of:ann", Seq(3)));
        for wrong in ["", "ann", "ann:", "ann:x", ":3", "ann:-1"] {
            assert!(written(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_path_leads_to_the_cart_whatever_its_id_is() {
        assert_eq!(path_of_cart("ann"), "/carts/ann");
        assert_eq!(path_of_cart("a/b?c d"), "/carts/a%2Fb%3Fc%20d");
    }
}
