//! Batches that go to the server together, and what becomes of each.

use std::collections::HashSet;
use std::sync::Arc;

use griot_core::{Epoch, Offset, Seq};
use griot_journal::adapter::{Fault, Outcome, Store};
use griot_journal::{Answer, Append, AppendError, Appended, Batch, JournalError};
use sqlx::mysql::MySqlRow;

use crate::MysqlError;
use crate::link::Line;
use crate::read::column;
use crate::wire::Wire;

/// The committer's way to the server.
#[derive(Debug)]
pub(crate) struct Appends {
    pub(crate) line: Line,
    /// The longest message that the server takes.
    pub(crate) bytes_max: usize,
}

impl Store for Appends {
    async fn append(&mut self, batches: &[&Batch]) -> Result<Vec<Outcome>, Fault> {
        let batches = apart(batches);
        let wire = Wire::of(batches).map_err(unwritten)?;
        let (call, bytes) = wire.call().map_err(unwritten)?;
        if bytes > self.bytes_max {
            let (what, limit) = ("what goes to the server", self.bytes_max);
            return Err(Fault::Refused(JournalError::TooLarge {
                what,
                bytes,
                limit,
            }));
        }
        let rows = self.line.ask(call).await?;
        let none = || Fault::Unknown(MysqlError::Database(sqlx::Error::RowNotFound).into());
        let row = rows.first().ok_or_else(none)?;
        // The procedure told something else than ours does, after it may have stored the batches.
        outcomes(batches, row).map_err(Fault::Unknown)
    }
}

/// The batches at the front that do not repeat a key of each other: whether a key is known is looked up in what was
/// stored before.
fn apart<'b, 'a>(batches: &'b [&'a Batch]) -> &'b [&'a Batch] {
    let mut keys = HashSet::new();
    let is_new = |append: &'a Append| {
        let key = append.answer.as_ref().map(|answer| answer.key.as_str());
        key.is_none_or(|key| keys.insert((append.entity.as_str(), key)))
    };
    let mut is_new = is_new;
    let repeats = |batch: &&'a Batch| !batch.appends.iter().all(&mut is_new);
    let end = batches.iter().position(repeats);
    end.and_then(|end| batches.get(..end)).unwrap_or(batches)
}

/// Those before the first that is wrong are stored.
fn outcomes(batches: &[&Batch], row: &MySqlRow) -> Result<Vec<Outcome>, JournalError> {
    let mut offset: u64 = column(row, "last_offset_before")?;
    let end: u64 = column(row, "end_batch")?;
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    let stored = batches.iter().take(end.saturating_sub(1));
    let mut outcomes: Vec<Outcome> = stored
        .map(|batch| {
            let events: usize = batch.appends.iter().map(|append| append.events.len()).sum();
            offset = offset.saturating_add(u64::try_from(events).unwrap_or(u64::MAX));
            let last_offset = Offset(offset);
            Ok(Appended { last_offset })
        })
        .collect();
    if let Some(verdict) = column::<Option<String>>(row, "verdict")? {
        outcomes.push(Err(wrong(batches, row, &verdict)?));
    }
    Ok(outcomes)
}

fn wrong(batches: &[&Batch], row: &MySqlRow, verdict: &str) -> Result<AppendError, JournalError> {
    let mut appends = batches
        .iter()
        .flat_map(|batch| batch.appends.iter().map(move |append| (batch, append)));
    let number: u64 = column(row, "bad_append")?;
    let place = usize::try_from(number).ok();
    let place = place.and_then(|number| number.checked_sub(1));
    let (batch, append) = place
        .and_then(|place| appends.nth(place))
        .ok_or(MysqlError::Database(sqlx::Error::RowNotFound))?;
    let entity = append.entity.clone();
    Ok(match (verdict, &append.answer) {
        ("fenced", _) => AppendError::Fenced {
            shard: batch.shard.clone(),
            held: batch.epoch,
            current: Epoch(column(row, "actual_epoch")?),
        },
        ("answered", Some(answer)) => AppendError::Answered {
            entity,
            answer: Answer {
                key: answer.key.clone(),
                fingerprint: column(row, "first_fingerprint")?,
                reply: column::<Vec<u8>>(row, "first_reply")?.into(),
            },
        },
        _ => AppendError::Conflict {
            entity,
            expected: append.expected,
            actual: Seq(column(row, "actual_seq")?),
        },
    })
}

fn unwritten(error: serde_json::Error) -> Fault {
    Fault::Refused(JournalError::Store(Arc::new(error)))
}
