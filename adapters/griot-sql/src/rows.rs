//! Rows of griot's own tables, as values.

use griot_core::{Epoch, Offset, Seq};
use griot_projection::{Asked, Parked, ProjectionError, Standing, State};
use sqlx::any::AnyRow;
use sqlx::{Any, Row};

type Answer<T> = Result<T, ProjectionError>;

/// The state's word and the reason for it.
pub(crate) fn words(state: &State) -> (&'static str, Option<&str>) {
    match state {
        State::Running => ("running", None),
        State::Paused => ("paused", None),
        State::Failed { reason } => ("failed", Some(reason)),
    }
}

pub(crate) fn standing(row: &AnyRow) -> Answer<Standing> {
    let state: String = get(row, "state")?;
    Ok(Standing {
        version: number(row, "version")?,
        slices: number(row, "slices")?,
        epoch: Epoch(number(row, "epoch")?),
        offset: Offset(number(row, "journal_offset")?),
        events: number(row, "events")?,
        state: match state.as_str() {
            "paused" => State::Paused,
            "failed" => State::Failed {
                reason: get::<Option<String>>(row, "reason")?.unwrap_or_default(),
            },
            _ => State::Running,
        },
    })
}

pub(crate) fn parked(row: &AnyRow) -> Answer<Parked> {
    let entity: String = get(row, "entity")?;
    Ok(Parked {
        entity: entity.parse().map_err(ProjectionError::target)?,
        seq: Seq(number(row, "seq")?),
        reason: get(row, "reason")?,
        asked: match get::<i64>(row, "retry")? {
            0 => Asked::No,
            _ => Asked::Retry,
        },
    })
}

/// As databases have it, whose integers have a sign. No journal comes so far.
pub(crate) fn signed(number: u64) -> Answer<i64> {
    i64::try_from(number).map_err(ProjectionError::target)
}

pub(crate) fn number<N: TryFrom<i64>>(row: &AnyRow, column: &str) -> Answer<N>
where
    N::Error: std::error::Error + Send + Sync + 'static,
{
    N::try_from(get::<i64>(row, column)?).map_err(ProjectionError::target)
}

pub(crate) fn get<'r, V>(row: &'r AnyRow, column: &str) -> Answer<V>
where
    V: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    row.try_get(column).map_err(ProjectionError::target)
}
