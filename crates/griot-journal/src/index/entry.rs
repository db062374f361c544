//! What is kept in memory of one entity.

use griot_core::{EffectId, EntityId, Seq};

/// Where a commit lies in its log. A later commit has the higher place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) u64);

/// A commit: the entity's sequence after it, and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitAt {
    pub(crate) last: Seq,
    pub(crate) place: Place,
}

/// An effect without an outcome: its name, and the place of the commit that recorded it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EffectAt {
    pub(crate) id: EffectId,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntityId,
    /// The highest sequence that is durable.
    pub(crate) durable: Seq,
    /// The highest sequence that is staged.
    pub(crate) staged: Seq,
    /// The highest sequence that is deleted.
    pub(crate) deleted: Seq,
    pub(crate) commits: Vec<CommitAt>,
    pub(crate) keys: Keys,
    /// In the order of their names.
    effects: Vec<EffectAt>,
}

impl Entry {
    pub(crate) fn new(id: EntityId) -> Self {
        Self {
            id,
            durable: Seq::ZERO,
            staged: Seq::ZERO,
            deleted: Seq::ZERO,
            commits: Vec::new(),
            keys: Keys::default(),
            effects: Vec::new(),
        }
    }

    /// Whether nothing of it is durable.
    pub(crate) fn is_new(&self) -> bool {
        self.durable == Seq::ZERO && self.commits.is_empty()
    }

    pub(crate) fn effects(&self) -> &[EffectAt] {
        &self.effects
    }

    pub(crate) fn add_effect(&mut self, effect: EffectAt) {
        let at = self.effects.partition_point(|other| other.id < effect.id);
        self.effects.insert(at, effect);
    }

    pub(crate) fn settle(&mut self, settled: &[EffectId]) {
        if !settled.is_empty() {
            self.effects.retain(|effect| !settled.contains(&effect.id));
            if self.effects.is_empty() {
                self.effects = Vec::new();
            }
        }
    }

    pub(crate) fn delete(&mut self, to: Seq) {
        let to = to.min(self.durable);
        if to > self.deleted {
            self.deleted = to;
            // The last commit stays, without its events: it says how far the entity has come.
            let gone = self.commits.partition_point(|commit| commit.last <= to);
            let gone = gone.min(self.commits.len().saturating_sub(1));
            self.commits.drain(..gone);
        }
    }
}

/// How many keys of an entity the journals of this crate remember: the newest 1,024 at least, and
/// never more than twice as many.
pub const KEYS_KEPT: usize = 1024;

/// The keys that an entity has answered lately: at least the [`KEYS_KEPT`] newest, at most twice
/// as many. A key is kept as a hash of 32 bits and its commit's place.
#[derive(Debug, Default)]
pub(crate) struct Keys(Option<Box<KeyLists>>);

#[derive(Debug, Default)]
struct KeyLists {
    hashes: Vec<u32>,
    places: Vec<Place>,
}

impl Keys {
    pub(crate) fn push(&mut self, hash: u32, place: Place) {
        let lists = self.0.get_or_insert_default();
        lists.hashes.push(hash);
        lists.places.push(place);
    }

    /// Forgets the newest.
    pub(crate) fn pop(&mut self) {
        if let Some(lists) = &mut self.0 {
            lists.hashes.pop();
            lists.places.pop();
        }
    }

    /// Forgets the oldest where there are too many.
    pub(crate) fn shrink(&mut self) {
        if let Some(lists) = self
            .0
            .as_mut()
            .filter(|lists| lists.hashes.len() >= 2 * KEYS_KEPT)
        {
            let old = lists.hashes.len().saturating_sub(KEYS_KEPT);
            lists.hashes.drain(..old);
            lists.places.drain(..old);
        }
    }

    /// The places of keys with this hash.
    pub(crate) fn places(&self, hash: u32) -> impl Iterator<Item = Place> {
        self.0.iter().flat_map(move |lists| {
            let known = lists.hashes.iter().zip(&lists.places);
            known
                .filter(move |&(&other, _)| other == hash)
                .map(|(_, &place)| place)
        })
    }
}
