//! `GET /orders`, `GET /orders/{id}` and `GET /orders/{id}/history`.

use super::view::{OrderView, PartyView, SummaryView};
use super::{entity, no_such_order, parse_id, unreadable};
use crate::Orders;
use crate::backends::wire::check_id;
use crate::list::Query;
use crate::order::{Order, OrderState};
use crate::summary::Summary;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use griot::http::{EventView, HistoryPage, Parameters, Problem, ProblemDocument};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use url::Url;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// List orders, newest first.
///
/// Where there may be more, the header `Link` leads to the next page. The list follows what
/// happens within moments; `GET /orders/{id}` is always current.
#[utoipa::path(
    get,
    path = "/orders",
    tag = "orders",
    params(
        ("state" = Option<OrderState>, Query, description = "Only orders in this state"),
        ("customer" = Option<String>, Query, description = "Only orders of this customer"),
        ("merchant" = Option<String>, Query, description = "Only orders at this merchant"),
        ("limit" = Option<usize>, Query, description = "At most this many: 1 to 1000, 50 unless said", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "Go on after the order with this id"),
    ),
    responses(
        (status = 200, description = "The orders", body = [SummaryView], headers(("Link" = String))),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The list is being made, or cannot be read", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(orders): State<Orders>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let query = query(&parameters)?;
    let found = Problem::unless_read(orders.list(&query)).await?;
    let found =
        found.ok_or_else(|| Problem::invalid("after", "must be the id of a listed order"))?;
    let next = found
        .last()
        .filter(|_| found.len() == query.limit)
        .and_then(|last| link(&query, &last.id));
    let views: Vec<_> = found.into_iter().map(view).collect();
    let mut answer = Json(views).into_response();
    if let Some(link) = next {
        answer.headers_mut().insert(header::LINK, link);
    }
    Ok(answer)
}

fn query(parameters: &Parameters) -> Result<Query, Problem> {
    let text = |name| {
        let rule = "must be 1 to 255 bytes without control characters";
        parameters.get(name, rule, |id| check_id(id).is_ok().then(|| id.to_owned()))
    };
    let state = parameters.get("state", "must be a state of an order", |state| {
        OrderState::deserialize(state.into_deserializer())
            .map_err(|_: serde::de::value::Error| ())
            .ok()
    })?;
    let after = parameters.get("after", "must be the id of a listed order", |id| {
        parse_id(id).ok()
    })?;
    Ok(Query {
        state,
        customer: text("customer")?,
        merchant: text("merchant")?,
        after,
        limit: parameters.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
    })
}

/// Where the page after the one that ends with `last` is (RFC 8288).
fn link(query: &Query, last: &str) -> Option<HeaderValue> {
    let mut url = Url::parse("http://orders/orders").ok()?;
    url.query_pairs_mut()
        .append_pair("limit", &query.limit.to_string())
        .append_pair("after", last);
    let filters = [
        ("state", query.state.map(|state| state.name().to_owned())),
        ("customer", query.customer.clone()),
        ("merchant", query.merchant.clone()),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    format!("</orders?{}>; rel=\"next\"", url.query()?)
        .parse()
        .ok()
}

fn view(summary: Summary) -> SummaryView {
    let party = |(id, name)| PartyView { id, name };
    SummaryView {
        state: summary.state(),
        id: summary.id,
        placed_at: summary.placed_at,
        seq: summary.seq.get(),
        customer: party(summary.customer),
        merchant: party(summary.merchant),
        total: summary.total,
    }
}

/// Look at an order: as it is, or as it was.
#[utoipa::path(
    get,
    path = "/orders/{id}",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("seq" = Option<u64>, Query, description = "As it was after this many events"),
        ("at" = Option<String>, Query, description = "As it was at this moment, RFC 3339", example = "2026-01-31T12:00:00Z"),
    ),
    responses(
        (status = 200, description = "The order", body = OrderView),
        (status = 404, description = "There is, or was, no such order", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn order(
    State(orders): State<Orders>,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Json<OrderView>, Problem> {
    let id = parse_id(&path.map_err(|_| no_such_order())?.0)?;
    let name = id.to_string();
    let view = match parameters.moment()? {
        None => {
            let entity = entity(&orders, id)?;
            entity
                .read(move |order: &Order, seq| OrderView::of(&name, order, seq))
                .await?
        }
        Some(moment) => {
            let then = orders.griot().state_at::<Order>(&name, moment).await;
            let then = then.map_err(|error| unreadable(&error))?;
            then.and_then(|(order, seq)| OrderView::of(&name, &order, seq))
        }
    };
    view.map(Json).ok_or_else(no_such_order)
}

/// How an order got where it is: its events, oldest first.
///
/// Where there may be more, the header `Link` leads to the rest.
#[utoipa::path(
    get,
    path = "/orders/{id}/history",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("limit" = Option<usize>, Query, description = "At most this many: 1 to 10000, 10000 unless said", minimum = 1, maximum = 10000),
        ("after" = Option<u64>, Query, description = "Go on after the event with this number"),
    ),
    responses(
        (status = 200, description = "The events", body = [EventView], headers(("Link" = String))),
        (status = 404, description = "There is no such order", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn history(
    State(orders): State<Orders>,
    path: Result<Path<String>, PathRejection>,
    page: HistoryPage,
) -> Result<Response, Problem> {
    let id = parse_id(&path.map_err(|_| no_such_order())?.0)?.to_string();
    let events = orders.griot().history::<Order>(&id, page.range()).await;
    let events = events.map_err(|error| unreadable(&error))?;
    page.answer(events).ok_or_else(no_such_order)
}
