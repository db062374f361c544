//! Which messages are settled though the broker did not hear of it.

use std::collections::{HashSet, VecDeque};

use griot_core::stable_hash;

use crate::{Event, Partition};

/// Messages that are remembered, at most; then the oldest are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// The messages that are settled though the broker did not hear of it. Given again they are not
/// handled again, behind later ones of their key, but acknowledged.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    all: HashSet<Mark>,
    by_age: VecDeque<Mark>,
}

/// A message: its place, its id, and a hash of its payload, so that no broker that gives a place to
/// another message has that one taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    topic: String,
    position: (Partition, u64),
    id: String,
    payload: u64,
}

impl Mark {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            topic: event.topic().to_owned(),
            position: event.position(),
            id: event.id(),
            payload: stable_hash(event.payload()),
        }
    }
}

impl Unheard {
    pub(super) fn remember(&mut self, mark: Mark) {
        if self.all.insert(mark.clone()) {
            self.by_age.push_back(mark);
        }
        if self.by_age.len() > REMEMBERED_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    pub(super) fn knows(&self, event: &Event) -> bool {
        // Almost always there are none, and then no name is made.
        !self.all.is_empty() && self.all.contains(&Mark::of(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Headers};

    fn event(offset: u64, payload: &'static str) -> Event {
        Event::new(Content {
            topic: "orders".to_owned(),
            key: None,
            headers: Headers::default(),
            payload: payload.into(),
            partition: Partition(1),
            offset,
            published_at: None,
            redelivered: 0,
        })
    }

    #[test]
    fn it_knows_the_same_message_and_no_other() {
        let mut unheard = Unheard::default();
        unheard.remember(Mark::of(&event(7, "a")));
        assert!(unheard.knows(&event(7, "a")));
        assert!(!unheard.knows(&event(8, "a")));
        assert!(!unheard.knows(&event(7, "b")));
    }

    #[test]
    fn g10_the_oldest_are_forgotten() {
        let mut unheard = Unheard::default();
        let count = u64::try_from(REMEMBERED_MAX).unwrap() + 1;
        for offset in 0..count {
            unheard.remember(Mark::of(&event(offset, "a")));
            unheard.remember(Mark::of(&event(offset, "a")));
        }
        assert!(!unheard.knows(&event(0, "a")));
        assert!(unheard.knows(&event(1, "a")) && unheard.knows(&event(count - 1, "a")));
        assert_eq!(
            (unheard.all.len(), unheard.by_age.len()),
            (REMEMBERED_MAX, REMEMBERED_MAX)
        );
    }
}
