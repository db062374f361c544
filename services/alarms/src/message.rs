//! The messages: what is heard of alarms, and what is told.

use crate::ChangedAt;
use crate::user::User;
use griot::core::{Entity, EntityId};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The topic of [`AlarmStatusChanged`].
pub const ALARM_STATUS_CHANGED: &str = "AlarmStatusChanged";
/// The topic of [`SendAlarmDigest`].
pub const SEND_ALARM_DIGEST: &str = "SendAlarmDigest";
/// The topic of [`AlarmDigest`].
pub const ALARM_DIGEST: &str = "AlarmDigest";

/// An alarm's status, the least severe first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// It is over.
    Cleared,
    /// It is active.
    Warning,
    /// It is active, and severe.
    Critical,
}

impl Status {
    /// Whether somebody has to know of it.
    pub fn is_active(self) -> bool {
        self != Self::Cleared
    }
}

/// An alarm has a status since a moment. The broker may deliver it late and more than once.
///
/// An id has 1 to 1,024 bytes without control characters, as every entity's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AlarmStatusChanged {
    /// Which alarm of the user's.
    #[serde(rename = "AlarmID", deserialize_with = "id")]
    pub alarm_id: String,
    /// Whose alarm.
    #[serde(rename = "UserID", deserialize_with = "id")]
    pub user_id: String,
    /// Its status.
    pub status: Status,
    /// Since when.
    pub changed_at: ChangedAt,
}

/// Somebody wants a digest of a user's alarms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendAlarmDigest {
    /// Whose.
    #[serde(rename = "UserID", deserialize_with = "id")]
    pub user_id: String,
}

/// A user's active alarms whose status changed since the last digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AlarmDigest {
    /// Whose.
    #[serde(rename = "UserID")]
    pub user_id: String,
    /// The oldest change first; those of one moment by their ids.
    pub active_alarms: Vec<ActiveAlarm>,
}

/// An alarm in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActiveAlarm {
    /// Which.
    #[serde(rename = "AlarmID")]
    pub alarm_id: String,
    /// Its status.
    pub status: Status,
    /// The latest that was heard of it, as it was sent.
    pub latest_changed_at: ChangedAt,
}

/// Reads an id that an entity can have.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    EntityId::new(User::KIND, &id).map_err(|_| {
        let (length, max) = (id.len(), EntityId::ID_BYTES_MAX);
        D::Error::custom(format!(
            "an id has 1 to {max} bytes without control characters, this one of {length} bytes cannot be used"
        ))
    })?;
    Ok(id)
}
