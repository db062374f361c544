//! The HTTP API of carts, and its description.

mod change;
mod list;
mod look;
mod view;

use crate::Carts;
use crate::cart::{AddError, Cart, NoSuchItem};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use griot::core::CoreError;
use griot::http::{Problem, ProblemDocument};
use griot::{EntityError, EntityRef};
use std::time::Duration;
use utoipa::OpenApi;

/// The routes of carts, and the list of all items.
pub(crate) fn router(carts: Carts) -> Router {
    Router::new()
        .route("/carts/{cart}", get(look::cart))
        .route("/carts/{cart}/history", get(look::history))
        .route("/carts/{cart}/items", post(change::add))
        .route("/carts/{cart}/items/{item_id}", delete(change::remove))
        .route("/items", get(list::items))
        .with_state(carts)
}

/// What `/openapi.json` says of carts.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Carts", description = "Carts, and the items in all of them."),
    paths(look::cart, look::history, change::add, change::remove, list::items),
    components(schemas(ProblemDocument))
)]
pub(crate) struct Description;

fn entity(carts: &Carts, id: &str) -> Result<EntityRef<Cart>, Problem> {
    carts.entity(id).map_err(|error| unreadable(&error))
}

fn no_such_cart() -> Problem {
    Problem::not_found("there is no such cart: nothing was ever put into it")
}

fn unreadable(error: &EntityError) -> Problem {
    if let EntityError::Core(CoreError::Id { .. }) = error {
        return Problem::not_found("there is no such cart: its id cannot be one");
    }
    tracing::error!(%error, "a cart cannot be read");
    let detail = "the cart cannot be read now; the log says why";
    Problem::unavailable(detail, Duration::from_secs(5))
}

impl From<AddError> for Problem {
    fn from(error: AddError) -> Self {
        Self::new(StatusCode::CONFLICT, error.to_string())
    }
}

impl From<NoSuchItem> for Problem {
    fn from(error: NoSuchItem) -> Self {
        Self::not_found(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_every_route_and_schema() {
        let json = serde_json::to_value(Description::openapi()).unwrap();
        let paths: Vec<_> = json["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            [
                "/carts/{cart}",
                "/carts/{cart}/history",
                "/carts/{cart}/items",
                "/carts/{cart}/items/{item_id}",
                "/items"
            ]
        );
        // Every reference leads somewhere.
        let text = json.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
