//! What a message was handled in waits for the disk, whatever else does not.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use griot_projection::Target;
use griot_sql::SqlTransaction;
use rig::{Place, open};

#[tokio::test]
async fn g8_on_sqlite_a_transaction_of_messages_waits_for_the_disk_and_one_of_a_journal_need_not() {
    let place = Place::file();
    let target = open(&place.url).await;
    let level = async |mut begun: SqlTransaction| -> i64 {
        let asked = sqlx::query_scalar("PRAGMA synchronous");
        asked.fetch_one(&mut *begun).await.unwrap()
    };
    let (normal, full) = (1, 2);
    // One after the other has the same connection.
    for _ in 0..3 {
        assert_eq!(level(target.begin_durable().await.unwrap()).await, full);
        assert_eq!(level(target.begin().await.unwrap()).await, normal);
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn g8_on_postgres_a_transaction_of_messages_waits_for_the_disk_where_others_do_not() {
    let Some(url) = rig::postgres() else { return };
    let url = format!(
        "{}&options=-csynchronous_commit=off",
        rig::fresh_schema(&url)
    );
    let target = open(&url).await;
    let waits = async |mut begun: SqlTransaction| -> String {
        let asked = sqlx::query_scalar("SELECT current_setting('synchronous_commit')");
        asked.fetch_one(&mut *begun).await.unwrap()
    };
    assert_eq!(waits(target.begin_durable().await.unwrap()).await, "on");
    assert_eq!(waits(target.begin().await.unwrap()).await, "off");
}
