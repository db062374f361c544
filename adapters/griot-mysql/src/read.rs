//! What is read: the statements, and rows as events, commits and effects.
//!
//! Each is one statement or procedure whose rows are all of one moment.

use std::collections::HashMap;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, EntityId, Offset, Publication, Seq, Timestamp};
use griot_journal::{
    Answer, Append, Commit, EventRecord, JournalError, Kept, Metadata, RecordedEvent, Unsettled,
};
use sqlx::mysql::MySqlRow;
use sqlx::types::Json;
use sqlx::{Decode, MySql, Row as _, Type};

use crate::MysqlError;
use crate::link::told;

/// Name, from, to, limit.
pub(crate) const EVENTS: &str = "
    select v.seq, v.journal_offset, c.at, v.name, v.version, v.tags, v.payload, c.metadata
      from griot_events v join griot_commits c on c.number = v.commit
     where v.entity = (select id from griot_entities where name = ?) and v.seq between ? and ?
     order by v.seq
     limit ?";

/// Name, from, skip, limit.
pub(crate) const COMMITS: &str = "call griot_commits_of(?, ?, ?, ?)";

/// Name.
pub(crate) const LAST_SEQ: &str = "select seq from griot_entities where name = ?";

pub(crate) const LAST_OFFSET: &str = "select last_offset from griot_progress";

/// After, up to, kind twice, tag twice, as JSON. There is one row at least.
pub(crate) const TAIL: &str = "
    select p.last_offset, e.name as entity, v.seq, v.journal_offset, c.at, v.name, v.version, v.tags, v.payload,
           c.metadata
      from griot_progress p
      left join (
        griot_events v join griot_entities e on e.id = v.entity join griot_commits c on c.number = v.commit
      ) on v.journal_offset > ? and v.journal_offset <= ?
       and (? is null or e.kind = ?) and (? is null or json_contains(v.tags, ?))
     order by v.journal_offset";

/// Kind, name or nothing, sequence twice, number, limit.
pub(crate) const UNSETTLED: &str = "
    select e.name as entity, f.at, f.seq, f.n, f.kind, f.name, f.due, f.target, f.`key`, f.headers, f.payload
      from griot_effects f
      join griot_entities e on e.id = f.entity
      join (select coalesce(max(id), 0) as id from griot_entities where name = ?) last
     where not f.settled and e.kind = ? and f.entity >= last.id
       and (f.entity > last.id or f.seq > ? or (f.seq = ? and f.n > ?))
     order by f.entity, f.seq, f.n
     limit ?";

/// Kind twice, name or nothing, limit.
pub(crate) const ENTITIES: &str = "
    select name from griot_entities
     where (? is null or kind = ?) and name > ?
     order by name
     limit ?";

type Pairs = Json<Vec<(String, String)>>;

pub(crate) fn column<'r, T: Decode<'r, MySql> + Type<MySql>>(
    row: &'r MySqlRow,
    name: &str,
) -> Result<T, JournalError> {
    row.try_get(name).map_err(told)
}

/// The event of a row whose entity is known, or stands in it.
pub(crate) fn event(row: &MySqlRow, entity: EntityId) -> Result<RecordedEvent, JournalError> {
    Ok(RecordedEvent {
        entity,
        seq: Seq(column(row, "seq")?),
        offset: Offset(column(row, "journal_offset")?),
        at: Timestamp::from_micros(column(row, "at")?),
        event: event_record(row)?,
        metadata: pairs(row, "metadata")?,
    })
}

/// Commits, by their own rows, those of their events and those of their effects, with what of them is deleted.
pub(crate) fn kept(rows: &[MySqlRow]) -> Result<Vec<Kept>, JournalError> {
    let (mut numbers, mut commits) = (HashMap::new(), Vec::new());
    for row in rows {
        let number: u64 = column(row, "commit")?;
        let part: String = column(row, "part")?;
        if part == "commit" {
            numbers.insert(number, commits.len());
            commits.push(bare_commit(row)?);
            continue;
        }
        let known = numbers.get(&number).copied();
        let Some(kept) = known.and_then(|place| commits.get_mut(place)) else {
            return Err(foreign("a part of the commit", number.to_string()));
        };
        if part == "event" {
            kept.append.events.push(event_record(row)?);
        } else {
            kept.append.effects.push(effect(row)?);
        }
    }
    Ok(commits)
}

