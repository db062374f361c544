//! What a member holds of a log, and which message may be handed out next. Pure: no I/O, no clock.

use griot_events::adapter::Shelf;
use griot_events::{Event, Order};

use crate::cursor::Cursor;

/// Messages that this member has read and that are not settled, and what it knows of its group.
///
/// It hands out only while it is the active member; what it knows to be settled it knows for ever. A
/// message that is given back stays, and is handed out again before later ones of its key.
#[derive(Debug)]
pub(crate) struct Ledger {
    held: Shelf<u64, ()>,
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

impl Ledger {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            held: Shelf::new(order),
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
        for offset in self.held.waiting().collect::<Vec<_>>() {
            if self.floor.is_settled(offset) {
                self.held.remove(offset);
            }
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
            event.delivered_again()
        } else {
            event
        };
        self.held.put(offset, event, ());
    }

    /// A message came that nobody is to be given.
    pub(crate) fn skip(&mut self, offset: u64) {
        self.next = self.next.max(offset + 1);
    }

    /// The next message to hand out.
    pub(crate) fn take(&mut self) -> Option<(u64, Event)> {
        if !self.active {
            return None;
        }
        let (offset, event, ()) = self.held.take()?;
        self.handed = self.handed.max(offset + 1);
        Some((offset, event))
    }

    /// A message that was handed out is done: the version that says so.
    pub(crate) fn settle(&mut self, offset: u64) -> u64 {
        self.held.remove(offset);
        self.version += 1;
        self.version
    }

    /// A message that was handed out comes back.
    pub(crate) fn give_back(&mut self, offset: u64) {
        if self.held.is_out(offset) && self.floor.is_settled(offset) {
            self.held.remove(offset);
        } else {
            self.held.give_back(offset);
        }
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
        self.held.waiting().len()
    }

    /// Grows with all that is to be told.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What this member knows to be settled.
    pub(crate) fn cursor(&self) -> Cursor {
        let fresh = self.held.waiting().find(|offset| *offset >= self.handed);
        let upto = fresh.unwrap_or(self.next);
        let held = self.held.iter().map(|(offset, ())| offset);
        let left = held.take_while(|offset| *offset < upto).collect();
        let mut known = Cursor { upto, left };
        known.merge(&self.floor);
        known
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use griot_events::{Content, Headers, Partition};

    use super::*;

    fn event(offset: u64, key: &'static str) -> Event {
        Event::new(Content {
            topic: "orders".to_owned(),
            key: (!key.is_empty()).then(|| Bytes::from_static(key.as_bytes())),
            headers: Headers::default(),
            payload: Bytes::new(),
            partition: Partition(0),
            offset,
            published_at: None,
            redelivered: 0,
        })
    }

    fn cursor(upto: u64, left: &[u64]) -> Cursor {
        let left = left.iter().copied().collect();
        Cursor { upto, left }
    }

    /// The ledger of an active member that received these, from offset 0.
    fn ledger(order: Order, keys: &[&'static str]) -> Ledger {
        let mut ledger = Ledger::new(order);
        ledger.activate(0);
        for (offset, key) in (0..).zip(keys) {
            ledger.receive(offset, event(offset, key));
        }
        ledger
    }

    fn take_all(ledger: &mut Ledger) -> Vec<u64> {
        std::iter::from_fn(|| ledger.take().map(|(offset, _)| offset)).collect()
    }

    #[test]
    fn a_member_that_is_not_active_hands_out_nothing_and_still_settles() {
        let mut ledger = ledger(Order::PerKey, &["a", "b", "a"]);
        assert_eq!(ledger.take().map(|(offset, _)| offset), Some(0));
        ledger.deactivate();
        assert_eq!(take_all(&mut ledger), [] as [u64; 0]);
        ledger.settle(0);
        assert_eq!(ledger.cursor(), cursor(1, &[]));
        ledger.activate(0);
        assert_eq!(take_all(&mut ledger), [1, 2]);
    }

    #[test]
    fn what_was_handed_out_and_not_settled_is_left() {
        let mut ledger = ledger(Order::PerKey, &["a", "b", "c", "d"]);
        for _ in 0..3 {
            ledger.take();
        }
        ledger.settle(1);
        // The last was not handed out: it is not even left.
        assert_eq!(ledger.cursor(), cursor(3, &[0, 2]));
        ledger.skip(9);
        assert_eq!(ledger.cursor(), cursor(3, &[0, 2]));
        take_all(&mut ledger);
        for offset in [0, 2, 3] {
            ledger.settle(offset);
        }
        assert_eq!(ledger.cursor(), cursor(10, &[]));
    }

    #[test]
    fn a_fresh_message_that_another_overtook_is_left_too() {
        // 1 waits for 0, which was given back and is out again, and 2 goes on.
        let mut ledger = ledger(Order::PerKey, &["a", "a", "b"]);
        ledger.take();
        ledger.give_back(0);
        assert_eq!(take_all(&mut ledger), [0, 1, 2]);
        ledger.give_back(1);
        ledger.settle(2);
        assert_eq!(ledger.cursor(), cursor(3, &[0, 1]));
    }

    #[test]
    fn what_others_settled_is_not_handed_out() {
        let mut ledger = Ledger::new(Order::PerKey);
        ledger.merge(&cursor(4, &[1, 3]));
        assert_eq!(ledger.activate(0), 1);
        for offset in 1..6 {
            ledger.receive(offset, event(offset, "a"));
        }
        let (offset, first) = ledger.take().unwrap();
        // Whoever was before may have had it in hand.
        assert_eq!((offset, first.redelivered()), (1, 1));
        assert_eq!(take_all(&mut ledger), [3, 4, 5]);
        ledger.deactivate();
        ledger.give_back(4);
        ledger.merge(&cursor(5, &[1]));
        ledger.activate(0);
        assert_eq!(take_all(&mut ledger), [] as [u64; 0]);
        assert_eq!(ledger.cursor(), cursor(6, &[1, 5]));
    }

    #[test]
    fn a_reader_begins_so_far_before_what_is_left() {
        let mut ledger = Ledger::new(Order::PerKey);
        ledger.merge(&cursor(100, &[90]));
        assert_eq!(ledger.activate(50), 40);
        assert_eq!(ledger.cursor(), cursor(100, &[90]));
    }

    #[test]
    fn passing_over_messages_is_told_once() {
        let mut ledger = ledger(Order::PerKey, &[]);
        ledger.touch();
        assert_eq!(ledger.version(), 0);
        ledger.skip(7);
        ledger.touch();
        ledger.touch();
        assert_eq!((ledger.version(), ledger.cursor()), (1, cursor(8, &[])));
    }
}
