//! Batches that go to the server together, and what becomes of each.

use std::sync::Arc;

use griot_core::{Epoch, Offset, Seq};
use griot_journal::adapter::{Fault, Outcome, Store, stored};
use griot_journal::{Answer, AppendError, Batch, JournalError};
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

/// Those before the first that is wrong are stored.
fn outcomes(batches: &[&Batch], row: &MySqlRow) -> Result<Vec<Outcome>, JournalError> {
    let behind = Offset(column(row, "last_offset_before")?);
    let end: u64 = column(row, "end_batch")?;
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    let before = batches.iter().take(end.saturating_sub(1)).copied();
    let mut outcomes: Vec<Outcome> = stored(before, behind).collect();
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
