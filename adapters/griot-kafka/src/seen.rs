//! Message ids that were seen lately in a partition.

use std::collections::{HashSet, VecDeque};

use griot_events::{Event, MESSAGE_ID};
use xxhash_rust::xxh3::xxh3_128;

/// The last so many ids, as fingerprints. Kafka stores a message that is published twice two times; the
/// second is known by its id here.
#[derive(Debug)]
pub(crate) struct Seen {
    ids: HashSet<u128>,
    order: VecDeque<u128>,
    max: usize,
}

impl Seen {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            ids: HashSet::new(),
            order: VecDeque::new(),
            max,
        }
    }

    /// Notes the id of a message, and says whether it was there.
    pub(crate) fn note(&mut self, event: &Event) -> bool {
        let Some(id) = event.headers().get_bytes(MESSAGE_ID) else {
            return false;
        };
        let id = xxh3_128(id);
        if self.max == 0 || !self.ids.insert(id) {
            return self.max > 0;
        }
        self.order.push_back(id);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        false
    }
}
