//! Batches that go to the server together, and what becomes of each.

use std::collections::HashSet;

use griot_core::{Epoch, Offset, Seq};
use griot_journal::{Answer, Append, AppendError, Appended, Batch, JournalError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::PostgresError;
use crate::columns::Columns;
use crate::link::{Fault, Line};

/// What one batch came to.
pub(crate) type Outcome = Result<Appended, AppendError>;

/// About how many bytes a batch takes on its way.
pub(crate) fn size(batch: &Batch) -> usize {
    /// Numbers, lengths and times beside the texts.
    const REST: usize = 64;
    let pairs = |pairs: &[(String, String)]| -> usize {
        pairs
            .iter()
            .map(|(name, value)| name.len() + value.len() + REST)
            .sum()
    };
    let size = |append: &Append| -> usize {
        let events = append.events.iter().map(|event| {
            let tags: usize = event.tags.iter().map(|tag| tag.len() + REST).sum();
            event.name.len() + event.payload.len() + tags + REST
        });
        let effects = append.effects.iter().map(|record| match &record.effect {
            griot_core::Effect::Call { payload, .. }
            | griot_core::Effect::Timer { payload, .. }
            | griot_core::Effect::Message { payload, .. } => payload.len() + REST,
            griot_core::Effect::Publication(publication) => {
                publication.payload.len() + pairs(&publication.headers) + REST
            }
            _ => REST,
        });
        let answer = append
            .answer
            .as_ref()
            .map_or(0, |answer| answer.key.len() + answer.reply.len());
        let settled = append.settled.len() * REST;
        events.sum::<usize>()
            + effects.sum::<usize>()
            + answer
            + settled
            + pairs(&append.metadata)
            + REST
    };
    batch.appends.iter().map(size).sum()
}

/// What can be said against a batch without asking anybody.
pub(crate) fn check(batch: &Batch) -> Result<(), JournalError> {
    let mut keys = HashSet::new();
    for append in &batch.appends {
        let Some(answer) = &append.answer else {
            continue;
        };
        if !keys.insert((append.entity.as_str(), answer.key.as_str())) {
            let key = answer.key.clone();
            return Err(PostgresError::RepeatedKey { key }.into());
        }
    }
    Ok(())
}

/// Appends batches in one round trip and one transaction. Where the server refuses them all for a reason that is
/// not in its answer, they are tried one by one, so that one of them does not cost the others.
pub(crate) async fn append(line: &mut Line, batches: &[&Batch]) -> Vec<Outcome> {
    match append_together(line, batches).await {
        Ok(outcomes) => outcomes,
        Err(Fault::Refused(error)) if batches.len() > 1 => {
            tracing::warn!(%error, batches = batches.len(), "a group of batches was refused: they are tried one by one");
            append_one_by_one(line, batches).await
        }
        Err(fault) => {
            let error = AppendError::from(fault);
            batches.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

async fn append_one_by_one(line: &mut Line, batches: &[&Batch]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(batches.len());
    for batch in batches {
        let outcome = if let Some(Err(AppendError::Unknown(_))) = outcomes.last() {
            // What comes behind an unknown outcome must not become durable before it.
            Err(Fault::Unknown(JournalError::from(
                PostgresError::Overtaking {
                    shard: batch.shard.clone(),
                },
            )))
        } else {
            append_together(line, &[batch]).await
        };
        outcomes.push(outcome.map_or_else(|fault| Err(fault.into()), only));
    }
    outcomes
}

fn only(outcomes: Vec<Outcome>) -> Outcome {
    let outcome = outcomes.into_iter().next();
    outcome.unwrap_or_else(|| Err(AppendError::Unknown(JournalError::Closed)))
}

async fn append_together(line: &mut Line, batches: &[&Batch]) -> Result<Vec<Outcome>, Fault> {
    let columns = Columns::of(batches.iter().copied());
    let rows = line.ask(columns.call()).await?;
    let appends: Vec<&Append> = batches.iter().flat_map(|batch| &batch.appends).collect();
    let outcomes = batches
        .iter()
        .zip(&rows)
        .map(|(batch, row)| outcome(batch, &appends, row));
    let outcomes: Result<Vec<Outcome>, sqlx::Error> = outcomes.collect();
    // The function gave something else than ours does, after it may have stored the batches.
    outcomes.map_err(|error| Fault::Unknown(PostgresError::Database(error).into()))
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
