//! `GET /alarms/{user}` and `GET /alarms/{user}/history`.

use super::view::{HappeningView, ProblemDocument, UserView};
use crate::Alarms;
use crate::user::User;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse, Response};
use griot::core::{CoreError, Seq};
use griot::http::Problem;
use griot::journal::SeqRange;
use griot::{EntityError, Moment};
use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

/// Events in one answer, at most.
const EVENTS_MAX: usize = 10_000;

type Parameters = Result<Query<HashMap<String, String>>, QueryRejection>;

/// Look at a user's alarms: as they are, or as they were.
///
/// It is read from the journal, so that every instance gives the same answer.
#[utoipa::path(
    get,
    path = "/alarms/{user}",
    tag = "alarms",
    params(
        ("user" = String, Path, description = "The user's id"),
        ("seq" = Option<u64>, Query, description = "As it was after this many events"),
        ("at" = Option<String>, Query, description = "As it was at this moment, RFC 3339", example = "2026-01-31T12:00:00Z"),
    ),
    responses(
        (status = 200, description = "What is known", body = UserView),
        (status = 404, description = "Nothing is, or was, known of such a user", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn user(
    State(alarms): State<Alarms>,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Json<UserView>, Problem> {
    let Path(user_id) = path.map_err(|_| no_such_user())?;
    let Query(parameters) = parameters.map_err(|error| unreadable_query(&error))?;
    let seq = parameter(&parameters, "seq", "must be a whole number")?;
    let at = parameter(
        &parameters,
        "at",
        "must be a time like 2026-01-31T12:00:00Z",
    )?;
    let moment = match (seq, at) {
        (Some(_), Some(_)) => {
            let detail = "must be left out where seq is given";
            return Err(Problem::invalid("at", detail));
        }
        (Some(seq), None) => Moment::Seq(Seq(seq)),
        (None, Some(at)) => Moment::At(at),
        (None, None) => Moment::Seq(Seq::MAX),
    };
    let state = alarms.griot().state_at::<User>(&user_id, moment).await;
    let (user, seq) = state.map_err(unreadable)?.ok_or_else(no_such_user)?;
    Ok(Json(UserView::of(&user_id, &user, seq)))
}

/// How what is known of a user's alarms came about, oldest first.
///
/// Where there may be more, the header `Link` leads to the rest.
#[utoipa::path(
    get,
    path = "/alarms/{user}/history",
    tag = "alarms",
    params(
        ("user" = String, Path, description = "The user's id"),
        ("limit" = Option<usize>, Query, description = "At most this many: 1 to 10000, 10000 unless said", minimum = 1, maximum = 10000),
        ("after" = Option<u64>, Query, description = "Go on after the event with this number"),
    ),
    responses(
        (status = 200, description = "The events", body = [HappeningView], headers(("Link" = String))),
        (status = 404, description = "Nothing is known of such a user", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn history(
    State(alarms): State<Alarms>,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let Path(user_id) = path.map_err(|_| no_such_user())?;
    let Query(parameters) = parameters.map_err(|error| unreadable_query(&error))?;
    let rule = "must be a number from 1 to 10000";
    let limit = parameter(&parameters, "limit", rule)?.unwrap_or(EVENTS_MAX);
    if !(1..=EVENTS_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", rule));
    }
    let after = parameter(&parameters, "after", "must be a whole number")?.unwrap_or(0);
    let range = SeqRange {
        from: Seq(after).next(),
        limit,
        ..SeqRange::ALL
    };
    let events = alarms.griot().history::<User>(&user_id, range).await;
    let events = events.map_err(unreadable)?;
    if events.is_empty() && after == 0 {
        return Err(no_such_user());
    }
    let next = events.last().filter(|_| events.len() == limit);
    // Relative to this very address.
    let link = next.map(|last| format!("<?limit={limit}&after={}>; rel=\"next\"", last.seq));
    let link = AppendHeaders(link.map(|link| (header::LINK, link)));
    let events: Vec<_> = events.into_iter().map(HappeningView::from).collect();
    Ok((link, Json(events)).into_response())
}

/// The parameter `name`, where it is given and not empty.
fn parameter<T: FromStr>(
    parameters: &HashMap<String, String>,
    name: &str,
    rule: &str,
) -> Result<Option<T>, Problem> {
    let given = parameters.get(name).filter(|value| !value.is_empty());
    let read = given.map(|value| value.parse());
    read.transpose().map_err(|_| Problem::invalid(name, rule))
}

fn unreadable_query(error: &QueryRejection) -> Problem {
    Problem::invalid("query", error.body_text())
}

fn no_such_user() -> Problem {
    Problem::not_found("nothing was heard of such a user")
}

fn unreadable(error: EntityError) -> Problem {
    if let EntityError::Core(CoreError::Id { .. }) = error {
        return no_such_user();
    }
    tracing::error!(%error, "a user's alarms cannot be read");
    let detail = "the alarms cannot be read now; the log says why";
    Problem::unavailable(detail, Duration::from_secs(5))
}