/// A commit as if what is left of it had been appended alone.
pub(crate) fn commit(kept: Kept) -> Commit {
    let mut append = kept.append;
    append.expected = Seq(append.expected.get().saturating_add(kept.deleted));
    Commit {
        append,
        offset: Offset(kept.offset.get().saturating_add(kept.deleted)),
    }
}

/// The commit of a row, without events and effects.
fn bare_commit(row: &MySqlRow) -> Result<Kept, JournalError> {
    let expected: u64 = column(row, "expected")?;
    let last: u64 = column(row, "seq")?;
    let deleted: u64 = column(row, "deleted_to")?;
    let settled: Json<Vec<(u64, u32)>> = column(row, "settled")?;
    let settled = settled.0.into_iter();
    Ok(Kept {
        append: Append {
            entity: entity(row, "entity")?,
            expected: Seq(expected),
            at: Timestamp::from_micros(column(row, "at")?),
            events: Vec::new(),
            effects: Vec::new(),
            settled: settled
                .map(|(seq, n)| EffectId { seq: Seq(seq), n })
                .collect(),
            answer: answer(row)?,
            metadata: pairs(row, "metadata")?,
        },
        deleted: deleted.clamp(expected, last).saturating_sub(expected),
        offset: Offset(column(row, "journal_offset")?),
    })
}

fn event_record(row: &MySqlRow) -> Result<EventRecord, JournalError> {
    let version: i32 = column(row, "version")?;
    let version =
        u16::try_from(version).map_err(|_| foreign("the version", version.to_string()))?;
    Ok(EventRecord {
        name: column::<String>(row, "name")?.into(),
        version,
        tags: column::<Json<Vec<String>>>(row, "tags")?.0,
        payload: payload(row, "payload")?,
    })
}

pub(crate) fn answer(row: &MySqlRow) -> Result<Option<Answer>, JournalError> {
    let Some(key) = column::<Option<Vec<u8>>>(row, "key")? else {
        return Ok(None);
    };
    Ok(Some(Answer {
        key: text(key)?,
        fingerprint: column(row, "fingerprint")?,
        reply: payload(row, "reply")?,
    }))
}

pub(crate) fn unsettled(row: &MySqlRow) -> Result<Unsettled, JournalError> {
    Ok(Unsettled {
        entity: entity(row, "entity")?,
        at: Timestamp::from_micros(column(row, "at")?),
        record: effect(row)?,
    })
}

fn effect(row: &MySqlRow) -> Result<EffectRecord, JournalError> {
    let id = EffectId {
        seq: Seq(column(row, "seq")?),
        n: column(row, "n")?,
    };
    let name: String = column(row, "name")?;
    let payload = payload(row, "payload")?;
    let kind: String = column(row, "kind")?;
    let due: Option<i64> = column(row, "due")?;
    let target: Option<String> = column(row, "target")?;
    let effect = match (kind.as_str(), due, target) {
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
            to: parsed(target)?,
            name: name.into(),
            payload,
        },
        ("publication", _, _) => Effect::Publication(Publication {
            topic: name,
            key: column(row, "key")?,
            headers: pairs(row, "headers")?,
            payload,
        }),
        _ => return Err(foreign("the effect", kind)),
    };
    Ok(EffectRecord { id, effect })
}

pub(crate) fn entity(row: &MySqlRow, name: &str) -> Result<EntityId, JournalError> {
    parsed(text(column(row, name)?)?)
}

fn parsed(name: String) -> Result<EntityId, JournalError> {
    name.parse().map_err(|_| foreign("the entity", name))
}

pub(crate) fn text(stored: Vec<u8>) -> Result<String, JournalError> {
    String::from_utf8(stored).map_err(|error| foreign("the text", error.to_string()))
}

fn pairs(row: &MySqlRow, name: &str) -> Result<Metadata, JournalError> {
    Ok(column::<Pairs>(row, name)?.0)
}

fn payload(row: &MySqlRow, name: &str) -> Result<Bytes, JournalError> {
    Ok(column::<Vec<u8>>(row, name)?.into())
}

fn foreign(what: &'static str, value: String) -> JournalError {
    MysqlError::Foreign { what, value }.into()
}
