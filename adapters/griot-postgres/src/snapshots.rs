//! Snapshots beside the journal, as rows of one table.

use std::future::ready;

use griot_core::{EntityId, Seq, Timestamp};
use griot_journal::{
    BoxFuture, JournalError, SNAPSHOT_BYTES_MAX, Snapshot, SnapshotBounds, SnapshotStore,
};

use crate::group::unsigned;
use crate::journal::{PostgresJournal, bounded, whole};
use crate::read::column;

/// $1 entity, $2 seq, $3 at, $4 fingerprint, $5 payload, $6 keep. The statement's parts do not see each other's
/// changes, so the sequence that comes is named beside those that are there.
const SAVE: &str = "
    with saved as (
      insert into snapshots (entity, seq, at, fingerprint, payload) values ($1, $2, $3, $4, $5)
      on conflict (entity, seq) do update
        set at = excluded.at, fingerprint = excluded.fingerprint, payload = excluded.payload
    )
    delete from snapshots
     where entity = $1 and seq in (
       select seq from (select seq from snapshots where entity = $1 union select $2) known
        order by seq desc offset $6)";

/// $1 entity, $2 seq, $3 at.
const LOAD: &str = "
    select seq, at, fingerprint, payload from snapshots
     where entity = $1 and seq <= $2 and at <= $3
     order by seq desc
     limit 1";

/// $1 entity, $2 seq, $3 at.
const DELETE: &str = "delete from snapshots where entity = $1 and seq <= $2 and at <= $3";

impl SnapshotStore for PostgresJournal {
    fn save(&self, snapshot: Snapshot, keep: usize) -> BoxFuture<'_, Result<(), JournalError>> {
        let bytes = snapshot.payload.len();
        if bytes > SNAPSHOT_BYTES_MAX {
            let (what, limit) = ("a snapshot", SNAPSHOT_BYTES_MAX);
            return Box::pin(ready(Err(JournalError::TooLarge { what, bytes, limit })));
        }
        Box::pin(async move {
            let save = sqlx::query(SAVE)
                .bind(snapshot.entity.as_str())
                .bind(whole("the sequence of a snapshot", snapshot.seq.get())?)
                .bind(snapshot.at.as_micros())
                .bind(snapshot.fingerprint.cast_signed())
                .bind(&*snapshot.payload)
                .bind(i64::try_from(keep).unwrap_or(i64::MAX));
            self.read(save).await.map(drop)
        })
    }

    fn load<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, JournalError>> {
        Box::pin(async move {
            let load = sqlx::query(LOAD)
                .bind(entity.as_str())
                .bind(bounded(bounds.seq.get()))
                .bind(bounds.at.as_micros());
            let rows = self.read(load).await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            Ok(Some(Snapshot {
                entity: entity.clone(),
                seq: Seq(unsigned(column(row, "seq")?)),
                at: Timestamp::from_micros(column(row, "at")?),
                fingerprint: column::<i64>(row, "fingerprint")?.cast_unsigned(),
                payload: column::<Vec<u8>>(row, "payload")?.into(),
            }))
        })
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let delete = sqlx::query(DELETE)
                .bind(entity.as_str())
                .bind(bounded(bounds.seq.get()))
                .bind(bounds.at.as_micros());
            self.read(delete).await.map(drop)
        })
    }
}
