//! What the broker knows in memory: how far each slice goes, and the groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::acked::Acked;
use super::group::{Group, MemberId};
use super::slice::{Slice, admits};

/// What the tasks and the members share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The sequence of the last message of each slice.
    tips: BTreeMap<Slice, u64>,
    groups: HashMap<Arc<str>, Group>,
    members: MemberId,
    pub(super) closed: bool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a group has acknowledged of a slice, where it is known here.
    pub(super) fn acked(&self, group: &str, slice: &Slice) -> Option<Acked> {
        self.groups.get(group)?.acked(slice).cloned()
    }

    pub(super) fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// The group, made where it is new.
    pub(super) fn group_or_new(&mut self, name: &Arc<str>) -> &mut Group {
        self.groups.entry(Arc::clone(name)).or_default()
    }

    /// A number for a new member.
    pub(super) fn next_member(&mut self) -> MemberId {
        self.members += 1;
        self.members
    }

    /// A slice has messages up to `tip`: every group hears of it.
    pub(super) fn extend(&mut self, slice: Slice, tip: u64) {
        let now = Instant::now();
        let known = self.tips.insert(slice.clone(), tip).is_some();
        for group in self.groups.values_mut() {
            // A slice of before that a group does not know is one that nobody of it asked for: what
            // it acknowledged there is read when somebody does.
            if group.knows(&slice) || (!known && group.wants(&slice)) {
                group.extend(&slice, tip, Acked::default(), now);
            }
        }
    }

    /// Slices of these topics of which the group does not know how far it has come.
    pub(super) fn unknown(&self, group: &str, topics: &[String]) -> Vec<Slice> {
        let group = self.groups.get(group);
        let wanted = |slice: &&Slice| {
            let mut topics = topics.iter();
            topics.any(|pattern| admits(pattern, &slice.topic))
                && group.is_none_or(|group| !group.knows(slice))
        };
        self.tips.keys().filter(wanted).cloned().collect()
    }

    /// All slices, and how far each goes.
    pub(super) fn slices(&self) -> Vec<(Slice, u64)> {
        let all = self.tips.iter();
        all.map(|(slice, tip)| (slice.clone(), *tip)).collect()
    }

    /// The groups that have, or had, members which want this slice.
    pub(super) fn groups_of(&self, slice: &Slice) -> BTreeSet<Arc<str>> {
        let groups = self.groups.iter();
        let of_slice = groups.filter(|(_, group)| group.knows(slice) || group.wants(slice));
        of_slice.map(|(name, _)| Arc::clone(name)).collect()
    }

    pub(super) fn tip(&self, slice: &Slice) -> u64 {
        self.tips.get(slice).copied().unwrap_or(0)
    }

    /// Every later call fails, and every member is told.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.groups.values().for_each(Group::wake_all);
    }
}
