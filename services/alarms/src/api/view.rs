//! What people get to see of a user's alarms, as JSON. Names are spelled as in the messages.

use crate::Status;
use crate::user::User;
use griot::core::Seq;
use serde::Serialize;
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
