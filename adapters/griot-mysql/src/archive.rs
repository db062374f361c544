//! The journal read whole, so that it can be carried elsewhere.

use griot_core::{EntityId, Epoch, Seq};
use griot_journal::{
    Archive, BoxFuture, JournalError, KEYS_KEPT, Kept, Mark, PAGE_COMMITS_MAX, Remains, ShardId,
};
use sqlx::mysql::MySqlRow;

use crate::journal::{MysqlJournal, count, name};
use crate::read::{self, column};

/// Name.
const EFFECTS_LEFT: &str = "
    select e.name as entity, f.at, f.seq, f.n, f.kind, f.name, f.due, f.target, f.`key`, f.headers, f.payload
      from griot_effects f join griot_entities e on e.id = f.entity
     where not f.settled and f.entity = (select id from griot_entities where name = ?)
       and not exists (select 1 from griot_commits c where c.number = f.commit)
     order by f.commit, f.position";

/// Name, limit.
const ANSWERS_LEFT: &str = "
    select a.`key`, a.fingerprint, a.reply
      from (
        select a.* from griot_answers a
         where a.entity = (select id from griot_entities where name = ?)
           and not exists (select 1 from griot_commits c where c.number = a.commit)
         order by a.commit desc limit ?
      ) a
     order by a.commit";

const SHARDS: &str = "select kind, number, epoch from griot_shards";

/// Name, limit.
const DELETIONS: &str = "
    select name, deleted_to from griot_entities
     where deleted_to > 0 and name > ?
     order by name
     limit ?";

impl Archive for MysqlJournal {
    fn appends(&self, after: Mark, limit: usize) -> BoxFuture<'_, Result<Vec<Kept>, JournalError>> {
        Box::pin(async move {
            let appends = sqlx::query("call griot_commits_after(?, ?, ?)")
                .bind(after.offset.get())
                .bind(count(after.appends))
                .bind(count(limit.min(PAGE_COMMITS_MAX)));
            let rows = self.read(appends).await?;
            if !rows.is_empty() {
                // Appends without events do not show in the offset, and so not in what is known to be durable.
                self.flush().await?;
            }
            read::kept(&rows)
        })
    }

    fn remains<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Remains, JournalError>> {
        Box::pin(async move {
            let effects = sqlx::query(EFFECTS_LEFT).bind(name(entity));
            let effects = self.read(effects).await?;
            let effects = effects.iter().map(|row| {
                let left = read::unsettled(row)?;
                Ok((left.at, left.record))
            });
            let answers = sqlx::query(ANSWERS_LEFT)
                .bind(name(entity))
                .bind(count(KEYS_KEPT));
            let answers = self.read(answers).await?;
            let answers = answers.iter().map(read::answer);
            Ok(Remains {
                effects: effects.collect::<Result<_, JournalError>>()?,
                answers: answers
                    .filter_map(Result::transpose)
                    .collect::<Result<_, _>>()?,
            })
        })
    }

    fn shards(&self) -> BoxFuture<'_, Result<Vec<(ShardId, Epoch)>, JournalError>> {
        Box::pin(async move {
            let rows = self.read(sqlx::query(SHARDS)).await?;
            rows.iter().map(shard).collect()
        })
    }

    fn deletions<'a>(
        &'a self,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(EntityId, Seq)>, JournalError>> {
        Box::pin(async move {
            let deletions = sqlx::query(DELETIONS)
                .bind(after.map_or(&b""[..], name))
                .bind(count(limit));
            let rows = self.read(deletions).await?;
            let deletion = |row| {
                let seq = Seq(column(row, "deleted_to")?);
                Ok((read::entity(row, "name")?, seq))
            };
            rows.iter().map(deletion).collect()
        })
    }
}

fn shard(row: &MySqlRow) -> Result<(ShardId, Epoch), JournalError> {
    let shard = ShardId {
        kind: read::text(column(row, "kind")?)?.into(),
        number: column(row, "number")?,
    };
    Ok((shard, Epoch(column(row, "epoch")?)))
}
