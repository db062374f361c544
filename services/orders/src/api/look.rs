//! `GET /orders`, `GET /orders/{id}` and `GET /orders/{id}/history`.

use super::parameters::Parameters;
use super::view::{EventView, OrderView, PartyView, ProblemDocument, SummaryView};
use super::{entity, no_such_order, parse_id, unreadable};
use crate::Orders;
use crate::index::{Query, Summary};
use crate::order::{Order, OrderState};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use griot::Moment;
use griot::core::{Seq, Timestamp};
use griot::http::Problem;
use griot::journal::{RecordedEvent, SeqRange};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

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
        (status = 503, description = "The list is being built", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(orders): State<Orders>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let query = query(&parameters)?;
    if !orders.is_listed() {
        let detail = "the list is being built from the journal; orders can be asked for by id";
        return Err(Problem::unavailable(detail, Duration::from_secs(1)));
    }
    let found = orders.list(&query).await;
    let found = found.map_err(|_| Problem::invalid("after", "must be the id of a listed order"))?;
    let next = found
        .last()
        .filter(|_| found.len() == query.limit)
        .and_then(|last| link(&query, last.id));
    let views: Vec<_> = found.into_iter().map(view).collect();
    let mut answer = Json(views).into_response();
    if let Some(link) = next {
        answer.headers_mut().insert(header::LINK, link);
    }
    Ok(answer)
}

fn query(parameters: &Parameters) -> Result<Query, Problem> {
    let text = |name| parameters.get(name, "", |id| Some(id.to_owned()));
    let state = parameters.get("state", "must be a state of an order", |state| {
        OrderState::deserialize(state.into_deserializer())
            .map_err(|_: serde::de::value::Error| ())
            .ok()
    })?;
    let limit = parameters.get("limit", "must be a number from 1 to 1000", |limit| {
        limit
            .parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
    })?;
    let after = parameters.get("after", "must be the id of a listed order", |id| {
        parse_id(id).ok()
    })?;
    Ok(Query {
        state,
        customer: text("customer")?,
        merchant: text("merchant")?,
        after,
        limit: limit.unwrap_or(LIMIT_DEFAULT),
    })
}

/// Where the page after the one that ends with `last` is (RFC 8288).
fn link(query: &Query, last: Uuid) -> Option<HeaderValue> {
    let mut url = Url::parse("http://orders/orders").ok()?;
    url.query_pairs_mut()
        .append_pair("limit", &query.limit.to_string())
        .append_pair("after", &last.to_string());
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
        id: summary.id.to_string(),
        state: summary.state,
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
    let view = match moment(&parameters)? {
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

fn moment(parameters: &Parameters) -> Result<Option<Moment>, Problem> {
    let seq = parameters.get("seq", "must be a whole number", |seq| seq.parse().ok())?;
    let at = parameters.get("at", "must be a time like 2026-01-31T12:00:00Z", |at| {
        moment_in_time(at)
    })?;
    match (seq, at) {
        (Some(_), Some(_)) => Err(Problem::invalid(
            "at",
            "must be left out where seq is given",
        )),
        (Some(seq), None) => Ok(Some(Moment::Seq(Seq(seq)))),
        (None, Some(at)) => Ok(Some(Moment::At(at))),
        (None, None) => Ok(None),
    }
}

/// Reads RFC 3339 as clients write it: with a plus sign that was not encoded and arrives as a space,
/// with more digits than a clock has, and with the end of time.
fn moment_in_time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_at_checked(11)?;
    let time = time.replace(' ', "+");
    let text = match time.split_once('.') {
        None => format!("{date}{time}"),
        Some((seconds, rest)) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, zone) = rest.split_at_checked(digits)?;
            let fraction = fraction.get(..9).unwrap_or(fraction);
            format!("{date}{seconds}.{fraction}{zone}")
        }
    };
    let at_the_end = text.starts_with("9999-12-3") && text.ends_with(['Z', 'z']);
    let end_of_time = || at_the_end.then_some(Timestamp::from_micros(i64::MAX));
    text.replacen(' ', "T", 1).parse().ok().or_else(end_of_time)
}

/// How an order got where it is: all its events, oldest first.
#[utoipa::path(
    get,
    path = "/orders/{id}/history",
    tag = "orders",
    params(("id" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "The events", body = [EventView]),
        (status = 404, description = "There is no such order", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn history(
    State(orders): State<Orders>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<EventView>>, Problem> {
    let id = parse_id(&path.map_err(|_| no_such_order())?.0)?;
    let events = orders
        .griot()
        .history::<Order>(&id.to_string(), SeqRange::ALL)
        .await;
    let events = events.map_err(|error| unreadable(&error))?;
    if events.is_empty() {
        return Err(no_such_order());
    }
    Ok(Json(events.into_iter().map(event).collect()))
}

fn event(recorded: RecordedEvent) -> EventView {
    // Payloads are JSON; bytes that are not would be somebody else's, and are shown as null.
    let data = serde_json::from_slice(&recorded.event.payload).unwrap_or_default();
    EventView {
        seq: recorded.seq.get(),
        at: recorded.at,
        event: recorded.event.name.into_owned(),
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_clients_write_it() {
        let micros = |text| moment_in_time(text).map(Timestamp::as_micros);
        let at = micros("2026-01-31T12:00:00.25Z");
        assert!(at.is_some());
        assert_eq!(micros("2026-01-31T13:00:00.25 01:00"), at);
        assert_eq!(micros("2026-01-31 12:00:00.2500000000009Z"), at);
        assert_eq!(micros("9999-12-31T23:59:59Z"), Some(i64::MAX));
        for text in [
            "",
            "yesterday",
            "2026-01-31",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00ü",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
