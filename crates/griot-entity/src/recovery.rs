//! Reading an entity back: a snapshot if there is a usable one, then every commit after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use griot_core::{
    CoreError, EffectId, EffectRecord, Entity, EntityId, Seq, Timestamp, codec, read_event,
    stable_hash,
};
use griot_journal::{
    Commit, EventRecord, Journal, JournalError, Snapshot, SnapshotBounds, SnapshotStore,
};
use serde::{Deserialize, Serialize};

use crate::Limits;
use crate::keys::{KeyEntry, KeyWindow};

/// Commits read at a time.
const PAGE_COMMITS: usize = 1_024;

/// An entity as the journal knows it.
pub(crate) struct Recovered<E> {
    pub(crate) state: E,
    pub(crate) seq: Seq,
    pub(crate) snapshot_seq: Seq,
    pub(crate) effects_at_seq: u32,
    pub(crate) keys: KeyWindow,
    pub(crate) unsettled: Vec<EffectId>,
    /// Those of the unsettled effects that were met on the way, to be performed if nobody does.
    pub(crate) effects: Vec<(Timestamp, EffectRecord)>,
}

impl<E: Entity> Default for Recovered<E> {
    fn default() -> Self {
        Self {
            state: E::default(),
            seq: Seq::ZERO,
            snapshot_seq: Seq::ZERO,
            effects_at_seq: 0,
            keys: KeyWindow::default(),
            unsettled: Vec::new(),
            effects: Vec::new(),
        }
    }
}

/// Why an entity could not be recovered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoveryError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Decode(#[from] CoreError),
    #[error("reading or folding an event panicked")]
    Panicked,
    #[error(
        "the journal has a gap: event {expected} is missing, restore the journal from a backup"
    )]
    Gap { expected: Seq },
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Stored<E: Entity> {
    state: E,
    effects_at_seq: u32,
    unsettled: Vec<EffectId>,
    keys: Vec<KeyEntry>,
}

/// The same, borrowed for writing.
#[derive(Serialize)]
#[serde(bound = "")]
struct Storing<'a, E: Entity> {
    state: &'a E,
    effects_at_seq: u32,
    unsettled: &'a [EffectId],
    keys: Vec<&'a KeyEntry>,
}

/// What tells snapshots of this kind, fold and layout from all others.
pub(crate) fn fingerprint<E: Entity>() -> u64 {
    const LAYOUT: u32 = 2;
    stable_hash(format!("{} fold {} layout {LAYOUT}", E::KIND, E::FOLD).as_bytes())
}

/// Writes an entity as the payload of a snapshot.
pub(crate) fn snapshot_payload<E: Entity>(
    state: &E,
    effects_at_seq: u32,
    unsettled: &[EffectId],
    keys: Option<&KeyWindow>,
) -> Result<Bytes, CoreError> {
    let stored = Storing {
        state,
        effects_at_seq,
        unsettled,
        keys: keys.map_or_else(Vec::new, |keys| keys.entries().collect()),
    };
    codec::encode_json("a snapshot", &stored)
}

/// Reads an entity. Ready at once where the journal says at once that it knows nothing of it.
///
/// Unless it is unknown, the first poll is not the last: the caller polls once in its own task and
/// moves the rest elsewhere, so that a long history holds up nobody.
pub(crate) async fn recover<E: Entity>(
    journal: Arc<dyn Journal>,
    snapshots: Arc<dyn SnapshotStore>,
    id: EntityId,
    limits: Arc<Limits>,
    now: Timestamp,
) -> Result<Recovered<E>, RecoveryError> {
    if journal.commits(&id, Seq::ZERO, 0, 1).await?.is_empty() {
        return Ok(Recovered::default());
    }
    tokio::task::yield_now().await;
    let latest = SnapshotBounds::LATEST;
    let snapshot = from_snapshot(&*journal, &*snapshots, &id, latest).await;
    let mut recovered: Recovered<E> = snapshot.unwrap_or_default();
    let from = recovered.snapshot_seq;
    let mut skip = 0;
    loop {
        let commits = journal.commits(&id, from, skip, PAGE_COMMITS).await?;
        if commits.is_empty() {
            break;
        }
        skip += commits.len();
        for commit in commits {
            recovered.take(commit, &limits, now)?;
        }
        tokio::task::yield_now().await;
    }
    let unsettled = &recovered.unsettled;
    recovered
        .effects
        .retain(|(_, record)| unsettled.contains(&record.id));
    Ok(recovered)
}

