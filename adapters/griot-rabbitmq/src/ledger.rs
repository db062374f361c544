//! What a member holds of a log, and which message may be handed out next. Pure: no I/O, no clock.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use griot_events::{Content, Event, Order};

use crate::cursor::Cursor;

/// Messages that this member has read and that are not settled, and what it knows of its group.
///
/// It hands out only while it is the active member; what it knows to be settled it knows for ever. A
/// message that is given back stays, and is handed out again before later ones of its key.
#[derive(Debug)]
pub(crate) struct Ledger {
    order: Order,
    held: BTreeMap<u64, Held>,
    /// What may be handed out.
    waiting: BTreeSet<u64>,
    /// How many of those were given back.
    returned: usize,
    /// What other members, or this one in an earlier life, have settled.
    floor: Cursor,
    /// The next offset to read.
    next: u64,
    /// One past the highest offset that was handed out.
    handed: u64,
    /// Where it had read to when it was last told to tell.
    touched: u64,
    active: bool,
    version: u64,
}

#[derive(Debug)]
struct Held {
    event: Event,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not handed out yet.
    Fresh,
    /// Handed out, and given back.
    Returned,
    /// Handed out.
    Out,
}

impl Ledger {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            held: BTreeMap::new(),
            waiting: BTreeSet::new(),
            returned: 0,
            floor: Cursor::default(),
            next: 0,
            handed: 0,
            touched: 0,
            active: false,
            version: 0,
        }
    }

    /// Takes in what the group is known to have settled.
    pub(crate) fn merge(&mut self, known: &Cursor) {
        self.floor.merge(known);
        let settled = self
            .waiting
            .iter()
            .filter(|offset| self.floor.is_settled(**offset));
        for offset in settled.copied().collect::<Vec<_>>() {
            self.remove(offset);
        }
    }

    /// This member is the active one: says from which offset to read, `before` earlier than the first
    /// that is not settled.
    pub(crate) fn activate(&mut self, before: u64) -> u64 {
        self.active = true;
        self.next = self.next.max(self.floor.start().saturating_sub(before));
        self.next
    }

    /// It is not, for all it knows. What it has handed out may still be settled.
    pub(crate) fn deactivate(&mut self) {
        self.active = false;
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// The next offset to read.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// A message that is to be handed out came, unless it was settled.
    pub(crate) fn receive(&mut self, offset: u64, event: Event) {
        if offset < self.next {
            return;
        }
        self.next = offset + 1;
        if self.floor.is_settled(offset) {
            return;
        }
        let event = if offset < self.floor.upto {
            // A member before had it in hand.
            again(&event)
        } else {
            event
        };
        let place = Place::Fresh;
        self.held.insert(offset, Held { event, place });
        self.waiting.insert(offset);
    }

    /// A message came that nobody is to be given.
    pub(crate) fn skip(&mut self, offset: u64) {
        self.next = self.next.max(offset + 1);
    }

    /// The next message to hand out.
    pub(crate) fn take(&mut self) -> Option<(u64, Event)> {
        let offset = self.candidate()?;
        self.waiting.remove(&offset);
        let held = self.held.get_mut(&offset)?;
        if held.place == Place::Returned {
            self.returned = self.returned.saturating_sub(1);
        }
        held.place = Place::Out;
        self.handed = self.handed.max(offset + 1);
        Some((offset, held.event.clone()))
    }

    fn candidate(&self) -> Option<u64> {
        if !self.active {
            return None;
        }
        if self.returned == 0 || self.order == Order::None {
            return self.waiting.first().copied();
        }
        // A message that was given back waits for earlier ones of its key, and later ones for it.
        let mut out = HashSet::<&Bytes>::new();
        let mut blocked = HashSet::<&Bytes>::new();
        for (offset, held) in &self.held {
            let Some(key) = held.event.key() else {
                if held.place == Place::Out {
                    continue;
                }
                return Some(*offset);
            };
            match held.place {
                Place::Out => {
                    out.insert(key);
                }
                Place::Returned if out.contains(key) => {
                    blocked.insert(key);
                }
                _ if blocked.contains(key) => {}
                Place::Fresh | Place::Returned => return Some(*offset),
            }
        }
        None
    }

    /// A message that was handed out is done: the version that says so.
    pub(crate) fn settle(&mut self, offset: u64) -> u64 {
        self.remove(offset);
        self.version += 1;
        self.version
    }

    /// A message that was handed out comes back.
    pub(crate) fn give_back(&mut self, offset: u64) {
        let Some(held) = self.held.get_mut(&offset) else {
            return;
        };
        if held.place != Place::Out {
            return;
        }
        if self.floor.is_settled(offset) {
            self.held.remove(&offset);
            return;
        }
        held.place = Place::Returned;
        held.event = again(&held.event);
        self.returned += 1;
        self.waiting.insert(offset);
    }

    /// Messages may have been passed over that nobody settles: that is to be told, too.
    pub(crate) fn touch(&mut self) {
        if self.touched != self.next {
            self.touched = self.next;
            self.version += 1;
        }
    }

    /// What waits to be handed out.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Grows with all that is to be told.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What this member knows to be settled.
    pub(crate) fn cursor(&self) -> Cursor {
        let fresh = self.waiting.range(self.handed..).next().copied();
        let upto = fresh.unwrap_or(self.next);
        let left = self.held.range(..upto).map(|(offset, _)| *offset);
        let left = left.collect();
        let mut known = Cursor { upto, left };
        known.merge(&self.floor);
        known
    }

    fn remove(&mut self, offset: u64) {
        self.waiting.remove(&offset);
        let held = self.held.remove(&offset);
        if held.is_some_and(|held| held.place == Place::Returned) {
            self.returned = self.returned.saturating_sub(1);
        }
    }
}

/// The event as it is when it was delivered once more.
fn again(event: &Event) -> Event {
    let (partition, offset) = event.position();
    Event::new(Content {
        topic: event.topic().to_owned(),
        key: event.key().cloned(),
        headers: event.headers().clone(),
        payload: event.payload().clone(),
        partition,
        offset,
        published_at: event.published_at(),
        redelivered: event.redelivered().saturating_add(1),
    })
}
