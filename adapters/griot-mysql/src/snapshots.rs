//! Snapshots beside the journal, as rows of one table.

use std::future::ready;

use griot_core::{EntityId, Seq, Timestamp};
use griot_journal::{
    BoxFuture, JournalError, SNAPSHOT_BYTES_MAX, Snapshot, SnapshotBounds, SnapshotStore,
};

use crate::journal::{MysqlJournal, count};
use crate::read::column;

const SAVE: &str = "
    insert into griot_snapshots (entity, seq, at, fingerprint, payload) values (?, ?, ?, ?, ?)
    on duplicate key update at = values(at), fingerprint = values(fingerprint), payload = values(payload)";

const KEEP: &str = "
    delete from griot_snapshots where entity = ? and seq <= (
      select seq from (
        select seq from griot_snapshots where entity = ? order by seq desc limit 1 offset ?) as newest_to_go)";

const LOAD: &str = "
    select seq, at, fingerprint, payload from griot_snapshots
     where entity = ? and seq <= ? and at <= ?
     order by seq desc
     limit 1";

const DELETE: &str = "delete from griot_snapshots where entity = ? and seq <= ? and at <= ?";

impl SnapshotStore for MysqlJournal {
    fn save(&self, snapshot: Snapshot, keep: usize) -> BoxFuture<'_, Result<(), JournalError>> {
        let bytes = snapshot.payload.len();
        if bytes > SNAPSHOT_BYTES_MAX {
            let (what, limit) = ("a snapshot", SNAPSHOT_BYTES_MAX);
            return Box::pin(ready(Err(JournalError::TooLarge { what, bytes, limit })));
        }
        Box::pin(async move {
            let entity = snapshot.entity.as_str().as_bytes();
            let save = sqlx::query(SAVE)
                .bind(entity)
                .bind(snapshot.seq.get())
                .bind(snapshot.at.as_micros())
                .bind(snapshot.fingerprint)
                .bind(&*snapshot.payload);
            self.read(save).await?;
            let keep = sqlx::query(KEEP)
                .bind(entity)
                .bind(entity)
                .bind(count(keep));
            self.read(keep).await.map(drop)
        })
    }

    fn load<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, JournalError>> {
        Box::pin(async move {
            let load = sqlx::query(LOAD)
                .bind(entity.as_str().as_bytes())
                .bind(bounds.seq.get())
                .bind(bounds.at.as_micros());
            let rows = self.read(load).await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            Ok(Some(Snapshot {
                entity: entity.clone(),
                seq: Seq(column(row, "seq")?),
                at: Timestamp::from_micros(column(row, "at")?),
                fingerprint: column(row, "fingerprint")?,
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
                .bind(entity.as_str().as_bytes())
                .bind(bounds.seq.get())
                .bind(bounds.at.as_micros());
            self.read(delete).await.map(drop)
        })
    }
}
