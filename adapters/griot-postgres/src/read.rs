//! What is read: the statements, and rows as events, commits and effects.
//!
//! Each is one statement, so that all of its rows are of one moment.

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, EntityId, Offset, Publication, Seq, Timestamp};
use griot_journal::{
    Answer, Append, Commit, EventRecord, JournalError, Metadata, RecordedEvent, Unsettled,
};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::PostgresError;
use crate::group::unsigned;
use crate::link::told;
use crate::text::unescaped;

/// $1 name, $2 from, $3 to, $4 limit.
pub(crate) const EVENTS: &str = "
    select seq, journal_offset, at, name, version, tags, payload, metadata
      from events
     where entity = (select id from entities where name = $1) and seq between $2 and $3 and name is not null
     order by seq
     limit $4";

/// $1 name, $2 from, $3 skip, $4 limit.
pub(crate) const COMMITS: &str = "
    select c.expected, c.seq, c.journal_offset, c.at, c.metadata, c.settled, e.deleted_to,
           a.key, a.fingerprint, a.reply, v.names, v.versions, v.tags, v.payloads,
           f.seqs, f.ns, f.kinds, f.effect_names, f.dues, f.targets, f.keys, f.headers, f.effect_payloads
      from (
        select c.* from commits c
         where c.entity = (select id from entities where name = $1) and c.seq >= $2
         order by c.seq, c.number offset $3 limit $4
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
     order by c.seq, c.number";

/// $1 name.
pub(crate) const LAST_SEQ: &str = "
    select seq from events
     where entity = (select id from entities where name = $1)
     order by seq desc
     limit 1";

pub(crate) const LAST_OFFSET: &str = "select last_offset from progress";

/// $1 after, $2 up to, $3 kind, $4 tag. There is one row at least. The page is read first, by its offsets (`offset 0` sees
/// to that): to look for the entities of a kind first would read all that they ever had, for each page.
pub(crate) const TAIL: &str = "
    select j.last_offset, e.name as entity, v.seq, v.journal_offset, v.at, v.name, v.version, v.tags, v.payload, v.metadata
      from progress j
      left join (
        (
          select * from events
           where journal_offset > $1 and journal_offset <= $2 and name is not null
          offset 0
        ) v join entities e on e.id = v.entity
      ) on ($3::text is null or e.kind = $3) and ($4::text is null or v.tags ? $4)
     order by v.journal_offset";

/// $1 kind, $2 name, $3 seq, $4 n, $5 limit.
pub(crate) const UNSETTLED: &str = "
    select e.name as entity, f.at, f.seq, f.n, f.kind, f.name, f.due, f.target, f.key, f.headers, f.payload
      from effects f join entities e on e.id = f.entity
     where not f.settled and e.kind = $1
       and (f.entity, f.seq, f.n) > (coalesce((select id from entities where name = $2), 0), $3, $4)
     order by f.entity, f.seq, f.n
     limit $5";

/// $1 kind, $2 name, $3 limit.
pub(crate) const ENTITIES: &str = "
    select name from entities
     where ($1::text is null or kind = $1) and ($2::text is null or name > $2)
     order by name
     limit $3";

type Pairs = Json<Vec<(String, String)>>;

pub(crate) fn column<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    name: &str,
) -> Result<T, JournalError> {
    row.try_get(name).map_err(told)
}

/// The event of a row whose entity is known, or stands in it.
pub(crate) fn event(row: &PgRow, entity: EntityId) -> Result<RecordedEvent, JournalError> {
    Ok(RecordedEvent {
        entity,
        seq: Seq(unsigned(column(row, "seq")?)),
        offset: Offset(unsigned(column(row, "journal_offset")?)),
        at: Timestamp::from_micros(column(row, "at")?),
        event: EventRecord {
            name: unescaped(column(row, "name")?).into(),
            version: version(column(row, "version")?)?,
            tags: tags(column(row, "tags")?),
            payload: payload(column(row, "payload")?),
        },
        metadata: pairs(column(row, "metadata")?),
    })
}

/// The commit of a row, without its deleted events.
pub(crate) fn commit(row: &PgRow, entity: EntityId) -> Result<Commit, JournalError> {
    let expected = unsigned(column(row, "expected")?);
    let last = unsigned(column(row, "seq")?);
    let deleted = unsigned(column(row, "deleted_to")?);
    let gone = deleted.clamp(expected, last).saturating_sub(expected);
    let offset = unsigned(column(row, "journal_offset")?);
    let settled: Option<Json<Vec<(u64, u32)>>> = column(row, "settled")?;
    let settled = settled
        .map(|Json(settled)| settled)
        .into_iter()
        .flatten()
        .map(|(seq, n)| EffectId { seq: Seq(seq), n });
    Ok(Commit {
        append: Append {
            entity,
            expected: Seq(expected.saturating_add(gone)),
            at: Timestamp::from_micros(column(row, "at")?),
            events: events(row)?,
            effects: effects(row)?,
            settled: settled.collect(),
            answer: answer(row)?,
            metadata: pairs(column(row, "metadata")?),
        },
        offset: Offset(offset.saturating_add(gone)),
    })
}

