//! The part of an entity's history that a request asks for.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{AppendHeaders, IntoResponse, Response};

use super::{EventView, Parameters, Problem};
use crate::core::Seq;
use crate::journal::{RecordedEvent, SeqRange};

/// A page of a history, as an extractor: at most as many events as the parameter `limit` says, from the one
/// behind `after` on.
///
/// ```
/// # use griot::core::{Entity, Event};
/// use axum::extract::{Path, State};
/// use axum::response::Response;
/// use griot::Griot;
/// use griot::http::{HistoryPage, Problem};
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Door;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum Moved { Opened {} }
/// # impl Event for Moved {}
/// # impl Entity for Door {
/// #     const KIND: &'static str = "door";
/// #     type Event = Moved;
/// #     fn evolve(&mut self, _: &Moved) {}
/// # }
///
/// async fn history(State(griot): State<Griot>, Path(door): Path<String>, page: HistoryPage) -> Result<Response, Problem> {
///     let no_such_door = || Problem::not_found("there is no such door");
///     let events = griot.history::<Door>(&door, page.range()).await;
///     let events = events.map_err(|_| no_such_door())?;
///     page.answer(events).ok_or_else(no_such_door)
/// }
/// # let _: axum::routing::MethodRouter<Griot> = axum::routing::get(history);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    after: Seq,
    limit: usize,
}

impl HistoryPage {
    /// Events in one answer, at most; and unless another limit is said.
    pub const EVENTS_MAX: usize = 10_000;

    /// What to read.
    pub fn range(self) -> SeqRange {
        SeqRange {
            from: self.after.next(),
            limit: self.limit,
            ..SeqRange::ALL
        }
    }

    /// These events as JSON; where there may be more, the header `Link` leads to the rest (RFC 8288).
    /// `None` where there is no history at all.
    pub fn answer(self, events: Vec<RecordedEvent>) -> Option<Response> {
        if events.is_empty() && self.after == Seq(0) {
            return None;
        }
        let last = events.last().filter(|_| events.len() == self.limit);
        // Relative to this very address.
        let link = last.map(|last| {
            let (limit, after) = (self.limit, last.seq);
            format!("<?limit={limit}&after={after}>; rel=\"next\"")
        });
        let link = AppendHeaders(link.map(|link| (header::LINK, link)));
        let events: Vec<_> = events.into_iter().map(EventView::from).collect();
        Some((link, Json(events)).into_response())
    }
}

/// The parameters `limit` and `after`; a wrong one is 422.
impl<S: Send + Sync> FromRequestParts<S> for HistoryPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let parameters = Parameters::from_request_parts(parts, state).await?;
        let limit = parameters.limit(Self::EVENTS_MAX, Self::EVENTS_MAX)?;
        let rule = "must be a whole number";
        let after = parameters.get("after", rule, |after| after.parse().ok())?;
        Ok(Self {
            after: Seq(after.unwrap_or(0)),
            limit,
        })
    }
}
