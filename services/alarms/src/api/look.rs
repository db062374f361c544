//! `GET /alarms/{user}` and `GET /alarms/{user}/history`.

use super::view::UserView;
use crate::Alarms;
use crate::user::User;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use griot::core::{CoreError, Seq};
use griot::http::{EventView, HistoryPage, Parameters, Problem, ProblemDocument};
use griot::{EntityError, Moment};
use std::time::Duration;

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
    let moment = parameters.moment()?.unwrap_or(Moment::Seq(Seq::MAX));
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
        (status = 200, description = "The events", body = [EventView], headers(("Link" = String))),
        (status = 404, description = "Nothing is known of such a user", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn history(
    State(alarms): State<Alarms>,
    path: Result<Path<String>, PathRejection>,
    page: HistoryPage,
) -> Result<Response, Problem> {
    let Path(user_id) = path.map_err(|_| no_such_user())?;
    let events = alarms.griot().history::<User>(&user_id, page.range());
    let events = events.await.map_err(unreadable)?;
    page.answer(events).ok_or_else(no_such_user)
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
