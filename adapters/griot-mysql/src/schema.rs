//! The tables and procedures: made where they are missing, brought up to date where they are older.

use std::path::PathBuf;

use griot_journal::JournalError;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, MySqlConnection, Row as _};

use crate::link::{Link, told};
use crate::{MysqlError, MysqlOptions};

/// What brings the schema from one version to the next, beginning with version 1. Each can be repeated.
const VERSIONS: [&str; 1] = [include_str!("../sql/1.sql")];

/// Two programs that start at once bring it up to date one after the other. The lock's name may have 64 characters.
const LOCK: &str = "select get_lock(concat('griot-', sha1(database())), ?)";
const UNLOCK: &str = "select release_lock(concat('griot-', sha1(database())))";

const VERSION_TABLE: &str = "create table if not exists griot_schema (
    version int unsigned primary key, since timestamp not null default current_timestamp)";

/// A commit must be on the disk when it is told: that of the tables, and that of the binary log, if there is one, which
/// says after a crash what the tables keep.
const SETTINGS: &str = "select @@innodb_flush_log_at_trx_commit = 1 as log, @@log_bin = 0 or @@sync_binlog = 1 as binlog,
    cast(@@max_allowed_packet as unsigned) as bytes_max";

/// Makes it, and says how long a message the server takes.
///
/// # Errors
///
/// [`JournalError::NewerVersion`] where a newer griot was here; [`MysqlError::NotDurable`].
pub(crate) async fn prepare(link: &Link, options: &MysqlOptions) -> Result<usize, JournalError> {
    make_database(options).await.map_err(told)?;
    // The lock goes with the connection, also where this is dropped on the way.
    let mut connection = link.connection().await?.detach();
    let patience = options.timeout.as_secs();
    let lock = sqlx::query_scalar::<_, Option<i64>>(LOCK).bind(patience);
    if lock.fetch_one(&mut connection).await.map_err(told)? != Some(1) {
        let after = options.timeout;
        return Err(MysqlError::Silent { after }.into());
    }
    let bytes_max = check_settings(&mut connection).await?;
    bring_up_to_date(&mut connection, options).await?;
    let unlock = sqlx::query(UNLOCK);
    unlock.execute(&mut connection).await.map_err(told)?;
    connection.close().await.map_err(told)?;
    Ok(bytes_max)
}

/// Making a database takes a permission that using one does not.
async fn make_database(options: &MysqlOptions) -> Result<(), sqlx::Error> {
    let mut connection = options.outside().connect().await?;
    let exists = "select 1 from information_schema.schemata where schema_name = ?";
    let exists = sqlx::query(exists).bind(&options.database);
    if exists.fetch_optional(&mut connection).await?.is_none() {
        let quoted = options.database.replace('`', "``");
        let create = format!("create database if not exists `{quoted}` character set utf8mb4");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await?;
    }
    connection.close().await
}

async fn check_settings(connection: &mut MySqlConnection) -> Result<usize, JournalError> {
    let settings = sqlx::raw_sql(SETTINGS).fetch_one(connection).await;
    let settings = settings.map_err(told)?;
    for (column, setting) in [
        ("log", "innodb_flush_log_at_trx_commit"),
        ("binlog", "sync_binlog"),
    ] {
        if settings.try_get::<i64, _>(column).map_err(told)? != 1 {
            return Err(MysqlError::NotDurable { setting }.into());
        }
    }
    let bytes_max: u64 = settings.try_get("bytes_max").map_err(told)?;
    Ok(usize::try_from(bytes_max).unwrap_or(usize::MAX))
}

async fn bring_up_to_date(
    connection: &mut MySqlConnection,
    options: &MysqlOptions,
) -> Result<(), JournalError> {
    let make = sqlx::raw_sql(VERSION_TABLE).execute(&mut *connection);
    make.await.map_err(told)?;
    let version = "select cast(coalesce(max(version), 0) as unsigned) from griot_schema";
    let version = sqlx::query_scalar::<_, u64>(version).fetch_one(&mut *connection);
    let version = u32::try_from(version.await.map_err(told)?).unwrap_or(u32::MAX);
    let supported = u32::try_from(VERSIONS.len()).unwrap_or(u32::MAX);
    if version > supported {
        return Err(JournalError::NewerVersion {
            path: PathBuf::from(format!("the database {}", options.database)),
            found: version,
            supported,
        });
    }
    for (script, number) in VERSIONS
        .into_iter()
        .zip(1_u32..)
        .skip_while(|&(_, number)| number <= version)
    {
        raise(connection, script, number).await.map_err(told)?;
        tracing::info!(
            database = options.database,
            version = number,
            "the journal's schema was brought up to date"
        );
    }
    Ok(())
}

async fn raise(
    connection: &mut MySqlConnection,
    script: &'static str,
    number: u32,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(script).execute(&mut *connection).await?;
    let note = sqlx::query("insert into griot_schema (version) values (?)");
    note.bind(number).execute(connection).await.map(drop)
}
