//! What a member holds of a topic, and which message may be handed out next. Pure: no I/O, no clock.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};

use async_nats::Subject;
use bytes::Bytes;
use griot_events::{Content, Event, Order};

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
    held: BTreeMap<u64, Held>,
    /// What may be handed out, by place in the stream.
    waiting: BTreeSet<u64>,
    /// How many of those were given back.
    returned: usize,
    gathering: bool,
    settled: Settled,
}

#[derive(Debug)]
struct Held {
    event: Event,
    reply: Subject,
    place: Place,
    lease_began: Instant,
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
            held: BTreeMap::new(),
            waiting: BTreeSet::new(),
            returned: 0,
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
        if let Some(held) = self.held.get_mut(&seq) {
            held.reply = reply;
            held.lease_began = now;
            if self.order == Order::None && held.place == Place::Out {
                // Its lease ended in the hands of somebody who gave no sign of life.
                held.event = event;
                held.place = Place::Fresh;
                self.waiting.insert(seq);
                return Arrival::Taken;
            }
            return Arrival::Known;
        }
        let held = Held {
            event,
            reply,
            place: Place::Fresh,
            lease_began: now,
        };
        self.held.insert(seq, held);
        self.waiting.insert(seq);
        Arrival::Taken
    }

    /// The next message to hand out.
    pub(crate) fn take(&mut self) -> Option<(u64, Event, Subject)> {
        let seq = self.next()?;
        self.waiting.remove(&seq);
        let held = self.held.get_mut(&seq)?;
        if held.place == Place::Returned {
            self.returned = self.returned.saturating_sub(1);
        }
        held.place = Place::Out;
        Some((seq, held.event.clone(), held.reply.clone()))
    }

    fn next(&self) -> Option<u64> {
        if self.gathering {
            return None;
        }
        if self.returned == 0 || self.order == Order::None {
            return self.waiting.first().copied();
        }
        // A message that was given back waits for earlier ones of its key, and later ones for it.
        let mut out = HashSet::<&Bytes>::new();
        let mut blocked = HashSet::<&Bytes>::new();
        for (seq, held) in &self.held {
            let key = held.event.key();
            let waits = key.is_some_and(|key| {
                blocked.contains(key) || (held.place == Place::Returned && out.contains(key))
            });
            match (held.place, key) {
                (Place::Out, Some(key)) => {
                    out.insert(key);
                }
                (Place::Fresh | Place::Returned, Some(key)) if waits => {
                    blocked.insert(key);
                }
                (Place::Fresh | Place::Returned, _) => return Some(*seq),
                (Place::Out, None) => {}
            }
        }
        None
    }

    /// A message that was handed out is done.
    pub(crate) fn settle(&mut self, seq: u64) {
        if self.remove(seq) && self.order == Order::PerKey {
            self.settled.insert(seq);
        }
    }

    /// A message that was handed out comes back. False where it is not held.
    pub(crate) fn give_back(&mut self, seq: u64) -> bool {
        let Some(held) = self.held.get_mut(&seq) else {
            return false;
        };
        if held.place == Place::Out {
            held.place = Place::Returned;
            held.event = again(&held.event);
            self.returned += 1;
            self.waiting.insert(seq);
        }
        true
    }

    /// It is held no more, and not settled either.
    pub(crate) fn remove(&mut self, seq: u64) -> bool {
        self.waiting.remove(&seq);
        let held = self.held.remove(&seq);
        if held
            .as_ref()
            .is_some_and(|held| held.place == Place::Returned)
        {
            self.returned = self.returned.saturating_sub(1);
        }
        held.is_some()
    }

    /// A lease began anew.
    pub(crate) fn extend(&mut self, seq: u64, now: Instant) {
        if let Some(held) = self.held.get_mut(&seq) {
            held.lease_began = now;
        }
    }

    /// Lets go of messages whose lease ended before anybody asked for them: others have them now.
    pub(crate) fn expire(&mut self, lease: Duration, now: Instant) {
        let ended = |seq: &u64| {
            let held = self.held.get(seq);
            held.is_none_or(|held| now.saturating_duration_since(held.lease_began) >= lease)
        };
        let ended: Vec<u64> = self
            .waiting
            .iter()
            .copied()
            .filter(|seq| ended(seq))
            .collect();
        for seq in ended {
            self.remove(seq);
        }
    }

    /// Lets go of what was not handed out: how to tell the server, in the order of the stream.
    pub(crate) fn release_waiting(&mut self) -> Vec<Subject> {
        let waiting = std::mem::take(&mut self.waiting);
        self.returned = 0;
        let held = waiting.iter().filter_map(|seq| self.held.remove(seq));
        held.map(|held| held.reply).collect()
    }

    /// Lets go of everything: how to tell the server, in the order of the stream.
    pub(crate) fn release_all(&mut self) -> Vec<Subject> {
        self.waiting.clear();
        self.returned = 0;
        let held = std::mem::take(&mut self.held);
        held.into_values().map(|held| held.reply).collect()
    }

    /// How to tell the server that everything held is still being worked on.
    pub(crate) fn replies(&self) -> Vec<Subject> {
        self.held.values().map(|held| held.reply.clone()).collect()
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
        if self.held.range(..=delivered).count() >= pending {
            self.gathering = false;
        }
    }

    /// Whether messages that were given back wait to be handed out again.
    pub(crate) fn has_returned(&self) -> bool {
        self.returned > 0
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
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
    use griot_events::{Headers, Partition};

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
    fn a_message_given_back_comes_before_later_ones_of_its_key() {
        let mut ledger = ledger(Order::PerKey, &[(1, "a"), (2, "b"), (3, "a"), (4, "a")]);
        for expected in [1, 2, 3] {
            assert_eq!(ledger.take().map(|(seq, ..)| seq), Some(expected));
        }
        // Given back from behind: 3 waits for 1, and 4 for 3.
        assert!(ledger.give_back(3));
        assert_eq!(take_all(&mut ledger), [] as [u64; 0]);
        assert!(ledger.give_back(1));
        let (seq, event, _) = ledger.take().unwrap();
        assert_eq!((seq, event.redelivered()), (1, 1));
        assert_eq!(take_all(&mut ledger), [] as [u64; 0]);
        ledger.settle(1);
        assert_eq!(take_all(&mut ledger), [3, 4]);
    }

    #[test]
    fn messages_without_a_key_wait_for_nothing() {
        let mut ledger = ledger(Order::PerKey, &[(1, ""), (2, ""), (3, "a")]);
        take_all(&mut ledger);
        assert!(ledger.give_back(2));
        assert_eq!(take_all(&mut ledger), [2]);
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
