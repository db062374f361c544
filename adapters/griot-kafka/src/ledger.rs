//! All that a member holds, and what its task, its reader and its receipts tell each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use griot_events::adapter::Bell;
use griot_events::{Event, Incoming, Partition};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::progress::Progress;
use crate::slice::Slice;

/// A slice of this member, for as long as it has the partition. Another one has another number, also
/// where the same partition comes back.
pub(crate) type SliceId = u64;

/// A topic and one of its partitions.
pub(crate) type Place = (String, i32);

/// What a member's task shares with those who read from it.
#[derive(Debug)]
pub(crate) struct Share {
    ledger: Mutex<Ledger>,
    /// Messages that may be held.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) bell: Bell,
    /// A message was settled or came back.
    pub(crate) settled: Notify,
}

/// Slices of a member, and what is taken from it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    slices: BTreeMap<SliceId, Held>,
    /// The next slice to look at.
    turn: SliceId,
    next: SliceId,
    revoked: Option<Revoked>,
}

#[derive(Debug)]
struct Held {
    place: Place,
    slice: Slice<OwnedSemaphorePermit>,
}

/// Partitions that go to another member, until the reader is told.
#[derive(Debug)]
struct Revoked {
    places: BTreeSet<Place>,
    released: oneshot::Sender<()>,
}

impl Share {
    pub(crate) fn new(in_flight_max: usize) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::default(),
            room: Arc::new(Semaphore::new(in_flight_max.min(Semaphore::MAX_PERMITS))),
            bell: Bell::default(),
            settled: Notify::new(),
        })
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// A partition is given to this member.
    pub(crate) fn add(&mut self, place: Place, before: Progress, remember: usize) -> SliceId {
        let id = self.next;
        self.next += 1;
        let slice = Slice::new(before, remember);
        self.slices.insert(id, Held { place, slice });
        id
    }

    /// The slice of a partition.
    pub(crate) fn find(&self, topic: &str, partition: i32) -> Option<SliceId> {
        let is_it = |held: &Held| held.place.0 == topic && held.place.1 == partition;
        let mut slices = self.slices.iter().rev();
        slices.find(|(_, held)| is_it(held)).map(|(id, _)| *id)
    }

    /// Whether a message has to be held.
    pub(crate) fn wants(&self, id: SliceId, offset: i64) -> bool {
        self.slices
            .get(&id)
            .is_some_and(|held| held.slice.wants(offset))
    }

    /// A message arrived.
    pub(crate) fn receive(
        &mut self,
        id: SliceId,
        offset: i64,
        event: Event,
        room: Option<OwnedSemaphorePermit>,
    ) {
        if let Some(held) = self.slices.get_mut(&id) {
            held.slice.receive(offset, event, room);
        }
    }

    /// What is to be told to the reader before it is given anything else.
    pub(crate) fn take_revoked(&mut self) -> Option<Incoming> {
        let Revoked { places, released } = self.revoked.take()?;
        let partition = |(topic, partition): Place| (topic, Partition(partition.unsigned_abs()));
        let partitions = places.into_iter().map(partition).collect();
        Some(Incoming::Revoked {
            partitions,
            released,
        })
    }

    /// The next message to hand out, the slices in turn.
    pub(crate) fn take(&mut self) -> Option<(SliceId, i64, Event)> {
        let slices = self
            .slices
            .range(self.turn..)
            .chain(self.slices.range(..self.turn));
        let mut ready = slices.filter(|(_, held)| held.slice.is_ready());
        let id = *ready.next()?.0;
        self.turn = id + 1;
        let (offset, event) = self.slices.get_mut(&id)?.slice.take()?;
        Some((id, offset, event))
    }

    /// A message is done. False where its slice is no more this member's.
    pub(crate) fn settle(&mut self, id: SliceId, offset: i64) -> bool {
        let held = self.slices.get_mut(&id);
        held.map(|held| held.slice.settle(offset)).is_some()
    }

    /// A message comes back.
    pub(crate) fn give_back(&mut self, id: SliceId, offset: i64) {
        if let Some(held) = self.slices.get_mut(&id) {
            held.slice.give_back(offset);
        }
    }

    /// These partitions go to another member: nothing more of them is handed out. The reader is told,
    /// and says when nothing of them is under way.
    pub(crate) fn revoke(&mut self, ids: &[SliceId]) -> oneshot::Receiver<()> {
        let (released, is_released) = oneshot::channel();
        // Those that the reader was not told of yet: whoever waited for it has gone on.
        let earlier = self.revoked.take();
        let mut places = earlier.map(|revoked| revoked.places).unwrap_or_default();
        for id in ids {
            if let Some(held) = self.slices.get_mut(id) {
                held.slice.stop();
                places.insert(held.place.clone());
            }
        }
        if !places.is_empty() {
            self.revoked = Some(Revoked { places, released });
        }
        is_released
    }

    /// Messages of these slices that are handed out.
    pub(crate) fn out(&self, ids: &[SliceId]) -> usize {
        let held = ids.iter().filter_map(|id| self.slices.get(id));
        held.map(|held| held.slice.out()).sum()
    }

    pub(crate) fn remove(&mut self, ids: &[SliceId]) {
        for id in ids {
            self.slices.remove(id);
        }
    }

    /// How far the group has come, where that is not committed.
    pub(crate) fn unsaved(&self) -> Vec<(SliceId, Place, Progress)> {
        let unsaved = |(id, held): (&SliceId, &Held)| {
            let progress = held.slice.unsaved()?;
            Some((*id, held.place.clone(), progress))
        };
        self.slices.iter().filter_map(unsaved).collect()
    }

    /// So much is committed.
    pub(crate) fn save(&mut self, id: SliceId, progress: Progress) {
        if let Some(held) = self.slices.get_mut(&id) {
            held.slice.save(progress);
        }
    }
}
