//! What was raised and what was told, user by user.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;
use tokio::sync::Notify;

use crate::process::DEADLINE;

/// An alarm as it was raised once: `AlarmID` and `ChangedAt`.
pub(crate) type Raised = (String, String);

/// The book of all users, written by them and by who listens to digests.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pages: Mutex<BTreeMap<String, Page>>,
    /// Wakes who waits for a digest.
    pub(crate) told: Notify,
}

/// A user's page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// What the broker confirmed.
    pub(crate) raised: BTreeSet<Raised>,
    /// `ActiveAlarms` of each digest in the order they came; one that came again stands there once.
    pub(crate) digests: Vec<Value>,
    told: BTreeSet<Raised>,
    ids: HashSet<String>,
    places: HashSet<(u32, u64)>,
}

impl Page {
    /// What was raised and not told.
    pub(crate) fn untold(&self) -> BTreeSet<&Raised> {
        self.raised.difference(&self.told).collect()
    }

    /// How many digests the broker keeps twice, under one message id.
    pub(crate) fn kept_twice(&self) -> usize {
        self.places.len() - self.ids.len()
    }

    /// An alarm that was told the last time it was raised, so that it may be raised anew.
    pub(crate) fn any_told(&self) -> Option<&str> {
        let untold: HashSet<_> = self.untold().into_iter().map(|(id, _)| id).collect();
        let told = self.told.iter().map(|(id, _)| id);
        let told: Vec<_> = told.filter(|id| !untold.contains(id)).collect();
        fastrand::choice(told).map(String::as_str)
    }
}

impl Book {
    /// The broker confirmed that `user` raised these.
    pub(crate) fn raise(&self, user: &str, raised: Vec<Raised>) {
        let mut pages = self.pages();
        let page = pages.entry(user.to_owned()).or_default();
        page.raised.extend(raised);
    }

    /// A digest came, perhaps again: the message `id` at `place` of the topic.
    pub(crate) fn tell(&self, id: String, place: (u32, u64), digest: &Value) {
        let user = digest["UserID"].as_str().unwrap_or_default();
        let mut pages = self.pages();
        let page = pages.entry(user.to_owned()).or_default();
        page.places.insert(place);
        if page.ids.insert(id) {
            let alarms = digest["ActiveAlarms"].clone();
            page.told.extend(lines(&alarms));
            page.digests.push(alarms);
        }
        self.told.notify_waiters();
    }

    /// The page of `user`, as it is now.
    pub(crate) fn page(&self, user: &str) -> Page {
        self.pages().get(user).cloned().unwrap_or_default()
    }

    /// Waits until a digest comes.
    ///
    /// # Panics
    ///
    /// If none comes in time.
    pub(crate) async fn next_digest(&self) {
        let next = tokio::time::timeout(DEADLINE, self.told.notified()).await;
        next.expect("a digest in time");
    }

    /// How many alarms of all users were raised and not told.
    pub(crate) fn untold(&self) -> usize {
        let pages = self.pages();
        pages.values().map(|page| page.untold().len()).sum()
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<String, Page>> {
        self.pages.lock().unwrap()
    }
}

/// The alarms of a digest.
pub(crate) fn lines(alarms: &Value) -> Vec<Raised> {
    let text = |alarm: &Value, name| alarm[name].as_str().unwrap_or_default().to_owned();
    let alarms = alarms.as_array().into_iter().flatten();
    alarms
        .map(|alarm| (text(alarm, "AlarmID"), text(alarm, "LatestChangedAt")))
        .collect()
}
