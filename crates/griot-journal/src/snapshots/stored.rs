//! How a snapshot lies in the store, and how it is read back.

use bytes::Bytes;
use griot_core::{EntityId, Seq, Timestamp};
use metrics::counter;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{Snapshot, SnapshotBounds};

/// By entity and sequence: a checksum, the moment, the fingerprint, and the payload.
pub(super) const SNAPSHOTS: TableDefinition<'_, (&str, u64), &[u8]> =
    TableDefinition::new("snapshots");
/// Entities that have, or had, snapshots.
pub(super) const ENTITIES: TableDefinition<'_, &str, ()> = TableDefinition::new("entities");

/// Calls `found` for every entity that has, or had, snapshots.
pub(super) fn entities(
    read: &ReadTransaction,
    mut found: impl FnMut(&str),
) -> Result<(), redb::Error> {
    for entry in read.open_table(ENTITIES)?.iter()? {
        let (entity, ()) = entry.map(|(entity, _)| (entity, ()))?;
        found(entity.value());
    }
    Ok(())
}

/// The latest snapshot within `bounds` that checks out.
pub(super) fn load(
    database: &Database,
    entity: &EntityId,
    bounds: SnapshotBounds,
) -> Result<Option<Snapshot>, redb::Error> {
    let table = database.begin_read()?.open_table(SNAPSHOTS)?;
    let name = entity.as_str();
    for entry in table.range((name, 0)..=(name, bounds.seq.get()))?.rev() {
        let (key, value) = entry?;
        let seq = Seq(key.value().1);
        let Some(snapshot) = decode(entity, seq, value.value()) else {
            tracing::warn!(%entity, %seq, "a snapshot does not check out: it is passed over");
            counter!("griot_snapshots_damaged_total").increment(1);
            continue;
        };
        if snapshot.at <= bounds.at {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

pub(super) fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let at = snapshot.at.as_micros().to_le_bytes();
    let fingerprint = snapshot.fingerprint.to_le_bytes();
    let checksum = checksum(
        &snapshot.entity,
        snapshot.seq,
        &[&at, &fingerprint, &snapshot.payload],
    );
    [
        &checksum.to_le_bytes()[..],
        &at,
        &fingerprint,
        &snapshot.payload,
    ]
    .concat()
}

pub(super) fn decode(entity: &EntityId, seq: Seq, bytes: &[u8]) -> Option<Snapshot> {
    let (found, rest) = bytes.split_first_chunk::<4>()?;
    if checksum(entity, seq, &[rest]) != u32::from_le_bytes(*found) {
        return None;
    }
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (fingerprint, payload) = rest.split_first_chunk::<8>()?;
    Some(Snapshot {
        entity: entity.clone(),
        seq,
        at: Timestamp::from_micros(i64::from_le_bytes(*at)),
        fingerprint: u64::from_le_bytes(*fingerprint),
        payload: Bytes::copy_from_slice(payload),
    })
}

/// Also over the key, so that a snapshot that went astray is not taken for another's.
fn checksum(entity: &EntityId, seq: Seq, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(entity.as_str().as_bytes());
    hasher.update(&seq.get().to_le_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