/// The latest snapshot within `bounds` that is usable: of this fold, readable, and not ahead of the
/// journal. Whatever else is there is passed over, for a snapshot is only a cache.
pub(crate) async fn from_snapshot<E: Entity>(
    journal: &dyn Journal,
    snapshots: &dyn SnapshotStore,
    id: &EntityId,
    bounds: SnapshotBounds,
) -> Option<Recovered<E>> {
    let passed_over = |reason: String| {
        tracing::warn!(entity = %id, reason, "a snapshot is passed over, the events are replayed");
        metrics::counter!("griot_snapshots_passed_over_total", "kind" => E::KIND).increment(1);
    };
    let snapshot = match snapshots.load(id, bounds).await {
        Ok(snapshot) => snapshot?,
        Err(error) => {
            passed_over(error.to_string());
            return None;
        }
    };
    if snapshot.fingerprint != fingerprint::<E>() {
        passed_over("another schema or fold wrote it".to_owned());
        return None;
    }
    match journal.last_seq(id).await {
        Ok(last) if last >= snapshot.seq => {}
        _ => {
            passed_over("it is ahead of the journal".to_owned());
            return None;
        }
    }
    match codec::decode_json::<Stored<E>>("snapshot", &snapshot.payload) {
        Ok(stored) => Some(Recovered::from_stored(stored, &snapshot)),
        Err(error) => {
            passed_over(error.to_string());
            None
        }
    }
}

impl<E: Entity> Recovered<E> {
    fn from_stored(stored: Stored<E>, snapshot: &Snapshot) -> Self {
        let mut keys = KeyWindow::default();
        for entry in stored.keys {
            keys.push(entry);
        }
        Self {
            state: stored.state,
            seq: snapshot.seq,
            snapshot_seq: snapshot.seq,
            effects_at_seq: stored.effects_at_seq,
            keys,
            unsettled: stored.unsettled,
            effects: Vec::new(),
        }
    }

    /// Takes a commit in. One that the snapshot holds already changes nothing: what it recorded
    /// and settled is merged, and its events are behind.
    fn take(
        &mut self,
        commit: Commit,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), RecoveryError> {
        let append = commit.append;
        if append.expected > self.seq && self.seq == self.snapshot_seq {
            // What came before was deleted: the state begins here.
            self.seq = append.expected;
            self.snapshot_seq = append.expected;
        }
        let mut seq = append.expected;
        for event in &append.events {
            seq = seq.next();
            if seq <= self.seq {
                continue;
            }
            if seq != self.seq.next() {
                let expected = self.seq.next();
                return Err(RecoveryError::Gap { expected });
            }
            evolve(&mut self.state, event)?;
            self.seq = seq;
            self.effects_at_seq = 0;
        }
        for record in append.effects {
            if record.id.seq == self.seq {
                self.effects_at_seq = self.effects_at_seq.max(record.id.n.saturating_add(1));
            }
            if self.unsettled.contains(&record.id) {
                continue;
            }
            self.unsettled.push(record.id);
            self.effects.push((append.at, record));
        }
        self.unsettled
            .retain(|effect| !append.settled.contains(effect));
        if let Some(answer) = &append.answer
            && now.since(append.at) <= limits.keys_kept_for
        {
            self.keys
                .remember(answer, append.at, limits.keys_max, limits.keys_kept_for);
        }
        Ok(())
    }
}

/// Takes a recorded event into a state; a panic is an error.
pub(crate) fn evolve<E: Entity>(state: &mut E, event: &EventRecord) -> Result<(), RecoveryError> {
    let evolving = AssertUnwindSafe(|| {
        let event: E::Event = read_event(&event.name, event.version, &event.payload)?;
        state.evolve(&event);
        Ok(())
    });
    catch_unwind(evolving).unwrap_or(Err(RecoveryError::Panicked))
}
