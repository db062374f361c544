//! Rebuilds: another place beside the first, which is seen from there to compare and to swap.
//!
//! A file of its own on SQLite, which has one writer for each file; a schema on PostgreSQL, a database on
//! MySQL. A rebuild holds up no live write.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use griot_projection::{Comparison, ProjectionError, RebuildTarget};
use sqlx::{AssertSqlSafe, SqlStr};

use crate::connection::Places;
use crate::fault::passes_by_itself;
use crate::place::{Kind, Place, bounds};
use crate::rows::number;
use crate::target::{begin_to_write, run};
use crate::{Dialect, SqlTarget, SqlTransaction};

type Answer<T> = Result<T, ProjectionError>;

impl RebuildTarget for SqlTarget {
    async fn beside(&self, projection: &str) -> Answer<Self> {
        let place = self.place.beside(projection, &self.name().await?);
        match self.open_beside(&place).await {
            // One that was left half made or half thrown away; not one that cannot be reached now.
            Err(error @ ProjectionError::Target(_)) if !passes_by_itself(&error) => {
                self.throw_away(&place).await?;
                self.open_beside(&place).await
            }
            opened => opened,
        }
    }

    async fn begin_with(&self, beside: &Self) -> Answer<SqlTransaction> {
        let dialect = self.dialect();
        let (places, setup) = match &beside.place.kind {
            Kind::Sqlite { path } => {
                let path = path.to_string_lossy().replace('\'', "''");
                let places = Places {
                    live: "main".to_owned(),
                    beside: "beside".to_owned(),
                };
                (places, vec![format!("ATTACH DATABASE '{path}' AS beside")])
            }
            Kind::Postgres { .. } | Kind::Mysql { .. } => {
                let places = Places {
                    live: dialect.quoted(&self.name().await?),
                    beside: dialect.quoted(&beside.name().await?),
                };
                // What refers to a row of another table does so again when all are there.
                let unchecked = (dialect == Dialect::Mysql)
                    .then(|| "SET SESSION foreign_key_checks = 0".to_owned());
                // Comparing and swapping take what they take.
                let mut setup = bounds(dialect, Duration::ZERO);
                setup.extend(unchecked);
                (places, setup)
            }
        };
        let pool = self.place.connect(1, setup).await?;
        let begun = pool.begin_with(SqlStr::from_static(match dialect {
            // Not the right to write the other file, to which the rebuild goes on to write.
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres | Dialect::Mysql => begin_to_write(dialect),
        }));
        let begun = begun.await.map_err(ProjectionError::target)?;
        let mut transaction = SqlTransaction::new(begun, dialect, None);
        if dialect == Dialect::Sqlite {
            // Takes the right to write this file, and neither that nor a snapshot of the other.
            let lock = "UPDATE main.griot_projections SET epoch = epoch WHERE FALSE";
            execute(&mut transaction, lock.to_owned()).await?;
        }
        transaction.places = Some(places);
        Ok(transaction)
    }

