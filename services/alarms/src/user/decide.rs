//! What a user's alarms decide.

use super::{ALARMS_MAX, CLEARED_FORGOTTEN, DIGEST_BYTES_MAX, User, UserEvent};
use crate::message::{ALARM_DIGEST, AlarmDigest};
use crate::{ActiveAlarm, ChangedAt, Status};
use griot::core::{Cx, DurableCommand, Handle, Never, Publication};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Somebody says that an alarm has a status since a moment.
///
/// The latest moment wins, whatever comes in first. Where two statuses are said of one moment, the
/// more severe one wins, so that no order of arrival loses an active alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeStatus {
    /// Which alarm.
    pub alarm_id: String,
    /// Its status.
    pub status: Status,
    /// Since when.
    pub changed_at: ChangedAt,
}

/// Why an alarm is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "the user has {ALARMS_MAX} active alarms, more are not taken in: clear some, then publish this one again"
)]
pub struct TooManyAlarms;

/// Somebody wants a digest of what is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendDigest {
    /// What becomes of it where nothing is. Configured, and no part of the command: a message that
    /// comes again is the same under another configuration.
    #[serde(skip)]
    pub nothing_new: NothingNew,
}

/// What becomes of a digest that has nothing to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NothingNew {
    /// None is sent.
    #[default]
    Silence,
    /// It is sent, without alarms.
    EmptyDigest,
}

/// For what is too much for one digest.
impl DurableCommand for SendDigest {
    const NAME: &'static str = "SendDigest";
}

impl Handle<ChangeStatus> for User {
    type Reply = ();
    type Error = TooManyAlarms;

    fn decide(&self, command: ChangeStatus, cx: &mut Cx<Self>) -> Result<(), TooManyAlarms> {
        let ChangeStatus {
            alarm_id,
            status,
            changed_at,
        } = command;
        let changes = match self.alarms.get(&alarm_id) {
            Some(known) if known.status == status => {
                if changed_at > known.latest_changed_at {
                    cx.emit(UserEvent::StatusConfirmed {
                        alarm_id,
                        changed_at,
                    });
                }
                return Ok(());
            }
            Some(known) => (&changed_at, status) > (&known.latest_changed_at, known.status),
            None => {
                self.make_room(cx)?;
                true
            }
        };
        if changes {
            cx.emit(UserEvent::StatusChanged {
                alarm_id,
                status,
                changed_at,
            });
        }
        Ok(())
    }
}

impl Handle<SendDigest> for User {
    type Reply = ();
    type Error = Never;

    fn decide(&self, command: SendDigest, cx: &mut Cx<Self>) -> Result<(), Never> {
        let mut active_alarms = self.news();
        if active_alarms.is_empty() && command.nothing_new == NothingNew::Silence {
            return Ok(());
        }
        let told = fitting(&active_alarms);
        if told < active_alarms.len() {
            active_alarms.truncate(told);
            let nothing_new = NothingNew::Silence;
            cx.after(Duration::ZERO, SendDigest { nothing_new });
        }
        let user_id = cx.id().id().to_owned();
        cx.publish_message(Publication {
            topic: ALARM_DIGEST.to_owned(),
            key: Some(user_id.clone()),
            headers: Vec::new(),
            payload: AlarmDigest {
                user_id,
                active_alarms: active_alarms.clone(),
            },
        });
        cx.emit(UserEvent::DigestSent { active_alarms });
        Ok(())
    }
}

/// How many of these go into one digest: at least one, of some.
fn fitting(alarms: &[ActiveAlarm]) -> usize {
    let mut bytes = 0;
    let fitting = alarms.iter().take_while(|alarm| {
        // What cannot be written fails when the digest is.
        bytes += serde_json::to_vec(alarm).map_or(0, |json| json.len() + 1);
        bytes <= DIGEST_BYTES_MAX
    });
    fitting.count()
}

impl User {
    /// Makes room for a new alarm, where there is none.
    fn make_room(&self, cx: &mut Cx<Self>) -> Result<(), TooManyAlarms> {
        if self.alarms.len() < ALARMS_MAX {
            return Ok(());
        }
        let alarms = self.alarms.iter();
        let mut cleared: Vec<_> = alarms
            .filter(|(_, alarm)| !alarm.status.is_active())
            .map(|(alarm_id, alarm)| (&alarm.latest_changed_at, alarm_id))
            .collect();
        if cleared.is_empty() {
            return Err(TooManyAlarms);
        }
        cleared.sort_unstable();
        let longest = cleared.into_iter().take(CLEARED_FORGOTTEN);
        let alarm_ids = longest.map(|(_, alarm_id)| alarm_id.clone()).collect();
        cx.emit(UserEvent::ClearedForgotten { alarm_ids });
        Ok(())
    }
}
