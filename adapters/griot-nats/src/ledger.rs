//! What a member holds of a topic, and which message may be handed out next. Pure: no I/O, no clock.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use async_nats::Subject;
use griot_events::adapter::Shelf;
use griot_events::{Event, Order};

/// Messages that JetStream gave this member and that are not settled.
///
/// JetStream gives a message again in whatever order leases end, so order per key is kept here. A
/// message that is given back stays with the member and is handed out again from here, before
/// later ones of its key. A member that becomes the one that reads, or whose connection was
/// lost, first *gathers*: it hands out nothing until it holds everything that JetStream has
/// given out and not had acknowledged; then it goes on in the order of the stream.
#[derive(Debug)]
pub(crate) struct Ledger {
    order: Order,
    /// By place in the stream.
    held: Shelf<u64, Held>,
    gathering: bool,
    settled: Settled,
}

/// How to answer for a message, and until when.
#[derive(Debug)]
struct Held {
    reply: Subject,
    lease_began: Instant,
}

/// What became of a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It waits to be handed out.
    Taken,
    /// The member holds it already.
    Known,
    /// It was settled, and the server did not hear of it.
    Settled,
}

impl Ledger {
    /// An empty one. `in_flight_max` bounds what it remembers of settled messages.
    pub(crate) fn new(order: Order, in_flight_max: usize) -> Self {
        Self {
            order,
            held: Shelf::new(order),
            gathering: order == Order::PerKey,
            settled: Settled::new(in_flight_max),
        }
    }

    /// A message arrived.
    pub(crate) fn receive(
        &mut self,
        seq: u64,
        event: Event,
        reply: Subject,
        now: Instant,
    ) -> Arrival {
        if self.order == Order::PerKey && self.settled.contains(seq) {
            return Arrival::Settled;
        }
        let held = Held {
            reply,
            lease_began: now,
        };
        // Without order, its lease ended in the hands of somebody who gave no sign of life.
        let is_lost = self.order == Order::None && self.held.is_out(seq);
        if !is_lost && let Some(known) = self.held.get_mut(seq) {
            *known = held;
            return Arrival::Known;
        }
        self.held.put(seq, event, held);
        Arrival::Taken
    }

    /// The next message to hand out.
    pub(crate) fn take(&mut self) -> Option<(u64, Event, Subject)> {
        if self.gathering {
            return None;
        }
        let (seq, event, held) = self.held.take()?;
        Some((seq, event, held.reply.clone()))
    }

    /// A message that was handed out is done.
    pub(crate) fn settle(&mut self, seq: u64) {
        if self.held.remove(seq).is_some() && self.order == Order::PerKey {
            self.settled.insert(seq);
        }
    }

    /// A message that was handed out comes back. False where it is not held.
    pub(crate) fn give_back(&mut self, seq: u64) -> bool {
        self.held.give_back(seq)
    }

    /// It is held no more, and not settled either.
    pub(crate) fn remove(&mut self, seq: u64) {
        self.held.remove(seq);
    }

    /// A lease began anew.
    pub(crate) fn extend(&mut self, seq: u64, now: Instant) {
        if let Some(held) = self.held.get_mut(seq) {
            held.lease_began = now;
        }
    }

    /// Lets go of messages whose lease ended before anybody asked for them: others have them now.
    pub(crate) fn expire(&mut self, lease: Duration, now: Instant) {
        let ended = |held: &mut Held| now.saturating_duration_since(held.lease_began) >= lease;
        for seq in self.held.waiting().collect::<Vec<_>>() {
            if self.held.get_mut(seq).is_some_and(ended) {
                self.held.remove(seq);
            }
        }
    }

    /// Lets go of what was not handed out: how to tell the server, in the order of the stream.
    pub(crate) fn release_waiting(&mut self) -> Vec<Subject> {
        let waiting = self.held.remove_waiting().into_iter();
        waiting.map(|(_, held)| held.reply).collect()
    }

    /// Lets go of everything: how to tell the server, in the order of the stream.
    pub(crate) fn release_all(&mut self) -> Vec<Subject> {
        let replies = self.replies();
        self.held = Shelf::new(self.order);
        replies
    }

    /// How to tell the server that everything held is still being worked on.
    pub(crate) fn replies(&self) -> Vec<Subject> {
        self.held
            .iter()
            .map(|(_, held)| held.reply.clone())
            .collect()
    }

    /// Begins to gather, where order matters.
    pub(crate) fn gather(&mut self) {
        self.gathering = self.order == Order::PerKey;
    }

    pub(crate) fn is_gathering(&self) -> bool {
        self.gathering
    }

    /// What JetStream says: the last place it gave out, and how many it waits for. Where all of these
    /// are here, gathering is over. Messages given out after it said so are not counted.
    pub(crate) fn compare(&mut self, delivered: u64, pending: usize) {
        let given = self.held.iter().take_while(|(seq, _)| *seq <= delivered);
        if given.count() >= pending {
            self.gathering = false;
        }
    }

