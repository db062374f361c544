//! The journal read whole, so that it can be carried elsewhere.

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::{
    Archive, BoxFuture, JournalError, KEYS_KEPT, Kept, Mark, PAGE_COMMITS_MAX, Remains, ShardId,
};
use sqlx::postgres::PgRow;

use crate::group::unsigned;
use crate::journal::{PostgresJournal, bounded, count};
use crate::read::{self, column};
use crate::text::unescaped;

/// $1 offset, $2 how many of those at it to pass, $3 limit. Those that stand at the offset come first.
const APPENDS: &str = "
    select e.name as entity, c.expected, c.seq, c.journal_offset, c.at, c.metadata, c.settled, e.deleted_to,
           a.key, a.fingerprint, a.reply, v.names, v.versions, v.tags, v.payloads,
           f.seqs, f.ns, f.kinds, f.effect_names, f.dues, f.targets, f.keys, f.headers, f.effect_payloads
      from (
        select * from commits
         where last_offset >= $1 and journal_offset >= $1
         order by last_offset, number
        offset (select count(*)
                  from (select journal_offset from commits
                         where last_offset >= $1 and journal_offset >= $1
                         order by last_offset, number limit $2) passed
                 where journal_offset = $1)
         limit $3
      ) c
      join entities e on e.id = c.entity
      left join answers a on a.commit = c.number
      left join lateral (
        select array_agg(v.name order by v.seq) as names, array_agg(v.version order by v.seq) as versions,
               array_agg(v.tags order by v.seq) as tags, array_agg(v.payload order by v.seq) as payloads
          from events v
         where v.entity = c.entity and v.seq > c.expected and v.seq <= c.seq and v.commit = c.number and v.name is not null
      ) v on true
      left join lateral (
        select array_agg(f.seq order by f.position) as seqs, array_agg(f.n order by f.position) as ns,
               array_agg(f.kind order by f.position) as kinds, array_agg(f.name order by f.position) as effect_names,
               array_agg(f.due order by f.position) as dues, array_agg(f.target order by f.position) as targets,
               array_agg(f.key order by f.position) as keys, array_agg(f.headers order by f.position) as headers,
               array_agg(f.payload order by f.position) as effect_payloads
          from effects f
         where f.commit = c.number
      ) f on true
     order by c.number";

/// $1 name. What was deleted wholly is before the first append that is left.
const EFFECTS_LEFT: &str = "
    select e.name as entity, f.at, f.seq, f.n, f.kind, f.name, f.due, f.target, f.key, f.headers, f.payload
      from effects f join entities e on e.id = f.entity
     where not f.settled and f.entity = (select id from entities where name = $1)
       and f.commit < (select v.commit from events v
                        where v.entity = (select id from entities where name = $1)
                        order by v.seq, v.commit limit 1)
     order by f.commit, f.position";

/// $1 name, $2 limit.
const ANSWERS_LEFT: &str = "
    select a.key, a.fingerprint, a.reply
      from (
        select a.* from answers a
         where a.entity = (select id from entities where name = $1)
           and a.commit < (select v.commit from events v
                            where v.entity = (select id from entities where name = $1)
                            order by v.seq, v.commit limit 1)
         order by a.commit desc limit $2
      ) a
     order by a.commit";

const SHARDS: &str = "select kind, number, epoch from shards";

/// $1 name, $2 limit.
const DELETIONS: &str = "
    select name, deleted_to from entities
     where deleted_to > 0 and ($1::text is null or name > $1)
     order by name
     limit $2";

impl Archive for PostgresJournal {
    fn appends(&self, after: Mark, limit: usize) -> BoxFuture<'_, Result<Vec<Kept>, JournalError>> {
        Box::pin(async move {
            let appends = sqlx::query(APPENDS)
                .bind(bounded(after.offset.get()))
                .bind(count(after.appends))
                .bind(count(limit.min(PAGE_COMMITS_MAX)));
            let rows = self.read(appends).await?;
            rows.iter().map(kept).collect()
        })
    }

    fn remains<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Remains, JournalError>> {
        Box::pin(async move {
            let effects = sqlx::query(EFFECTS_LEFT).bind(entity.as_str());
            let effects = self.read(effects).await?;
            let effects = effects.iter().map(|row| {
                let left = read::unsettled(row)?;
                Ok((left.at, left.record))
            });
            let answers = sqlx::query(ANSWERS_LEFT)
                .bind(entity.as_str())
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
                .bind(after.map(EntityId::as_str))
                .bind(count(limit));
            let rows = self.read(deletions).await?;
            let deletion = |row| {
                let seq = Seq(unsigned(column(row, "deleted_to")?));
                Ok((read::entity(row, "name")?, seq))
            };
            rows.iter().map(deletion).collect()
        })
    }
}

fn kept(row: &PgRow) -> Result<Kept, JournalError> {
    let mut append = read::commit(row, read::entity(row, "entity")?)?.append;
    let expected = Seq(unsigned(column(row, "expected")?));
    let deleted = append.expected.get().saturating_sub(expected.get());
    append.expected = expected;
    Ok(Kept {
        append,
        deleted,
        offset: Offset(unsigned(column(row, "journal_offset")?)),
    })
}

fn shard(row: &PgRow) -> Result<(ShardId, Epoch), JournalError> {
    let number: i64 = column(row, "number")?;
    let shard = ShardId {
        kind: unescaped(column(row, "kind")?).into(),
        number: u32::try_from(number)
            .map_err(|_| read::out_of_range("the number of a shard", number))?,
    };
    Ok((shard, Epoch(unsigned(column(row, "epoch")?))))
}
