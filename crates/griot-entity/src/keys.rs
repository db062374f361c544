//! The command keys an entity remembers, so that a repeated command gets its first answer.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use griot_core::{Timestamp, stable_hash};
use griot_journal::Answer;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

/// A command's key, and a hash of the command that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandKey {
    pub(crate) key: String,
    pub(crate) fingerprint: u64,
}

/// The newest keys of one entity, bounded by count and age.
#[derive(Debug, Default)]
pub(crate) struct KeyWindow {
    entries: VecDeque<KeyEntry>,
    /// How many entries have left at the front: entry `n` stands at `n - left`.
    left: usize,
    index: HashTable<usize>,
}

/// A key, as it is also kept in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyEntry {
    pub(crate) key: String,
    pub(crate) fingerprint: u64,
    pub(crate) at: Timestamp,
    /// The reply, as JSON.
    pub(crate) reply: Bytes,
}

impl KeyWindow {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &KeyEntry> {
        self.entries.iter()
    }

    pub(crate) fn find(&self, key: &str) -> Option<&KeyEntry> {
        let at = |number: &usize| self.entries.get(number.wrapping_sub(self.left));
        self.index
            .find(stable_hash(key.as_bytes()), |number| {
                at(number).is_some_and(|entry| entry.key == key)
            })
            .and_then(at)
    }

    /// Remembers an answer, unless its key is known already; forgets what is beyond the limits.
    pub(crate) fn remember(
        &mut self,
        answer: &Answer,
        at: Timestamp,
        keys_max: usize,
        kept_for: Duration,
    ) {
        if self.find(&answer.key).is_none() {
            self.push(KeyEntry {
                key: answer.key.clone(),
                fingerprint: answer.fingerprint,
                at,
                reply: answer.reply.clone(),
            });
        }
        while self.entries.len() > keys_max
            || self
                .entries
                .front()
                .is_some_and(|entry| at.since(entry.at) > kept_for)
        {
            self.forget_oldest();
        }
    }

    pub(crate) fn push(&mut self, entry: KeyEntry) {
        let hash = stable_hash(entry.key.as_bytes());
        let number = self.left.wrapping_add(self.entries.len());
        self.entries.push_back(entry);
        let (entries, left) = (&self.entries, self.left);
        self.index.insert_unique(hash, number, |number| {
            entries
                .get(number.wrapping_sub(left))
                .map_or(0, |entry| stable_hash(entry.key.as_bytes()))
        });
    }

    fn forget_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            let number = self.left;
            self.left = self.left.wrapping_add(1);
            let hash = stable_hash(entry.key.as_bytes());
            if let Ok(found) = self.index.find_entry(hash, |other| *other == number) {
                found.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(key: &str) -> Answer {
        Answer {
            key: key.to_owned(),
            fingerprint: 7,
            reply: Bytes::from(format!("\"{key}\"")),
        }
    }

    #[test]
    fn the_window_forgets_by_count_and_by_age_and_finds_what_is_left() {
        let mut window = KeyWindow::default();
        let hour = Duration::from_hours(1);
        for second in 0..100_i64 {
            let at = Timestamp::from_micros(second * 1_000_000);
            window.remember(&answer(&format!("k{second}")), at, 10, hour);
        }
        assert!(window.find("k89").is_none());
        assert!(
            (90..100).all(|n| window.find(&format!("k{n}")).unwrap().reply == format!("\"k{n}\""))
        );
        let later = Timestamp::from_micros(95 * 1_000_000).after(hour);
        window.remember(&answer("new"), later, 10, hour);
        assert!(window.find("k94").is_none());
        assert!(window.find("k95").is_some() && window.find("new").is_some());
        assert_eq!(window.entries().count(), 6);
    }

    #[test]
    fn g3_a_repeated_key_keeps_its_first_answer() {
        let mut window = KeyWindow::default();
        let at = Timestamp::from_micros(0);
        window.remember(&answer("k"), at, 10, Duration::MAX);
        let mut second = answer("k");
        second.reply = Bytes::from_static(b"2");
        window.remember(&second, at, 10, Duration::MAX);
        assert_eq!(window.find("k").unwrap().reply, "\"k\"");
        assert_eq!(window.entries().count(), 1);
    }
}