    /// Whether messages that were given back wait to be handed out again.
    pub(crate) fn has_returned(&self) -> bool {
        self.held.has_returned()
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

/// The messages that were settled last. The server may not have heard of it and give them again, behind
/// later ones of their key; they are acknowledged again instead.
#[derive(Debug)]
struct Settled {
    seqs: HashSet<u64>,
    order: VecDeque<u64>,
    max: usize,
}

impl Settled {
    fn new(in_flight_max: usize) -> Self {
        Self {
            seqs: HashSet::new(),
            order: VecDeque::new(),
            // What was in flight, and what the client may have kept unsent while it was disconnected.
            max: in_flight_max.saturating_mul(4).saturating_add(4_096),
        }
    }

    fn contains(&self, seq: u64) -> bool {
        self.seqs.contains(&seq)
    }

    fn insert(&mut self, seq: u64) {
        if !self.seqs.insert(seq) {
            return;
        }
        self.order.push_back(seq);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.seqs.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use griot_events::{Content, Headers, Partition};

    use super::*;

    fn event(seq: u64, key: &'static str) -> Event {
        Event::new(Content {
            topic: "orders".to_owned(),
            key: (!key.is_empty()).then(|| Bytes::from_static(key.as_bytes())),
            headers: Headers::default(),
            payload: Bytes::new(),
            partition: Partition(0),
            offset: seq,
            published_at: None,
            redelivered: 0,
        })
    }

    /// A ledger that has gathered and then received these.
    fn ledger(order: Order, messages: &[(u64, &'static str)]) -> Ledger {
        let mut ledger = Ledger::new(order, 16);
        ledger.compare(0, 0);
        for (seq, key) in messages {
            receive(&mut ledger, *seq, key);
        }
        ledger
    }

    fn receive(ledger: &mut Ledger, seq: u64, key: &'static str) -> Arrival {
        let reply = Subject::from(format!("reply.{seq}"));
        ledger.receive(seq, event(seq, key), reply, Instant::now())
    }

    fn take_all(ledger: &mut Ledger) -> Vec<u64> {
        std::iter::from_fn(|| ledger.take().map(|(seq, ..)| seq)).collect()
    }

    #[test]
    fn nothing_is_handed_out_before_all_that_is_out_is_here() {
        let mut ledger = Ledger::new(Order::PerKey, 16);
        receive(&mut ledger, 7, "a");
        receive(&mut ledger, 3, "a");
        // JetStream gave out up to 7 and waits for three; the third is not here yet.
        ledger.compare(7, 3);
        receive(&mut ledger, 9, "a");
        ledger.compare(7, 3);
        assert_eq!(take_all(&mut ledger), [] as [u64; 0]);
        receive(&mut ledger, 5, "a");
        ledger.compare(9, 4);
        assert_eq!(take_all(&mut ledger), [3, 5, 7, 9]);
    }

    #[test]
    fn a_settled_message_that_comes_again_is_known() {
        let mut ledger = ledger(Order::PerKey, &[(1, "a"), (2, "a")]);
        take_all(&mut ledger);
        ledger.settle(1);
        assert_eq!(receive(&mut ledger, 1, "a"), Arrival::Settled);
        assert_eq!(receive(&mut ledger, 2, "a"), Arrival::Known);
        assert_eq!(receive(&mut ledger, 3, "a"), Arrival::Taken);
    }

    #[test]
    fn what_is_remembered_of_settled_messages_is_bounded() {
        let mut ledger = ledger(Order::PerKey, &[]);
        for seq in 1..=10_000 {
            receive(&mut ledger, seq, "a");
            assert_eq!(take_all(&mut ledger), [seq]);
            ledger.settle(seq);
        }
        assert_eq!(ledger.settled.seqs.len(), 16 * 4 + 4_096);
        assert_eq!(receive(&mut ledger, 10_000, "a"), Arrival::Settled);
        assert_eq!(receive(&mut ledger, 1, "a"), Arrival::Taken);
    }

    #[test]
    fn without_order_a_message_whose_lease_ended_is_handed_out_again() {
        let mut ledger = ledger(Order::None, &[(1, "a"), (2, "a")]);
        assert_eq!(take_all(&mut ledger), [1, 2]);
        assert_eq!(receive(&mut ledger, 1, "a"), Arrival::Taken);
        assert_eq!(take_all(&mut ledger), [1]);
        receive(&mut ledger, 3, "a");
        ledger.expire(Duration::ZERO, Instant::now());
        assert_eq!(take_all(&mut ledger), [] as [u64; 0]);
        assert_eq!(ledger.len(), 2);
    }

    #[test]
    fn what_is_let_go_is_let_go_in_the_order_of_the_stream() {
        let mut ledger = ledger(Order::PerKey, &[(2, "a"), (1, "b"), (3, "a")]);
        assert_eq!(ledger.take().map(|(seq, ..)| seq), Some(1));
        let waiting = ledger.release_waiting();
        let waiting: Vec<&str> = waiting.iter().map(Subject::as_str).collect();
        assert_eq!(waiting, ["reply.2", "reply.3"]);
        assert_eq!(ledger.release_all().len(), 1);
        assert_eq!(ledger.len(), 0);
    }
}
