//! What the benchmarks of projections share: a journal of carts, a table of their items, and places for it.
#![allow(dead_code, reason = "each bench uses some of it")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use griot_core::{EntityId, Seq, Timestamp};
use griot_events::{Failure, Json, Key, Router};
use griot_journal::{Append, Batch, EmbeddedLog, EventRecord, Journal, Options, ShardId};
use griot_projection::{Scope, Tx};
use griot_sql::{Migrations, SqlTarget};
use serde::Deserialize;
use sqlx::{Any, QueryBuilder};

/// As in the program `griot`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many carts there are.
pub(crate) const ENTITIES: u64 = 1_000;

const TABLE: &str =
    "CREATE TABLE items (cart TEXT NOT NULL, name TEXT NOT NULL, price BIGINT NOT NULL)";
const BATCH: griot_events::Batch = griot_events::Batch {
    events_max: 1_000,
    wait_max: Duration::ZERO,
};

/// What happens to carts.
#[derive(Deserialize)]
pub(crate) struct Added {
    pub(crate) name: String,
    pub(crate) price: i64,
}

/// One row for each event, all of a batch in one statement.
async fn add_many(
    mut tx: Tx<SqlTarget>,
    carts: Vec<Key<String>>,
    added: Vec<Json<Added>>,
) -> Result<(), Failure> {
    let mut insert = QueryBuilder::<Any>::new("INSERT INTO items (cart, name, price) ");
    let rows = carts.into_iter().zip(added);
    insert.push_values(rows, |mut row, (Key(cart), Json(added))| {
        row.push_bind(cart);
        row.push_bind(added.name);
        row.push_bind(added.price);
    });
    insert.build().execute(&mut *tx).await?;
    Ok(())
}

/// Adds the items in batches.
pub(crate) fn many() -> Router<Scope<SqlTarget>> {
    Router::new().on_batch("cart", BATCH, add_many)
}

/// What makes the table.
pub(crate) fn tables() -> Migrations {
    Migrations::new("bench", [TABLE])
}

/// One of them.
pub(crate) fn cart(number: u64) -> EntityId {
    EntityId::new("cart", &format!("cart-{number}")).unwrap()
}

/// A journal of so many events of as many carts as there are.
pub(crate) async fn fill(directory: &Path, events: u64) -> Arc<dyn Journal> {
    let journal = EmbeddedLog::open(directory, Options::default()).unwrap();
    let shard = ShardId {
        kind: "cart".into(),
        number: 0,
    };
    let epoch = journal.claim(&shard).await.unwrap();
    let each = events / ENTITIES;
    for round in 0..each {
        let append = |number: u64| {
            Append {
            expected: Seq(round),
            at: Timestamp::from_micros(1_700_000_000_000_000),
            events: vec![EventRecord {
                name: "ItemAdded".into(),
                version: 1,
                tags: Vec::new(),
                payload: format!(
                    r#"{{"name":"a thing that somebody put into a cart, number {round}","price":{number}}}"#
                )
                .into(),
            }],
            entity: cart(number),
            effects: Vec::new(),
            settled: Vec::new(),
            answer: None,
            metadata: Vec::new(),
        }
        };
        let batch = Batch {
            shard: shard.clone(),
            epoch,
            appends: (0..ENTITIES).map(append).collect(),
        };
        journal.append(Arc::new(batch)).await.unwrap();
    }
    Arc::new(journal)
}

/// A place that is not there yet, where there is such a database.
pub(crate) fn place(database: &str, directory: &Path) -> Option<String> {
    let name = format!("bench_{}", uuid::Uuid::now_v7().simple());
    match database {
        "sqlite" => Some(directory.join(name).display().to_string()),
        "postgres" => {
            let url = std::env::var("GRIOT_TEST_POSTGRES").ok()?;
            Some(format!("{url}?schema={name}"))
        }
        _ => std::env::var("GRIOT_TEST_MYSQL").ok(),
    }
}

/// Empties what has no place of its own for each round.
pub(crate) async fn empty(database: &str, url: &str) {
    if database == "mysql" {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(url).await.unwrap();
        for table in ["items", "griot_projections", "griot_migrations_bench"] {
            let drop = format!("DROP TABLE IF EXISTS {table}");
            let drop = sqlx::raw_sql(sqlx::AssertSqlSafe(drop));
            drop.execute(&pool).await.unwrap();
        }
        let books = "DROP TABLE IF EXISTS griot_migrations, griot_parked";
        sqlx::raw_sql(books).execute(&pool).await.unwrap();
    }
}