fn events(row: &PgRow) -> Result<Vec<EventRecord>, JournalError> {
    let names = list::<String>(row, "names")?.into_iter();
    let parts = list(row, "versions")?.into_iter().zip(list(row, "tags")?);
    let parts = parts.zip(list(row, "payloads")?);
    let event = |(name, ((number, words), bytes))| {
        Ok(EventRecord {
            name: unescaped(name).into(),
            version: version(number)?,
            tags: tags(words),
            payload: payload(bytes),
        })
    };
    names.zip(parts).map(event).collect()
}

pub(crate) fn answer(row: &PgRow) -> Result<Option<Answer>, JournalError> {
    let Some(key) = column::<Option<String>>(row, "key")? else {
        return Ok(None);
    };
    Ok(Some(Answer {
        key: unescaped(key),
        fingerprint: column::<i64>(row, "fingerprint")?.cast_unsigned(),
        reply: payload(column(row, "reply")?),
    }))
}

/// An effect as it lies in the table.
struct Recorded {
    seq: i64,
    n: i64,
    kind: String,
    name: String,
    due: Option<i64>,
    target: Option<String>,
    key: Option<String>,
    headers: Option<Pairs>,
    payload: Vec<u8>,
}

fn effects(row: &PgRow) -> Result<Vec<EffectRecord>, JournalError> {
    let ids = list(row, "seqs")?.into_iter().zip(list(row, "ns")?);
    let kinds = list(row, "kinds")?
        .into_iter()
        .zip(list(row, "effect_names")?);
    let timers = list(row, "dues")?.into_iter().zip(list(row, "targets")?);
    let heads = list(row, "keys")?.into_iter().zip(list(row, "headers")?);
    let rest = timers.zip(heads).zip(list(row, "effect_payloads")?);
    let effect = |(((seq, n), (kind, name)), (((due, target), (key, headers)), payload))| {
        effect(Recorded {
            seq,
            n,
            kind,
            name,
            due,
            target,
            key,
            headers,
            payload,
        })
    };
    ids.zip(kinds).zip(rest).map(effect).collect()
}

pub(crate) fn unsettled(row: &PgRow) -> Result<Unsettled, JournalError> {
    let record = effect(Recorded {
        seq: column(row, "seq")?,
        n: column(row, "n")?,
        kind: column(row, "kind")?,
        name: column(row, "name")?,
        due: column(row, "due")?,
        target: column(row, "target")?,
        key: column(row, "key")?,
        headers: column(row, "headers")?,
        payload: column(row, "payload")?,
    })?;
    Ok(Unsettled {
        entity: entity(row, "entity")?,
        at: Timestamp::from_micros(column(row, "at")?),
        record,
    })
}

fn effect(stored: Recorded) -> Result<EffectRecord, JournalError> {
    let out_of_range = || out_of_range("the number of an effect", stored.n);
    let id = EffectId {
        seq: Seq(stored.seq.cast_unsigned()),
        n: u32::try_from(stored.n).map_err(|_| out_of_range())?,
    };
    let name = unescaped(stored.name);
    let payload = payload(stored.payload);
    let effect = match (stored.kind.as_str(), stored.due, stored.target) {
        ("call", _, _) => Effect::Call {
            name: name.into(),
            payload,
        },
        ("timer", Some(due), _) => Effect::Timer {
            due: Timestamp::from_micros(due),
            name: name.into(),
            payload,
        },
        ("message", _, Some(target)) => Effect::Message {
            to: parsed(&target)?,
            name: name.into(),
            payload,
        },
        ("publication", _, _) => Effect::Publication(Publication {
            topic: name,
            key: stored.key.map(unescaped),
            headers: pairs(stored.headers),
            payload,
        }),
        _ => return Err(foreign("the effect", stored.kind)),
    };
    Ok(EffectRecord { id, effect })
}

pub(crate) fn entity(row: &PgRow, name: &str) -> Result<EntityId, JournalError> {
    parsed(column(row, name)?)
}

fn parsed(name: &str) -> Result<EntityId, JournalError> {
    name.parse()
        .map_err(|_| foreign("the entity", name.to_owned()))
}

/// An aggregate over no rows is null.
fn list<'r, T>(row: &'r PgRow, name: &str) -> Result<Vec<T>, JournalError>
where
    Vec<T>: Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(column::<Option<Vec<T>>>(row, name)?.unwrap_or_default())
}

fn pairs(stored: Option<Pairs>) -> Metadata {
    let pairs = stored.map(|Json(pairs)| pairs).into_iter().flatten();
    pairs
        .map(|(name, value)| (unescaped(name), unescaped(value)))
        .collect()
}

fn tags(stored: Option<Json<Vec<String>>>) -> Vec<String> {
    let tags = stored.map(|Json(tags)| tags).into_iter().flatten();
    tags.map(unescaped).collect()
}

fn payload(stored: Vec<u8>) -> Bytes {
    stored.into()
}

fn version(stored: i32) -> Result<u16, JournalError> {
    u16::try_from(stored).map_err(|_| out_of_range("the version of an event", stored.into()))
}

pub(crate) fn out_of_range(what: &'static str, number: i64) -> JournalError {
    let number = number.into();
    PostgresError::OutOfRange { what, number }.into()
}

fn foreign(what: &'static str, value: String) -> JournalError {
    PostgresError::Foreign { what, value }.into()
}
