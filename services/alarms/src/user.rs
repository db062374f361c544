//! A user: the alarms that were heard of, and which of them the next digest tells. Pure; it knows no
//! broker and no clock.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::{ChangeStatus, NothingNew, SendDigest, TooManyAlarms};
pub use event::UserEvent;

use crate::{ActiveAlarm, ChangedAt, Status};
use griot::core::Entity;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Alarms of one user, at most; the cleared ones are kept as well, to tell older messages from newer.
/// A new one beyond that takes the place of the [`CLEARED_FORGOTTEN`] that are cleared longest.
pub const ALARMS_MAX: usize = 10_000;

/// Cleared alarms that are forgotten at a time, so that not every new alarm has to look for them. A
/// message of such an alarm that comes later still counts as news: better told twice than never.
pub const CLEARED_FORGOTTEN: usize = 1_000;

/// Bytes of alarms in one digest, within what every broker takes in a message (NATS: 1 MiB). What is
/// beyond goes into further digests, at once.
pub const DIGEST_BYTES_MAX: usize = 768 << 10;

/// What is known of a user's alarms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    alarms: BTreeMap<String, Alarm>,
    /// The active ones whose status changed since the last digest.
    news: BTreeSet<String>,
}

/// An alarm as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its status.
    pub status: Status,
    /// The newest moment it was said to have this status.
    pub latest_changed_at: ChangedAt,
}

impl Entity for User {
    const KIND: &'static str = "alarm-user";
    type Event = UserEvent;

    fn evolve(&mut self, event: &UserEvent) {
        match event.clone() {
            UserEvent::StatusChanged {
                alarm_id,
                status,
                changed_at,
            } => {
                if status.is_active() {
                    self.news.insert(alarm_id.clone());
                } else {
                    self.news.remove(&alarm_id);
                }
                let alarm = Alarm {
                    status,
                    latest_changed_at: changed_at,
                };
                self.alarms.insert(alarm_id, alarm);
            }
            UserEvent::StatusConfirmed {
                alarm_id,
                changed_at,
            } => {
                if let Some(alarm) = self.alarms.get_mut(&alarm_id) {
                    alarm.latest_changed_at = changed_at;
                }
            }
            UserEvent::ClearedForgotten { alarm_ids } => {
                for alarm_id in &alarm_ids {
                    self.alarms.remove(alarm_id);
                }
            }
            UserEvent::DigestSent { active_alarms } => {
                for alarm in &active_alarms {
                    self.news.remove(&alarm.alarm_id);
                }
            }
        }
    }
}

impl User {
    /// All alarms that are known, by their ids.
    pub fn alarms(&self) -> impl Iterator<Item = (&str, &Alarm)> {
        self.alarms.iter().map(|(id, alarm)| (id.as_str(), alarm))
    }

    /// Whether the next digest tells of this alarm.
    pub fn is_news(&self, alarm_id: &str) -> bool {
        self.news.contains(alarm_id)
    }

    /// What the next digest tells: the oldest change first, those of one moment by their ids.
    pub fn news(&self) -> Vec<ActiveAlarm> {
        let news = self.news.iter().filter_map(|alarm_id| {
            let alarm = self.alarms.get(alarm_id)?;
            Some(ActiveAlarm {
                alarm_id: alarm_id.clone(),
                status: alarm.status,
                latest_changed_at: alarm.latest_changed_at.clone(),
            })
        });
        let mut news: Vec<_> = news.collect();
        // Stable, and they came by their ids.
        news.sort_by(|one, other| one.latest_changed_at.cmp(&other.latest_changed_at));
        news
    }
}
