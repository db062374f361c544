//! What a member holds of one partition, and which message may be handed out next. Pure: no I/O, no clock.

use std::collections::BTreeSet;

use griot_events::adapter::Shelf;
use griot_events::{Event, Order};

use crate::progress::Progress;
use crate::seen::Seen;

/// Messages of a partition that were read and are not settled, from the time that the partition is
/// given to this member until it is taken away.
///
/// `R` is the room that a message takes up, until it is settled.
#[derive(Debug)]
pub(crate) struct Slice<R> {
    held: Shelf<i64, Option<R>>,
    /// What is not settled though it is not held, since this hands out nothing any more.
    left: BTreeSet<i64>,
    is_stopped: bool,
    /// What was settled before this member was given the partition.
    before: Progress,
    /// Behind the last message that was read.
    read: i64,
    seen: Seen,
    /// What was committed last.
    saved: Option<Progress>,
}

/// What became of a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It waits to be handed out.
    Taken,
    /// It was settled before, or one with its id was read before it.
    Settled,
}

impl<R> Slice<R> {
    /// One that goes on where the group was, and remembers so many message ids.
    pub(crate) fn new(before: Progress, remember: usize) -> Self {
        Self {
            held: Shelf::new(Order::PerKey),
            left: BTreeSet::new(),
            is_stopped: false,
            read: before.offset(),
            saved: None,
            before,
            seen: Seen::new(remember),
        }
    }

    /// Whether a message that arrives has to be held, and so takes up room.
    pub(crate) fn wants(&self, offset: i64) -> bool {
        !self.is_stopped && !self.before.covers(offset) && !self.held.contains(offset)
    }

    /// A message arrived. They do in order.
    pub(crate) fn receive(&mut self, offset: i64, event: Event, room: Option<R>) -> Arrival {
        if self.is_stopped {
            return Arrival::Settled;
        }
        let wanted = self.wants(offset);
        self.read = self.read.max(offset.saturating_add(1));
        let is_repeated = self.seen.note(&event);
        if is_repeated || !wanted {
            return Arrival::Settled;
        }
        self.held.put(offset, event, room);
        Arrival::Taken
    }

    /// Whether there is a message to hand out.
    pub(crate) fn is_ready(&self) -> bool {
        self.held.is_ready()
    }

    /// The next message to hand out.
    pub(crate) fn take(&mut self) -> Option<(i64, Event)> {
        let (offset, event, _) = self.held.take()?;
        Some((offset, event))
    }

    /// A message that was handed out is done.
    pub(crate) fn settle(&mut self, offset: i64) {
        self.held.remove(offset);
    }

    /// A message that was handed out comes back.
    pub(crate) fn give_back(&mut self, offset: i64) {
        if !self.is_stopped {
            self.held.give_back(offset);
        } else if self.held.remove(offset).is_some() {
            self.left.insert(offset);
        }
    }

