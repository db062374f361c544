//! The entities a shard has in memory, and who leaves first.
//!
//! Passivation follows the CLOCK algorithm (F. J. Corbató, "A Paging Experiment with the Multics
//! System", 1968): a hand goes round the slots and takes the first that has been idle long enough.

use griot_core::{Entity, EntityId, stable_hash};
use hashbrown::HashTable;

use crate::slot::Slot;

/// How many slots the hand passes at most to make room for one entity.
const HAND_STEPS_MAX: usize = 128;

/// Entities by name: an index of small places into a vector of boxed slots.
pub(crate) struct Table<E: Entity> {
    index: HashTable<Place>,
    slots: Vec<Option<Box<Slot<E>>>>,
    free: Vec<u32>,
    hand: usize,
}

/// Half of a name's hash, and the number of its slot.
#[derive(Clone, Copy)]
struct Place {
    half: u32,
    number: u32,
}

impl<E: Entity> Default for Table<E> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
        }
    }
}

impl<E: Entity> Table<E> {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn find(&self, hash: u64, id: &EntityId) -> Option<u32> {
        let half = half_of(hash);
        let is_it = |place: &Place| {
            let same = |slot: &Slot<E>| slot.id == *id;
            place.half == half && self.get(place.number).is_some_and(same)
        };
        self.index.find(hash, is_it).map(|place| place.number)
    }

    /// The slot that an entity is in, unless another one's name has nearly the same hash. No slot is
    /// looked at for that.
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        let half = half_of(hash);
        let found = self.index.find(hash, |place| place.half == half);
        found.map(|place| place.number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Slot<E>> {
        self.slots.get(place(number))?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Slot<E>> {
        self.slots.get_mut(place(number))?.as_deref_mut()
    }

    /// Adds a slot for an entity that has none. `None` when there are 2^32 already.
    pub(crate) fn insert(&mut self, hash: u64, slot: Slot<E>) -> Option<u32> {
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(self.slots.len()).ok()?,
        };
        let slot = Some(Box::new(slot));
        match self.slots.get_mut(place(number)) {
            Some(vacant) => *vacant = slot,
            None => self.slots.push(slot),
        }
        let (slots, half) = (&self.slots, half_of(hash));
        self.index
            .insert_unique(hash, Place { half, number }, |place| {
                hash_of(slots, place.number)
            });
        Some(number)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Box<Slot<E>>> {
        let slot = self.slots.get_mut(place(number))?.take()?;
        let hash = stable_hash(slot.id.as_str().as_bytes());
        if let Ok(found) = self.index.find_entry(hash, |place| place.number == number) {
            found.remove();
        }
        self.free.push(number);
        Some(slot)
    }

    /// Removes the first idle entity that the hand meets, if it meets one soon.
    pub(crate) fn make_room(&mut self, durable_batch: u64) -> bool {
        self.sweep(HAND_STEPS_MAX, 1, durable_batch, u32::MAX) == 1
    }

    /// Moves the hand over up to `steps` slots and removes up to `removals_max` entities that are
    /// idle and were last touched before `before`. Returns how many left.
    pub(crate) fn sweep(
        &mut self,
        steps: usize,
        removals_max: usize,
        durable_batch: u64,
        before: u32,
    ) -> usize {
        let mut removed = 0;
        for _ in 0..steps.min(self.slots.len()) {
            self.hand = (self.hand + 1) % self.slots.len();
            let Some(slot) = self.slots.get_mut(self.hand).and_then(Option::as_mut) else {
                continue;
            };
            slot.shrink();
            if slot.touched < before && slot.is_idle(durable_batch) {
                if let Ok(number) = u32::try_from(self.hand) {
                    self.remove(number);
                }
                removed += 1;
                if removed == removals_max {
                    break;
                }
            }
        }
        removed
    }

    /// The numbers of all slots.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.index.iter().map(|place| place.number).collect()
    }
}

/// The half of a hash that [`HashTable`] looks at least.
fn half_of(hash: u64) -> u32 {
    u32::try_from(hash >> 16 & u64::from(u32::MAX)).unwrap_or(0)
}

fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn hash_of<E: Entity>(slots: &[Option<Box<Slot<E>>>], number: u32) -> u64 {
    slots
        .get(place(number))
        .and_then(Option::as_ref)
        .map_or(0, |slot| stable_hash(slot.id.as_str().as_bytes()))
}
