//! The inbox: which messages of topics were handled.

use std::collections::HashSet;

use griot_core::Timestamp;
use griot_projection::{Mark, ProjectionError};
use sqlx::{Any, QueryBuilder};

use crate::rows::get;
use crate::{Dialect, Sql, SqlConnection};

type Answer<T> = Result<T, ProjectionError>;

/// Messages in one statement: with four values each, within what every database takes.
const AT_ONCE: usize = 1_000;

const FORGET: Sql = Sql::new(
    "DELETE FROM griot_inbox WHERE (projection, topic, message) IN (SELECT projection, topic, message \
     FROM griot_inbox WHERE projection = ? AND handled_at < ? ORDER BY handled_at LIMIT ?)",
)
.on_mysql(
    "DELETE FROM griot_inbox WHERE projection = ? AND handled_at < ? ORDER BY handled_at LIMIT ?",
);

/// Remembers the messages; gives those that were there.
pub(crate) async fn remember(
    connection: &mut SqlConnection,
    projection: &str,
    marks: &[Mark],
    at: Timestamp,
) -> Answer<HashSet<Mark>> {
    let mut known = HashSet::new();
    for marks in marks.chunk_by(|one, other| one.topic == other.topic) {
        for marks in marks.chunks(AT_ONCE) {
            known.extend(find(connection, projection, marks).await?);
        }
    }
    let new: Vec<&Mark> = marks.iter().filter(|mark| !known.contains(mark)).collect();
    for marks in new.chunks(AT_ONCE) {
        let insert = "INSERT INTO griot_inbox (projection, topic, message, handled_at) ";
        let mut insert = QueryBuilder::<Any>::new(insert);
        insert.push_values(marks, |mut row, mark| {
            row.push_bind(projection).push_bind(&*mark.topic);
            row.push_bind(&*mark.message).push_bind(at.as_micros());
        });
        // Not kept prepared: there are as many texts as sizes of batches.
        let inserted = insert
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await;
        inserted.map_err(ProjectionError::target)?;
    }
    Ok(known)
}

/// Which of the messages, all of one topic, are there.
async fn find(
    connection: &mut SqlConnection,
    projection: &str,
    marks: &[Mark],
) -> Answer<Vec<Mark>> {
    let Some(Mark { topic, .. }) = marks.first() else {
        return Ok(Vec::new());
    };
    let select = match connection.dialect() {
        Dialect::Mysql => "SELECT CONVERT(message USING utf8mb4) AS message",
        Dialect::Sqlite | Dialect::Postgres => "SELECT message",
    };
    let mut select = QueryBuilder::<Any>::new(select);
    select.push(" FROM griot_inbox WHERE projection = ");
    select.push_bind(projection).push(" AND topic = ");
    select.push_bind(&**topic).push(" AND message IN (");
    let mut ids = select.separated(", ");
    for mark in marks {
        ids.push_bind(&*mark.message);
    }
    select.push(")");
    let found = select.build().persistent(false).fetch_all(connection).await;
    let found = found.map_err(ProjectionError::target)?;
    let mark = |row| {
        Ok(Mark {
            topic: topic.clone(),
            message: get(row, "message")?,
        })
    };
    found.iter().map(mark).collect()
}

/// Forgets some of those that are older.
pub(crate) async fn forget(
    connection: &mut SqlConnection,
    projection: &str,
    before: Timestamp,
    max: u32,
) -> Answer<u64> {
    let forgotten = sqlx::query(FORGET.text(connection.dialect()))
        .bind(projection)
        .bind(before.as_micros())
        .bind(i64::from(max))
        .execute(connection)
        .await;
    let forgotten = forgotten.map_err(ProjectionError::target)?;
    Ok(forgotten.rows_affected())
}
