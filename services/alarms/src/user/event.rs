//! What can happen to a user's alarms.

use crate::{ActiveAlarm, ChangedAt, Status};
use griot::core::Event;
use serde::{Deserialize, Serialize};

/// What happened to a user's alarms. The names are part of the history, which people and programs
/// read; the fields are spelled as in the messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "PascalCase")]
pub enum UserEvent {
    /// An alarm has another status than was known, or was not known.
    StatusChanged {
        /// Which.
        #[serde(rename = "AlarmID")]
        alarm_id: String,
        /// Its status now.
        status: Status,
        /// Since when.
        changed_at: ChangedAt,
    },
    /// An alarm has the status that was known, at a later moment.
    StatusConfirmed {
        /// Which.
        #[serde(rename = "AlarmID")]
        alarm_id: String,
        /// When it was said to have it.
        changed_at: ChangedAt,
    },
    /// There were too many alarms: these, cleared longest ago, are not known any more.
    ClearedForgotten {
        /// Which.
        #[serde(rename = "AlarmIDs")]
        alarm_ids: Vec<String>,
    },
    /// A digest told of these alarms.
    DigestSent {
        /// As they stand in the digest.
        active_alarms: Vec<ActiveAlarm>,
    },
}

impl Event for UserEvent {}
