//! The table of all items: how it is made, kept and read.

use crate::cart::{Cart, CartEvent};
use griot::core::Entity;
use griot::events::{Failure, Key, Router};
use griot::projection::{Happened, Poison, Projection, ProjectionError, Tx};
use griot::sql::{Migrations, Sql, SqlTarget};
use sqlx::Row;
use sqlx::any::AnyRow;
use ulid::Ulid;

/// The projection's name. Stored.
const NAME: &str = "carts-items";

/// `created_at` is RFC 3339, in UTC, so that it sorts by time.
const ITEMS: Sql = Sql::new(
    "CREATE TABLE items (id VARCHAR(26) PRIMARY KEY, cart TEXT NOT NULL, name VARCHAR(255) NOT NULL, \
     created_at VARCHAR(40) NOT NULL)",
)
.on_mysql(
    "CREATE TABLE items (id VARCHAR(26) CHARACTER SET ascii PRIMARY KEY, cart VARCHAR(1024) NOT NULL, \
     name VARCHAR(255) NOT NULL, created_at VARCHAR(40) NOT NULL) \
     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
);

/// What makes the table.
pub(crate) fn tables() -> Migrations {
    Migrations::new("carts", [ITEMS])
}

/// What keeps it.
pub(crate) fn projection() -> Projection<SqlTarget> {
    // A cart that this program cannot read is left out, and the others are listed.
    Projection::new(NAME, 1, Router::new().on(Cart::KIND, keep))
        .with_tables(["items"])
        .with_poison(Poison::Park)
}

async fn keep(
    mut tx: Tx<SqlTarget>,
    Key(cart): Key<String>,
    Happened(event): Happened<CartEvent>,
) -> Result<(), Failure> {
    let change = match event {
        CartEvent::ItemAdded {
            item_id,
            name,
            created_at,
        } => sqlx::query("INSERT INTO items (id, cart, name, created_at) VALUES (?, ?, ?, ?)")
            .bind(item_id.to_string())
            .bind(cart)
            // Not every database has it, and none of the API's names does.
            .bind(name.replace('\0', "\u{fffd}"))
            .bind(created_at.to_string()),
        CartEvent::ItemRemoved { item_id } => {
            sqlx::query("DELETE FROM items WHERE id = ?").bind(item_id.to_string())
        }
    };
    change.execute(&mut *tx).await?;
    Ok(())
}

/// A row.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) cart: String,
    pub(crate) name: String,
    pub(crate) created_at: String,
}

/// Some rows, and how many there are in all.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Listed>,
    /// Whether there are more behind them.
    pub(crate) more: bool,
    pub(crate) total: u64,
}

/// Reads up to `limit` items after `after`, in the order in which they were added, all as of one moment.
pub(crate) async fn page(
    target: &SqlTarget,
    after: Option<Ulid>,
    limit: usize,
) -> Result<Page, ProjectionError> {
    let mut reading = target.read().await?;
    let total = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM items");
    let total = total.fetch_one(&mut *reading).await;
    let total = total.map_err(ProjectionError::target)?;
    let after = after.map(|after| after.to_string()).unwrap_or_default();
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = sqlx::query(
        "SELECT id, cart, name, created_at FROM items WHERE id > ? ORDER BY id LIMIT ?",
    )
    .bind(after)
    .bind(one_more)
    .fetch_all(&mut *reading)
    .await;
    let rows = rows.map_err(ProjectionError::target)?;
    let listed = rows.iter().take(limit).map(listed);
    Ok(Page {
        items: listed
            .collect::<Result<_, _>>()
            .map_err(ProjectionError::target)?,
        more: rows.len() > limit,
        total: u64::try_from(total).unwrap_or(0),
    })
}

fn listed(row: &AnyRow) -> Result<Listed, sqlx::Error> {
    Ok(Listed {
        id: row.try_get("id")?,
        cart: row.try_get("cart")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
    })
}
