//! Batches that go to the server together, and what becomes of each.

use griot_core::{Epoch, Offset, Seq};
use griot_journal::adapter::{Fault, Outcome, Store, stored};
use griot_journal::{Answer, AppendError, Batch, JournalError};
use sqlx::postgres::PgRow;

use crate::PostgresError;
use crate::columns::Columns;
use crate::link::Line;
use crate::read::column;

/// The committer's way to the server.
#[derive(Debug)]
pub(crate) struct Appends(pub(crate) Line);

impl Store for Appends {
    async fn append(&mut self, batches: &[&Batch]) -> Result<Vec<Outcome>, Fault> {
        let rows = self.0.ask(Columns::of(batches).call()).await?;
        let row = rows.first().ok_or_else(|| Fault::Unknown(nothing()))?;
        // The function told something else than ours does, after it may have stored the batches.
        outcomes(batches, row).map_err(Fault::Unknown)
    }
}

/// Those before the first that is wrong are stored.
fn outcomes(batches: &[&Batch], row: &PgRow) -> Result<Vec<Outcome>, JournalError> {
    let behind = Offset(unsigned(column(row, "last_offset_before")?));
    let bad: Option<i32> = column(row, "bad_batch")?;
    let bad = bad.and_then(place);
    let before = batches.iter().take(bad.unwrap_or(usize::MAX)).copied();
    let mut outcomes: Vec<Outcome> = stored(before, behind).collect();
    if let Some(bad) = bad {
        let batch = batches.get(bad).ok_or_else(nothing)?;
        outcomes.push(Err(wrong(batch, batches, row)?));
    }
    Ok(outcomes)
}

fn wrong(batch: &Batch, batches: &[&Batch], row: &PgRow) -> Result<AppendError, JournalError> {
    let verdict: &str = column(row, "verdict")?;
    if verdict == "fenced" {
        return Ok(AppendError::Fenced {
            shard: batch.shard.clone(),
            held: batch.epoch,
            current: Epoch(unsigned(column(row, "actual")?)),
        });
    }
    let mut appends = batches.iter().flat_map(|batch| &batch.appends);
    let append = place(column(row, "bad_append")?).and_then(|place| appends.nth(place));
    let append = append.ok_or_else(nothing)?;
    let entity = append.entity.clone();
    Ok(match &append.answer {
        Some(answer) if verdict == "answered" => AppendError::Answered {
            entity,
            answer: Answer {
                key: answer.key.clone(),
                fingerprint: column::<i64>(row, "first_fingerprint")?.cast_unsigned(),
                reply: column::<Vec<u8>>(row, "first_reply")?.into(),
            },
        },
        _ => AppendError::Conflict {
            entity,
            expected: append.expected,
            actual: Seq(unsigned(column(row, "actual")?)),
        },
    })
}

/// Where something stands that is counted from 1.
fn place(number: i32) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

fn nothing() -> JournalError {
    PostgresError::Database(sqlx::Error::RowNotFound).into()
}

/// A number that is never negative where griot wrote it.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
