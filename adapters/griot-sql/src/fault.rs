//! Whose fault an error is: the database's, which passes, or the statement's.

use griot_journal::JournalError;
use griot_projection::{Cause, Fault, ProjectionError};
use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use crate::Dialect;

/// What an error of a statement means for the event that it was made for.
pub(crate) fn fault(dialect: Dialect, error: &Error) -> Fault {
    let text = format!("a statement failed: {error}");
    let is_the_databases = match error {
        Error::Database(error) => match dialect {
            Dialect::Sqlite => passes_in_sqlite(&**error),
            Dialect::Postgres => passes_in_postgres(&**error),
            Dialect::Mysql => passes_in_mysql(&**error),
        },
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => true,
        _ => false,
    };
    if is_the_databases {
        Fault::Database(ProjectionError::target(std::io::Error::other(text)))
    } else {
        Fault::Statement(text)
    }
}

/// Whether an error says nothing of who asks, or of the tables: the way to the database, the database itself or the journal
/// failed for now, also in the middle of a migration, and it passes without anybody changing what was asked. Tables that
/// are half made or damaged are not such a one, nor a file that cannot be opened.
pub fn passes_by_itself(error: &ProjectionError) -> bool {
    let cause = match error {
        ProjectionError::Target(cause) => cause,
        ProjectionError::Journal(error) => {
            return matches!(
                error,
                JournalError::Unreachable(_) | JournalError::Busy { .. }
            );
        }
        _ => return false,
    };
    of_the_database(cause).is_some_and(|error| {
        let dialect = dialect(error);
        let is_unusable = dialect == Dialect::Sqlite
            && matches!(error, Error::Database(error) if is_unusable_in_sqlite(&**error));
        !is_unusable && matches!(fault(dialect, error), Fault::Database(_))
    })
}

/// Whose error it is; any, where it is no database's.
fn dialect(error: &Error) -> Dialect {
    let Error::Database(error) = error else {
        return Dialect::Sqlite;
    };
    #[cfg(feature = "postgres")]
    if error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        return Dialect::Postgres;
    }
    if number(&**error).is_some() {
        return Dialect::Mysql;
    }
    Dialect::Sqlite
}

/// What sqlx said, by itself or in the middle of a migration.
fn of_the_database(cause: &Cause) -> Option<&Error> {
    let of_a_step = || match cause.downcast_ref::<MigrateError>()? {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Some(error),
        _ => None,
    };
    cause.downcast_ref::<Error>().or_else(of_a_step)
}

/// Damaged, no database, or at a path where none can be opened.
fn is_unusable_in_sqlite(error: &dyn DatabaseError) -> bool {
    matches!(primary_in_sqlite(error), Some(11 | 14 | 26))
}

fn primary_in_sqlite(error: &dyn DatabaseError) -> Option<u32> {
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.map(|code| code & 0xff)
}

/// By the first byte of the result code: busy, locked, out of memory, read-only, interrupted, an error of
/// input or output, damaged, full, cannot open, the locking protocol, no database.
/// Source: <https://www.sqlite.org/rescode.html>
fn passes_in_sqlite(error: &dyn DatabaseError) -> bool {
    matches!(primary_in_sqlite(error), Some(5..=11 | 13..=15 | 26))
}

/// By the class of the code: no connection, rolled back (a deadlock, not serializable), insufficient
/// resources, an operator intervenes, the system around, an internal error; a lock that cannot be had, and
/// a server that only reads, as it does after a failover, or that waited too long for a statement.
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn passes_in_postgres(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    let passes = [
        "08", "40", "53", "55P03", "57", "58", "XX", "25006", "25P03",
    ];
    passes.iter().any(|class| code.starts_with(class))
}

/// By the state where that says it: no connection, rolled back; otherwise by the number.
/// Source: <https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference>
fn passes_in_mysql(error: &dyn DatabaseError) -> bool {
    let state = error.code().unwrap_or_default();
    state.starts_with("08") || state.starts_with("40") || number(error).is_some_and(passes)
}

/// A disk that is full, no memory, too many connections, the server goes down, a lock that was waited for in
/// vain, interrupted, read-only, killed, lost.
fn passes(number: u16) -> bool {
    matches!(
        number,
        1021 | 1028
            | 1030
            | 1037
            | 1038
            | 1040
            | 1041
            | 1053
            | 1114
            | 1180
            | 1203
            | 1205
            | 1213
            | 1226
            | 1290
            | 1317
            | 1792
            | 1836
            | 1927
            | 1969
            | 2006
            | 2013
            | 3024
    )
}

#[cfg(feature = "mysql")]
pub(crate) fn number(error: &dyn DatabaseError) -> Option<u16> {
    let error = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    error.map(sqlx::mysql::MySqlDatabaseError::number)
}

#[cfg(not(feature = "mysql"))]
pub(crate) fn number(_: &dyn DatabaseError) -> Option<u16> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_wherever_it_comes() {
        let lost = || Error::Io(std::io::Error::other("reset"));
        let step = MigrateError::ExecuteMigration(lost(), 2);
        assert!(passes_by_itself(&ProjectionError::target(step)));
        assert!(passes_by_itself(&ProjectionError::target(lost())));
        let journal = JournalError::Unreachable(std::sync::Arc::new(lost()));
        assert!(passes_by_itself(&journal.into()));
        assert!(!passes_by_itself(&JournalError::Closed.into()));
        let refused = MigrateError::VersionMismatch(1);
        assert!(!passes_by_itself(&ProjectionError::target(refused)));
    }

    #[test]
    fn what_is_half_made_does_not_pass_by_itself_and_an_outage_does() {
        let passes = |error| passes_by_itself(&error);
        let lost = || Error::Io(std::io::Error::other("reset"));
        assert!(passes(ProjectionError::target(lost())));
        assert!(passes(ProjectionError::target(Error::PoolTimedOut)));
        let step = MigrateError::ExecuteMigration(lost(), 2);
        assert!(passes(ProjectionError::target(step)));
        assert!(!passes(ProjectionError::target(MigrateError::Dirty(2))));
        let damaged = Error::RowNotFound;
        assert!(!passes(ProjectionError::target(damaged)));
    }
}
