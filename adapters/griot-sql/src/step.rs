//! A step of migrations on MySQL and MariaDB, where each change of a table commits by itself: how one that was cut off
//! in the middle is taken up.
//!
//! While a step is under way its row in the books says so (`success = FALSE`, of sqlx) and how many tables, columns,
//! parts of indexes and constraints there were before it. Whoever finds the row repeats the statement. It was done before if what it
//! makes (or drops) is there (or gone) already and these numbers have changed; nobody else migrates meanwhile.

use griot_projection::{Fault, ProjectionError};
use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, Error};

use crate::Dialect;
use crate::fault::{fault, number};

type Answer<T> = Result<T, ProjectionError>;

/// What there is in the database.
const COUNTS: &str = "SELECT \
    (SELECT count(*) FROM information_schema.tables WHERE table_schema = database()), \
    (SELECT count(*) FROM information_schema.columns WHERE table_schema = database()), \
    (SELECT count(*) FROM information_schema.statistics WHERE table_schema = database()), \
    (SELECT count(*) FROM information_schema.table_constraints WHERE table_schema = database())";

/// Applies the steps that the books do not have, after the one that was cut off.
pub(crate) async fn apply(migrator: &Migrator, connection: &mut AnyConnection) -> Answer<()> {
    let books = &*migrator.table_name;
    let ready = connection.ensure_migrations_table(books).await;
    ready.map_err(ProjectionError::target)?;
    let begun = connection.dirty_version(books).await;
    if let Some(version) = begun.map_err(ProjectionError::target)? {
        take_up(migrator, version, connection).await?;
    }
    let applied = connection.list_applied_migrations(books).await;
    let applied = applied.map_err(ProjectionError::target)?.len();
    let last = i64::try_from(applied).unwrap_or(i64::MAX);
    // Checks those that were applied, and applies none.
    let checked = migrator.run_direct(Some(last), connection, false).await;
    checked.map_err(ProjectionError::target)?;
    for step in migrator.iter().skip(applied) {
        begin(books, step, connection).await?;
    }
    Ok(())
}

/// Applies a step for the first time.
async fn begin(books: &str, step: &Migration, connection: &mut AnyConnection) -> Answer<()> {
    let marked = Migration {
        description: mark(step.version, connection).await?.into(),
        ..step.clone()
    };
    let applied = connection.apply(books, &marked).await;
    let Err(error) = applied else { return Ok(()) };
    if let MigrateError::ExecuteMigration(cause, _) = &error
        && is_the_statements(cause)
        && is_single(step.sql.as_str())
    {
        // Nothing was done, while of several the first may have been. Where this fails the next one sees that by the
        // numbers.
        let _ = forget(books, step, connection).await;
    }
    Err(ProjectionError::target(error))
}

/// Repeats a step that was cut off.
async fn take_up(migrator: &Migrator, version: i64, connection: &mut AnyConnection) -> Answer<()> {
    let books = &*migrator.table_name;
    let stuck = |why: &str| {
        ProjectionError::target(std::io::Error::other(format!(
            "step {version} stopped in the middle, and {why}: do by hand what is left of it, and then \
             `UPDATE {books} SET success = TRUE WHERE version = {version}`"
        )))
    };
    let rows = connection.list_applied_migrations(books).await;
    let rows = rows.map_err(ProjectionError::target)?;
    let row = rows.iter().find(|row| row.version == version);
    let step = migrator.iter().find(|step| step.version == version);
    let Some((row, step)) = row.zip(step) else {
        return Err(stuck("this program does not have it"));
    };
    if row.checksum != step.checksum {
        return Err(stuck("reads otherwise now"));
    }
    if !is_single(step.sql.as_str()) {
        return Err(stuck("it has several statements"));
    }
    let repeated = sqlx::raw_sql(step.sql.clone()).execute(&mut *connection);
    if let Err(error) = repeated.await {
        let is_passing = !is_the_statements(&error);
        if is_passing {
            return Err(ProjectionError::target(error));
        }
        if !says_that_it_was_done(&error) {
            return Err(stuck(&format!("says at another try: {error}")));
        }
        if is_untouched(books, version, connection).await? {
            // So it is somebody else's that is in the way.
            forget(books, step, connection).await?;
            let error = MigrateError::ExecuteMigration(error, version);
            return Err(ProjectionError::target(error));
        }
    }
    let done = format!("UPDATE {books} SET success = TRUE WHERE version = {version}");
    execute(done, connection).await
}

/// Takes back that a step was begun.
async fn forget(books: &str, step: &Migration, connection: &mut AnyConnection) -> Answer<()> {
    let version = step.version;
    let forgetting = format!("DELETE FROM {books} WHERE version = {version} AND success = FALSE");
    execute(forgetting, connection).await
}

/// What a step's row says before it is done.
async fn mark(version: i64, connection: &mut AnyConnection) -> Answer<String> {
    let counted = sqlx::query_as(COUNTS).fetch_one(connection).await;
    let (tables, columns, parts, constraints): (i64, i64, i64, i64) =
        counted.map_err(ProjectionError::target)?;
    Ok(format!(
        "step {version}, begun at {tables} tables, {columns} columns, {parts} parts of indexes, \
         {constraints} constraints"
    ))
}

/// Whether the database is as it was when the step began.
async fn is_untouched(books: &str, version: i64, connection: &mut AnyConnection) -> Answer<bool> {
    let mark = mark(version, connection).await?;
    let same = format!("SELECT count(*) FROM {books} WHERE version = ? AND description = ?");
    let same = sqlx::query_scalar(AssertSqlSafe(same))
        .bind(version)
        .bind(mark);
    let same: i64 = same
        .fetch_one(connection)
        .await
        .map_err(ProjectionError::target)?;
    Ok(same > 0)
}

/// Executes a statement with nothing but the name of books and a number in it.
async fn execute(statement: String, connection: &mut AnyConnection) -> Answer<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection);
    done.await.map(|_| ()).map_err(ProjectionError::target)
}

/// Whether a statement failed because of what it says and finds, and did nothing.
fn is_the_statements(error: &Error) -> bool {
    matches!(error, Error::Database(_))
        && matches!(fault(Dialect::Mysql, error), Fault::Statement(_))
}

/// A table, a column, an index, a primary key or a constraint that is there already; a table, or a column or index, that
/// is gone already.
/// Source: <https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference>
fn says_that_it_was_done(error: &Error) -> bool {
    let Error::Database(error) = error else {
        return false;
    };
    matches!(
        number(&**error),
        Some(1050 | 1060 | 1061 | 1068 | 1826 | 1051 | 1091)
    )
}

/// Whether it is one statement for sure: a `;` in a text counts, too.
fn is_single(sql: &str) -> bool {
    let is_end = |letter: char| letter == ';' || letter.is_whitespace();
    !sql.trim_end_matches(is_end).contains(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_single_whatever_is_behind_its_end() {
        for single in ["DROP TABLE a", "DROP TABLE a;", "DROP TABLE a ;\r\n\t"] {
            assert!(is_single(single), "{single:?}");
        }
        for several in ["DROP TABLE a; DROP TABLE b", "SELECT ';'"] {
            assert!(!is_single(several), "{several:?}");
        }
    }
}
