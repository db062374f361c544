//! What a member holds, and which message may be handed out next. Pure: no I/O, no clock.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;

use crate::{Event, Order};

/// Messages that a member was given and that are not settled, by their places `P` in the log, each with a
/// `T` of the adapter's own.
///
/// A message that is given back stays, and is handed out again; where order is kept per key, when no earlier
/// one of its key is out, and before later ones of its key.
#[derive(Debug)]
pub struct Shelf<P, T> {
    order: Order,
    held: BTreeMap<P, Held<T>>,
    /// What may be handed out.
    waiting: BTreeSet<P>,
    /// How many of those were given back.
    returned: usize,
}

#[derive(Debug)]
struct Held<T> {
    event: Event,
    state: State,
    own: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not handed out yet.
    Fresh,
    /// Handed out, and given back.
    Returned,
    /// Handed out.
    Out,
}

impl<P: Copy + Ord, T> Shelf<P, T> {
    /// An empty one.
    pub fn new(order: Order) -> Self {
        Self {
            order,
            held: BTreeMap::new(),
            waiting: BTreeSet::new(),
            returned: 0,
        }
    }

    /// Puts a message there to be handed out, in place of one that was there.
    pub fn put(&mut self, place: P, event: Event, own: T) {
        self.remove(place);
        let state = State::Fresh;
        self.held.insert(place, Held { event, state, own });
        self.waiting.insert(place);
    }

    /// The next message to hand out.
    pub fn take(&mut self) -> Option<(P, Event, &T)> {
        let place = self.next()?;
        self.waiting.remove(&place);
        let held = self.held.get_mut(&place)?;
        if held.state == State::Returned {
            self.returned = self.returned.saturating_sub(1);
        }
        held.state = State::Out;
        Some((place, held.event.clone(), &held.own))
    }

    /// Whether there is a message to hand out.
    pub fn is_ready(&self) -> bool {
        self.next().is_some()
    }

    fn next(&self) -> Option<P> {
        if self.returned == 0 || self.order == Order::None {
            return self.waiting.first().copied();
        }
        let mut out = HashSet::<&Bytes>::new();
        let mut blocked = HashSet::<&Bytes>::new();
        for (place, held) in &self.held {
            match (held.state, held.event.key()) {
                (State::Out, None) => {}
                (State::Out, Some(key)) => {
                    out.insert(key);
                }
                (State::Returned, Some(key)) if out.contains(key) => {
                    blocked.insert(key);
                }
                (_, Some(key)) if blocked.contains(key) => {}
                _ => return Some(*place),
            }
        }
        None
    }

    /// A message that was handed out comes back. `false` where it is not held.
    pub fn give_back(&mut self, place: P) -> bool {
        let Some(held) = self.held.get_mut(&place) else {
            return false;
        };
        if held.state == State::Out {
            held.state = State::Returned;
            held.event = held.event.delivered_again();
            self.returned += 1;
            self.waiting.insert(place);
        }
        true
    }

    /// A message is held no more.
    pub fn remove(&mut self, place: P) -> Option<T> {
        self.waiting.remove(&place);
        let held = self.held.remove(&place)?;
        if held.state == State::Returned {
            self.returned = self.returned.saturating_sub(1);
        }
        Some(held.own)
    }

    /// Lets go of all that is not handed out, in order.
    pub fn remove_waiting(&mut self) -> Vec<(P, T)> {
        let waiting: Vec<P> = self.waiting.iter().copied().collect();
        let removed = waiting.into_iter();
        removed
            .filter_map(|place| Some((place, self.remove(place)?)))
            .collect()
    }

    /// Whether a message is held.
    pub fn contains(&self, place: P) -> bool {
        self.held.contains_key(&place)
    }

    /// What the adapter has with a message.
    pub fn get_mut(&mut self, place: P) -> Option<&mut T> {
        self.held.get_mut(&place).map(|held| &mut held.own)
    }

    /// Whether a message is handed out.
    pub fn is_out(&self, place: P) -> bool {
        let held = self.held.get(&place);
        held.is_some_and(|held| held.state == State::Out)
    }

    /// All that is held, in order.
    pub fn iter(&self) -> impl Iterator<Item = (P, &T)> {
        self.held.iter().map(|(place, held)| (*place, &held.own))
    }

    /// All that may be handed out, in order.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = P> {
        self.waiting.iter().copied()
    }

    /// Whether messages that were given back wait to be handed out again.
    pub fn has_returned(&self) -> bool {
        self.returned > 0
    }

    /// How many messages are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Content, Headers, Partition};

    use super::*;

    fn shelf(order: Order, keys: &[&'static str]) -> Shelf<u64, ()> {
        let mut shelf = Shelf::new(order);
        for (place, key) in (0..).zip(keys) {
            let event = Event::new(Content {
                topic: "orders".to_owned(),
                key: (!key.is_empty()).then(|| Bytes::from_static(key.as_bytes())),
                headers: Headers::default(),
                payload: Bytes::new(),
                partition: Partition(0),
                offset: place,
                published_at: None,
                redelivered: 0,
            });
            shelf.put(place, event, ());
        }
        shelf
    }

    fn take_all(shelf: &mut Shelf<u64, ()>) -> Vec<u64> {
        std::iter::from_fn(|| shelf.take().map(|(place, ..)| place)).collect()
    }

    #[test]
    fn a_message_given_back_comes_before_later_ones_of_its_key() {
        let mut shelf = shelf(Order::PerKey, &["a", "b", "a", "a"]);
        for expected in 0..3 {
            assert_eq!(shelf.take().map(|(place, ..)| place), Some(expected));
        }
        // Given back from behind: 2 waits for 0, and 3 for 2.
        assert!(shelf.give_back(2));
        assert!(!shelf.is_ready());
        assert!(shelf.give_back(0));
        let (place, event, ()) = shelf.take().unwrap();
        assert_eq!((place, event.redelivered()), (0, 1));
        assert_eq!(take_all(&mut shelf), [] as [u64; 0]);
        shelf.remove(0);
        assert_eq!(take_all(&mut shelf), [2, 3]);
        assert!(!shelf.give_back(0));
    }

    #[test]
    fn without_order_or_a_key_a_message_waits_for_nothing() {
        for mut shelf in [
            shelf(Order::PerKey, &["", "", "a"]),
            shelf(Order::None, &["a", "a", "a"]),
        ] {
            take_all(&mut shelf);
            assert!(shelf.give_back(1));
            assert_eq!(take_all(&mut shelf), [1]);
        }
    }

    #[test]
    fn what_waits_is_let_go_of_and_what_is_out_stays() {
        let mut shelf = shelf(Order::PerKey, &["a", "b", "c"]);
        assert_eq!(shelf.take().map(|(place, ..)| place), Some(0));
        assert_eq!(shelf.take().map(|(place, ..)| place), Some(1));
        assert!(shelf.give_back(1));
        assert!(shelf.has_returned() && shelf.is_out(0) && !shelf.is_out(1));
        assert_eq!(shelf.remove_waiting(), [(1, ()), (2, ())]);
        assert!(!shelf.has_returned());
        assert_eq!((shelf.len(), shelf.waiting().len()), (1, 0));
    }
}
