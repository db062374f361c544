//! What a user's digests should tell, by what was published. It is told everything, in any order.

use crate::{ActiveAlarm, AlarmStatusChanged, ChangedAt, Status};
use std::collections::BTreeMap;

/// What was published about one user's alarms.
#[derive(Debug, Default)]
pub(super) struct Model(BTreeMap<String, Said>);

#[derive(Debug)]
struct Said {
    status: Status,
    changed_at: ChangedAt,
    /// Its status changed since the last digest.
    changed: bool,
}

impl Model {
    /// Takes in what was published.
    pub(super) fn hear(&mut self, message: &AlarmStatusChanged) {
        let (status, changed_at) = (message.status, message.changed_at.clone());
        match self.0.get_mut(&message.alarm_id) {
            None => {
                let said = Said {
                    status,
                    changed_at,
                    changed: true,
                };
                self.0.insert(message.alarm_id.clone(), said);
            }
            Some(said) if changed_at > said.changed_at => {
                said.changed |= status != said.status;
                (said.status, said.changed_at) = (status, changed_at);
            }
            Some(_) => {}
        }
    }

    /// What a digest tells that is asked for now.
    pub(super) fn digest(&mut self) -> Vec<ActiveAlarm> {
        let mut active = Vec::new();
        for (alarm_id, said) in &mut self.0 {
            if std::mem::take(&mut said.changed) && said.status.is_active() {
                active.push(ActiveAlarm {
                    alarm_id: alarm_id.clone(),
                    status: said.status,
                    latest_changed_at: said.changed_at.clone(),
                });
            }
        }
        active.sort_by(|one, other| one.latest_changed_at.cmp(&other.latest_changed_at));
        active
    }

    /// Each alarm and its status.
    pub(super) fn alarms(&self) -> impl Iterator<Item = (&str, Status)> {
        self.0.iter().map(|(id, said)| (id.as_str(), said.status))
    }
}