    async fn compare(
        &self,
        transaction: &mut SqlTransaction,
        tables: &[String],
    ) -> Answer<Vec<Comparison>> {
        let mut all = Vec::new();
        for table in tables {
            let (live, rebuilt) = both(transaction, table)?;
            let only = |one: &str, other: &str| {
                format!(
                    "(SELECT count(*) FROM \
                     (SELECT * FROM {one} EXCEPT SELECT * FROM {other}) AS differing)"
                )
            };
            let sql = format!(
                "SELECT (SELECT count(*) FROM {live}) AS live, \
                 (SELECT count(*) FROM {rebuilt}) AS rebuilt, \
                 {} AS only_live, {} AS only_rebuilt",
                only(&live, &rebuilt),
                only(&rebuilt, &live),
            );
            // Every name in it is quoted.
            let counting = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut **transaction);
            let counts = counting.await.map_err(ProjectionError::target)?;
            all.push(Comparison {
                table: table.clone(),
                live: number(&counts, "live")?,
                rebuilt: number(&counts, "rebuilt")?,
                only_live: number(&counts, "only_live")?,
                only_rebuilt: number(&counts, "only_rebuilt")?,
            });
        }
        Ok(all)
    }

    async fn replace(&self, transaction: &mut SqlTransaction, tables: &[String]) -> Answer<()> {
        // What refers to a row of another table is checked when all are there.
        let mut steps = match self.dialect() {
            Dialect::Sqlite => vec!["PRAGMA defer_foreign_keys = ON".to_owned()],
            Dialect::Postgres => vec!["SET CONSTRAINTS ALL DEFERRED".to_owned()],
            Dialect::Mysql => Vec::new(),
        };
        for table in tables {
            steps.push(format!("DELETE FROM {}", both(transaction, table)?.0));
        }
        for table in tables {
            let (live, rebuilt) = both(transaction, table)?;
            steps.push(format!("INSERT INTO {live} SELECT * FROM {rebuilt}"));
        }
        for step in steps {
            execute(transaction, step).await?;
        }
        Ok(())
    }

    async fn discard(&self, beside: Self) -> Answer<()> {
        beside.pool.close().await;
        self.throw_away(&beside.place).await
    }
}

impl SqlTarget {
    async fn open_beside(&self, place: &Place) -> Answer<Self> {
        if let Kind::Mysql { database, .. } = &place.kind {
            let database = Dialect::Mysql.quoted(database);
            let making = format!("CREATE DATABASE IF NOT EXISTS {database}");
            run(&self.pool, making).await?;
        }
        Self::open_at(place.clone(), self.migrations.clone()).await
    }

    async fn throw_away(&self, place: &Place) -> Answer<()> {
        match &place.kind {
            Kind::Sqlite { path } => remove(path),
            Kind::Postgres { schema, .. } => {
                let schema = Dialect::Postgres.quoted(schema.as_deref().unwrap_or_default());
                let dropping = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
                run(&self.pool, dropping).await
            }
            Kind::Mysql { database, .. } => {
                let database = Dialect::Mysql.quoted(database);
                // One after the other, and may stop half-way: first what says that the others are there.
                let theirs = self.migrations.books();
                for table in [theirs.as_str(), "griot_migrations", "griot_projections"] {
                    let table = Dialect::Mysql.quoted(table);
                    let dropping = format!("DROP TABLE IF EXISTS {database}.{table}");
                    run(&self.pool, dropping).await?;
                }
                run(&self.pool, format!("DROP DATABASE IF EXISTS {database}")).await
            }
        }
    }

    /// The schema or database that the tables are in.
    async fn name(&self) -> Answer<String> {
        match &self.place.kind {
            Kind::Sqlite { .. } => Ok(String::new()),
            Kind::Mysql { database, .. } => Ok(database.clone()),
            Kind::Postgres {
                schema: Some(schema),
                ..
            } => Ok(schema.clone()),
            Kind::Postgres { schema: None, .. } => {
                let asking = sqlx::query_scalar("SELECT current_schema()::text");
                let name = asking.fetch_one(&self.pool).await;
                name.map_err(ProjectionError::target)
            }
        }
    }
}

/// The live table, and the one beside it.
fn both(transaction: &SqlTransaction, table: &str) -> Answer<(String, String)> {
    let Some(places) = &transaction.places else {
        return Err(ProjectionError::Refused {
            what: "a comparison or a swap in such a transaction",
            reason: "begin it with `begin_with`",
        });
    };
    let name = transaction.dialect().quoted(table);
    Ok((
        format!("{}.{name}", places.live),
        format!("{}.{name}", places.beside),
    ))
}

/// Executes a statement in which every name is quoted.
async fn execute(transaction: &mut SqlTransaction, statement: String) -> Answer<()> {
    let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut **transaction);
    done.await.map(|_| ()).map_err(ProjectionError::target)
}

fn remove(path: &Path) -> Answer<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(ProjectionError::target(error));
            }
            _ => {}
        }
    }
    Ok(())
}
