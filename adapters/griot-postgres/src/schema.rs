//! The tables and functions: made where they are missing, brought up to date where they are older.

use std::path::PathBuf;

use griot_journal::JournalError;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::link::{Link, told};
use crate::{PostgresError, PostgresOptions};

/// What brings the schema from one version to the next, beginning with version 1.
const VERSIONS: [&str; 1] = [include_str!("../sql/1.sql")];

/// Two programs that start at once bring it up to date one after the other: what they lock, "griot" in ASCII.
const LOCK: i64 = 0x67_72_69_6f_74;

/// # Errors
///
/// [`JournalError::NewerVersion`] where a newer griot was here; [`PostgresError::Encoding`].
pub(crate) async fn prepare(link: &Link, options: &PostgresOptions) -> Result<(), JournalError> {
    let schema = options.checked_schema()?;
    let mut connection = link.connection().await?;
    let mut transaction = connection.begin().await.map_err(told)?;
    let found = begin(&mut transaction, schema).await.map_err(told)?;
    let encoding: String = found.try_get("encoding").map_err(told)?;
    if encoding != "UTF8" {
        return Err(PostgresError::Encoding { found: encoding }.into());
    }
    let version: i32 = found.try_get("version").map_err(told)?;
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    let supported = u32::try_from(VERSIONS.len()).unwrap_or(u32::MAX);
    if version > supported {
        return Err(JournalError::NewerVersion {
            path: PathBuf::from(format!("the schema {schema}")),
            found: version,
            supported,
        });
    }
    for (script, number) in VERSIONS
        .into_iter()
        .zip(1_u32..)
        .skip_while(|&(_, number)| number <= version)
    {
        raise(&mut transaction, script, number)
            .await
            .map_err(told)?;
        tracing::info!(
            schema,
            version = number,
            "the journal's schema was brought up to date"
        );
    }
    transaction.commit().await.map_err(told)
}

/// Locks out others, and says what is there.
async fn begin(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<sqlx::postgres::PgRow, sqlx::Error> {
    let lock = sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK);
    lock.execute(&mut *connection).await?;
    // The name was checked: it needs no quotes. Making a schema takes a permission that using one does not.
    let exists = sqlx::query("select from pg_namespace where nspname = $1").bind(schema);
    if exists.fetch_optional(&mut *connection).await?.is_none() {
        let create = AssertSqlSafe(format!("create schema {schema}"));
        sqlx::raw_sql(create).execute(&mut *connection).await?;
    }
    let table = AssertSqlSafe(format!(
        "create table if not exists {schema}.griot_schema (
           version integer primary key, since timestamptz not null default now())"
    ));
    sqlx::raw_sql(table).execute(&mut *connection).await?;
    let found = "select current_setting('server_encoding') as encoding, coalesce(max(version), 0) as version
        from griot_schema";
    sqlx::query(found).fetch_one(connection).await
}

async fn raise(
    connection: &mut PgConnection,
    script: &'static str,
    number: u32,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(script).execute(&mut *connection).await?;
    let note = sqlx::query("insert into griot_schema (version) values ($1)");
    note.bind(i64::from(number))
        .execute(connection)
        .await
        .map(drop)
}
