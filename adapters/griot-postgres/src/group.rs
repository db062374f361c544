//! Batches that go to the server together, and what becomes of each.

use griot_core::{Epoch, Offset, Seq};
use griot_journal::adapter::{Fault, Outcome, Store};
use griot_journal::{Answer, Append, AppendError, Appended, Batch};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::PostgresError;
use crate::columns::Columns;
use crate::link::Line;

/// The committer's way to the server.
#[derive(Debug)]
pub(crate) struct Appends(pub(crate) Line);

impl Store for Appends {
    async fn append(&mut self, batches: &[&Batch]) -> Result<Vec<Outcome>, Fault> {
        let columns = Columns::of(batches.iter().copied());
        let rows = self.0.ask(columns.call()).await?;
        let appends: Vec<&Append> = batches.iter().flat_map(|batch| &batch.appends).collect();
        let outcomes = batches
            .iter()
            .zip(&rows)
            .map(|(batch, row)| outcome(batch, &appends, row));
        let outcomes: Result<Vec<Outcome>, sqlx::Error> = outcomes.collect();
        // The function gave something else than ours does, after it may have stored the batches.
        outcomes.map_err(|error| Fault::Unknown(PostgresError::Database(error).into()))
    }
}

fn outcome(batch: &Batch, appends: &[&Append], row: &PgRow) -> Result<Outcome, sqlx::Error> {
    let Some(verdict) = row.try_get::<Option<&str>, _>("verdict")? else {
        let last_offset = Offset(unsigned(row.try_get("last_offset")?));
        return Ok(Ok(Appended { last_offset }));
    };
    let actual = unsigned(row.try_get("actual")?);
    if verdict == "fenced" {
        return Ok(Err(AppendError::Fenced {
            shard: batch.shard.clone(),
            held: batch.epoch,
            current: Epoch(actual),
        }));
    }
    let number: i32 = row.try_get("append")?;
    let place = usize::try_from(number)
        .ok()
        .and_then(|number| number.checked_sub(1));
    let append = place.and_then(|place| appends.get(place));
    let append = append.ok_or(sqlx::Error::RowNotFound)?;
    let entity = append.entity.clone();
    Ok(Err(match &append.answer {
        Some(answer) if verdict == "answered" => AppendError::Answered {
            entity,
            answer: Answer {
                key: answer.key.clone(),
                fingerprint: row.try_get::<i64, _>("fingerprint")?.cast_unsigned(),
                reply: row.try_get::<Vec<u8>, _>("reply")?.into(),
            },
        },
        _ => AppendError::Conflict {
            entity,
            expected: append.expected,
            actual: Seq(actual),
        },
    }))
}

/// A number that is never negative where griot wrote it.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
