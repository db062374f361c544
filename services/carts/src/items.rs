//! The table of all items: how it is made, kept and read.

use crate::cart::Cart;
use griot::core::{Entity, Timestamp};
use griot::events::{Failure, Json, Key, Router};
use griot::projection::{Projection, ProjectionError, Tx};
use griot::sql::{Migrations, Sql, SqlTarget};
use serde::Deserialize;
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
    let router = Router::new()
        .on_event(Cart::KIND, "ItemAdded", added)
        .on_event(Cart::KIND, "ItemRemoved", removed);
    Projection::new(NAME, 1, router).with_tables(["items"])
}

/// The content of `CartEvent::ItemAdded`.
#[derive(Deserialize)]
struct Added {
    item_id: Ulid,
    name: String,
    created_at: Timestamp,
}

/// The content of `CartEvent::ItemRemoved`.
#[derive(Deserialize)]
struct Removed {
    item_id: Ulid,
}

async fn added(
    mut tx: Tx<SqlTarget>,
    Key(cart): Key<String>,
    Json(added): Json<Added>,
) -> Result<(), Failure> {
    sqlx::query("INSERT INTO items (id, cart, name, created_at) VALUES (?, ?, ?, ?)")
        .bind(added.item_id.to_string())
        .bind(cart)
        // Not every database has it, and none of the API's names does.
        .bind(added.name.replace('\0', "\u{fffd}"))
        .bind(added.created_at.to_string())
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn removed(mut tx: Tx<SqlTarget>, Json(removed): Json<Removed>) -> Result<(), Failure> {
    sqlx::query("DELETE FROM items WHERE id = ?")
        .bind(removed.item_id.to_string())
        .execute(&mut *tx)
        .await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cart::CartEvent;
    use serde_json::Value;

    #[test]
    fn what_the_handlers_read_is_what_a_cart_records() {
        let event = CartEvent::ItemAdded {
            item_id: Ulid::from_parts(7, 7),
            name: "milk".to_owned(),
            created_at: Timestamp::from_micros(0),
        };
        let recorded = serde_json::to_value(&event).unwrap();
        let content: &Value = &recorded["ItemAdded"];
        let read = Added::deserialize(content).unwrap();
        assert_eq!(
            (read.item_id, &*read.name),
            (Ulid::from_parts(7, 7), "milk")
        );
        assert_eq!(read.created_at.to_string(), "1970-01-01T00:00:00.000000Z");
    }
}
