//! Which messages of a log are repeats of an earlier one. Pure.

use std::collections::{HashMap, VecDeque};

use xxhash_rust::xxh3::xxh3_128;

/// The message ids of the last messages of a log.
///
/// A message repeats another where its topic and id stood within the window before it. That depends on
/// the log alone: every reader that began a window earlier says the same.
#[derive(Debug)]
pub(crate) struct Repeats {
    window: u64,
    last: HashMap<u128, u64>,
    order: VecDeque<(u64, u128)>,
}

impl Repeats {
    pub(crate) fn new(window: u64) -> Self {
        Self {
            window,
            last: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// How far before a place a reader has to begin to know its repeats.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Notes a message, and says whether it is a repeat. Messages are noted in the order of the log.
    pub(crate) fn note(&mut self, offset: u64, topic: &str, id: &str) -> bool {
        let oldest = offset.saturating_sub(self.window);
        while let Some((place, name)) = self.order.pop_front_if(|(place, _)| *place < oldest) {
            if self.last.get(&name) == Some(&place) {
                self.last.remove(&name);
            }
        }
        let mut name = topic.as_bytes().to_vec();
        name.push(0);
        name.extend_from_slice(id.as_bytes());
        let name = xxh3_128(&name);
        self.order.push_back((offset, name));
        self.last.insert(name, offset).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_within_its_topic_and_the_window() {
        let mut repeats = Repeats::new(10);
        assert!(!repeats.note(0, "orders", "a"));
        assert!(!repeats.note(1, "orders.dead", "a"));
        assert!(repeats.note(10, "orders", "a"));
        // The repeat counts as well.
        assert!(repeats.note(20, "orders", "a"));
        assert!(!repeats.note(31, "orders", "a"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut repeats = Repeats::new(100);
        for offset in 0..10_000 {
            assert!(!repeats.note(offset, "orders", &offset.to_string()));
        }
        assert_eq!((repeats.last.len(), repeats.order.len()), (101, 101));
    }

    #[test]
    fn a_reader_that_began_a_window_earlier_says_the_same() {
        let ids = ["a", "b", "a", "c", "b", "a", "d", "c", "c", "a", "b"];
        let mut all = Repeats::new(3);
        let said: Vec<bool> = (0..)
            .zip(ids)
            .map(|(offset, id)| all.note(offset, "t", id))
            .collect();
        for start in 3..ids.len() {
            let mut late = Repeats::new(3);
            let heard = (0..).zip(ids).skip(start - 3);
            let heard: Vec<bool> = heard
                .map(|(offset, id)| late.note(offset, "t", id))
                .collect();
            assert_eq!(heard[3..], said[start..]);
        }
    }
}
