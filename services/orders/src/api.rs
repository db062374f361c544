//! The HTTP API of orders, and its description.

mod change;
mod look;
mod page;
mod place;
mod view;

use crate::Orders;
use crate::order::{CancelError, NotStuck, Order, OtherOrder};
use axum::Router;
use axum::routing::{get, post};
use griot::http::{Problem, ProblemDocument};
use griot::{EntityError, EntityRef};
use std::time::Duration;
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{self, RefOr, Schema};
use utoipa::{Modify, OpenApi};
use uuid::Uuid;

/// The routes of orders, and the page at `/`.
pub(crate) fn router(orders: Orders) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/orders", post(place::place).get(look::list))
        .route("/orders/{id}", get(look::order))
        .route("/orders/{id}/history", get(look::history))
        .route("/orders/{id}/cancel", post(change::cancel))
        .route("/orders/{id}/resume", post(change::resume))
        .with_state(orders)
}

/// What `/openapi.json` says of orders.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Orders", description = "Orders that are never lost."),
    paths(
        place::place,
        look::list,
        look::order,
        look::history,
        change::cancel,
        change::resume
    ),
    components(schemas(ProblemDocument)),
    modifiers(&NothingElse)
)]
pub(crate) struct Description;

/// Says of what is sent that it has no other fields. Its types cannot: they are also part of events.
struct NothingElse;

impl Modify for NothingElse {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let components = description.components.iter_mut();
        for (name, schema) in components.flat_map(|components| &mut components.schemas) {
            if let ("OrderRequest" | "LineItem", RefOr::T(Schema::Object(object))) =
                (name.as_str(), schema)
            {
                object.additional_properties =
                    Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
}

/// An order that exists has a UUID for an id; what is no UUID is no order.
fn parse_id(id: &str) -> Result<Uuid, Problem> {
    let is_hyphenated = id.len() == uuid::fmt::Hyphenated::LENGTH;
    let parsed = Uuid::try_parse(id).ok().filter(|_| is_hyphenated);
    parsed.ok_or_else(|| Problem::not_found("there is no such order: its id is not a UUID"))
}

fn no_such_order() -> Problem {
    Problem::not_found("there is no such order")
}

fn entity(orders: &Orders, id: Uuid) -> Result<EntityRef<Order>, Problem> {
    orders.entity(id).map_err(|error| unreadable(&error))
}

fn unreadable(error: &EntityError) -> Problem {
    tracing::error!(%error, "an order cannot be read");
    let detail = "the order cannot be read now; the log says why";
    Problem::unavailable(detail, Duration::from_secs(5))
}

impl From<OtherOrder> for Problem {
    fn from(OtherOrder: OtherOrder) -> Self {
        Self::invalid(
            "Idempotency-Key",
            "was used for another order; use a new key for a new order",
        )
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotPlaced => no_such_order(),
            CancelError::PaymentBegun => {
                Self::conflict("the order cannot be cancelled: its payment has begun")
            }
            CancelError::Rejected => {
                Self::conflict("the order cannot be cancelled: it was rejected")
            }
        }
    }
}

impl From<NotStuck> for Problem {
    fn from(NotStuck(state): NotStuck) -> Self {
        match state {
            None => no_such_order(),
            Some(_) => Self::conflict("the order cannot be resumed: it does not need attention"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hyphenated_uuid_is_an_id() {
        let id = "0190b5a4-7c3e-7a10-8f00-0123456789ab";
        assert_eq!(parse_id(id).unwrap().to_string(), id);
        assert_eq!(parse_id(&id.to_uppercase()).unwrap().to_string(), id);
        let simple = id.replace('-', "");
        let braced = format!("{{{id}}}");
        for other in [
            "",
            "1",
            "..",
            &simple,
            &braced,
            "0190b5a4-7c3e-7a10-8f00-0123456789ag",
        ] {
            assert_eq!(
                parse_id(other).unwrap_err().status().as_u16(),
                404,
                "{other}"
            );
        }
    }

    #[test]
    fn the_description_names_every_route_and_schema() {
        let description = Description::openapi();
        let json = serde_json::to_value(&description).unwrap();
        let paths = json["paths"].as_object().unwrap();
        let mut methods: Vec<_> = paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .keys()
                    .map(move |method| format!("{method} {path}"))
            })
            .collect();
        methods.sort();
        let expected = [
            "get /orders",
            "get /orders/{id}",
            "get /orders/{id}/history",
            "post /orders",
            "post /orders/{id}/cancel",
            "post /orders/{id}/resume",
        ];
        assert_eq!(methods, expected);
        for sent in ["OrderRequest", "LineItem"] {
            let schema = &json["components"]["schemas"][sent];
            assert_eq!(schema["additionalProperties"], false, "{sent}");
        }
        // Every reference leads somewhere.
        let text = json.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