    /// Takes in and hands out nothing any more; what waited takes up no room.
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
        let waiting = self.held.remove_waiting().into_iter();
        self.left.extend(waiting.map(|(offset, _)| offset));
    }

    /// Messages that are handed out.
    pub(crate) fn out(&self) -> usize {
        self.held.len().saturating_sub(self.held.waiting().len())
    }

    /// How far the group has come.
    pub(crate) fn progress(&self) -> Progress {
        let held = self.held.iter().map(|(offset, _)| offset);
        let to_come = self.before.unsettled.range(self.read..);
        let others = self.left.iter().chain(to_come).copied();
        Progress {
            unsettled: held.chain(others).collect(),
            next: self.before.next.max(self.read),
        }
    }

    /// How far the group has come, where that is not committed.
    pub(crate) fn unsaved(&self) -> Option<Progress> {
        let progress = self.progress();
        let known = self.saved.as_ref().unwrap_or(&self.before);
        (progress != *known).then_some(progress)
    }

    /// So much is committed.
    pub(crate) fn save(&mut self, progress: Progress) {
        self.saved = Some(progress);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use griot_events::{Content, Headers, MESSAGE_ID, Partition};

    use super::*;

    fn event(offset: i64, key: &'static str, id: &'static str) -> Event {
        let id = (!id.is_empty()).then_some((MESSAGE_ID, id));
        Event::new(Content {
            topic: "orders".to_owned(),
            key: (!key.is_empty()).then(|| Bytes::from_static(key.as_bytes())),
            headers: id.into_iter().collect::<Headers>(),
            payload: Bytes::new(),
            partition: Partition(0),
            offset: offset.unsigned_abs(),
            published_at: None,
            redelivered: 0,
        })
    }

    fn slice(before: Progress, messages: &[(i64, &'static str)]) -> Slice<()> {
        let mut slice = Slice::new(before, 16);
        for (offset, key) in messages {
            slice.receive(*offset, event(*offset, key, ""), None);
        }
        slice
    }

    fn take_all(slice: &mut Slice<()>) -> Vec<i64> {
        std::iter::from_fn(|| slice.take().map(|(offset, _)| offset)).collect()
    }

    fn progress(unsettled: &[i64], next: i64) -> Progress {
        Progress {
            unsettled: unsettled.iter().copied().collect(),
            next,
        }
    }

    #[test]
    fn the_lowest_unsettled_is_committed_and_what_is_settled_beyond() {
        // There is no 3: Kafka counts what is no message, too.
        let mut slice = slice(
            Progress::default(),
            &[(0, "a"), (1, "b"), (2, "c"), (4, "d")],
        );
        assert_eq!(take_all(&mut slice), [0, 1, 2, 4]);
        assert_eq!(slice.progress(), progress(&[0, 1, 2, 4], 5));
        slice.settle(1);
        slice.settle(4);
        assert_eq!(slice.progress(), progress(&[0, 2], 5));
        slice.settle(0);
        slice.settle(2);
        assert_eq!(slice.progress(), progress(&[], 5));
        assert_eq!(slice.out(), 0);
    }

    #[test]
    fn what_is_committed_is_not_committed_again() {
        let mut slice = slice(progress(&[], 7), &[]);
        assert_eq!(slice.unsaved(), None);
        slice.receive(7, event(7, "a", ""), None);
        take_all(&mut slice);
        slice.settle(7);
        let unsaved = slice.unsaved().unwrap();
        assert_eq!(unsaved, progress(&[], 8));
        slice.save(unsaved);
        assert_eq!(slice.unsaved(), None);
    }

    #[test]
    fn what_another_member_settled_is_not_handed_out_also_if_this_one_goes_early() {
        let mut slice = slice(
            progress(&[3, 5, 9], 10),
            &[(2, "a"), (3, "a"), (4, "a"), (5, "a")],
        );
        assert_eq!(take_all(&mut slice), [3, 5]);
        slice.settle(3);
        assert_eq!(slice.progress(), progress(&[5, 9], 10));
        slice.settle(5);
        assert_eq!(slice.progress(), progress(&[9], 10));
        slice.receive(10, event(10, "a", ""), None);
        // The message at 9 is no more.
        assert_eq!(slice.progress(), progress(&[10], 11));
    }

    #[test]
    fn a_message_id_that_was_seen_is_settled_also_where_it_was_seen_before() {
        let mut slice = Slice::<()>::new(progress(&[], 2), 2);
        assert_eq!(slice.receive(1, event(1, "a", "x"), None), Arrival::Settled);
        assert_eq!(slice.receive(2, event(2, "a", "x"), None), Arrival::Settled);
        assert_eq!(slice.receive(3, event(3, "a", "y"), None), Arrival::Taken);
        assert_eq!(slice.receive(4, event(4, "a", "y"), None), Arrival::Settled);
        assert_eq!(slice.progress(), progress(&[3], 5));
        // Two ids are remembered, and `x` is the third.
        slice.receive(5, event(5, "a", "z"), None);
        assert_eq!(slice.receive(6, event(6, "a", "x"), None), Arrival::Taken);
    }

    #[test]
    fn where_nothing_is_remembered_every_message_is_handed_out() {
        let mut slice = Slice::<()>::new(Progress::default(), 0);
        for offset in [0, 1] {
            let arrival = slice.receive(offset, event(offset, "a", "x"), None);
            assert_eq!(arrival, Arrival::Taken);
        }
    }

    #[test]
    fn a_stopped_slice_hands_out_nothing_and_keeps_what_is_not_settled() {
        let mut slice = slice(Progress::default(), &[(0, "a"), (1, "b"), (2, "c")]);
        slice.take();
        slice.stop();
        assert_eq!((take_all(&mut slice), slice.out()), (vec![], 1));
        assert_eq!(slice.progress(), progress(&[0, 1, 2], 3));
        slice.receive(3, event(3, "a", ""), None);
        slice.settle(0);
        assert_eq!(slice.progress(), progress(&[1, 2], 3));
    }
}
