//! What people get to see of a user's alarms, as JSON. Names are spelled as in the messages.

use crate::Status;
use crate::user::User;
use griot::core::{Seq, Timestamp};
use griot::journal::RecordedEvent;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// What is known of a user's alarms.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UserView {
    #[serde(rename = "UserID")]
    user_id: String,
    /// How many events it rests on.
    seq: u64,
    /// All that are known, also cleared ones, by their ids.
    alarms: Vec<AlarmView>,
}

/// An alarm as it was last heard of.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AlarmView {
    #[serde(rename = "AlarmID")]
    alarm_id: String,
    status: Status,
    /// RFC 3339, as it was sent.
    #[schema(format = DateTime)]
    latest_changed_at: String,
    /// Whether the next digest tells of it.
    in_next_digest: bool,
}

impl UserView {
    /// What `user` says of the user `user_id`, whose last event is `seq`.
    pub(crate) fn of(user_id: &str, user: &User, seq: Seq) -> Self {
        let alarms = user.alarms().map(|(alarm_id, alarm)| AlarmView {
            alarm_id: alarm_id.to_owned(),
            status: alarm.status,
            latest_changed_at: alarm.latest_changed_at.to_string(),
            in_next_digest: user.is_news(alarm_id),
        });
        Self {
            user_id: user_id.to_owned(),
            seq: seq.get(),
            alarms: alarms.collect(),
        }
    }
}

/// An event of a user's history.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HappeningView {
    /// Its place in the history: 1, 2, 3, … without a gap.
    seq: u64,
    /// When it was heard, RFC 3339.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What happened.
    #[schema(example = "StatusChanged")]
    event: String,
    /// The particulars, as they are recorded.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl From<RecordedEvent> for HappeningView {
    fn from(recorded: RecordedEvent) -> Self {
        Self {
            seq: recorded.seq.get(),
            at: recorded.at,
            event: recorded.event.name.into_owned(),
            // Payloads are JSON; bytes that are not would be somebody else's, and are shown as null.
            data: serde_json::from_slice(&recorded.event.payload).unwrap_or_default(),
        }
    }
}

/// An error (RFC 9457).
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "describes what `griot::http::Problem` is written as"
)]
pub(crate) struct ProblemDocument {
    #[schema(rename = "type", example = "about:blank")]
    kind: String,
    #[schema(example = "Not Found")]
    title: String,
    #[schema(example = 404)]
    status: u16,
    /// What is wrong and what to do next.
    #[schema(example = "nothing was heard of such a user")]
    detail: String,
    /// The wrong field, where one is to blame.
    #[schema(example = "seq")]
    field: Option<String>,
}
