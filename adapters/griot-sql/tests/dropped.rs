//! Whoever gives up a transaction that begins leaves nothing behind for the next.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use rig::{Place, open};
#[cfg(feature = "mysql")]
use rig::{fresh_database, mysql};
#[cfg(feature = "postgres")]
use rig::{fresh_schema, postgres};

/// Moments at which it is dropped, one a little later than the other.
const MOMENTS: usize = 150;

async fn a_transaction_whose_beginning_is_dropped_is_rolled_back(url: &str) {
    let target = open(url).await;
    for moment in 0..MOMENTS {
        let a_while = async {
            for _ in 0..moment * 10 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            begun = target.read() => drop(begun.unwrap()),
            () = a_while => {}
        }
        drop(target.read().await.unwrap());
    }
}

#[tokio::test]
async fn a_transaction_whose_beginning_is_dropped_is_rolled_back_on_sqlite() {
    let place = Place::file();
    a_transaction_whose_beginning_is_dropped_is_rolled_back(&place.url).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_transaction_whose_beginning_is_dropped_is_rolled_back_on_postgres() {
    if let Some(url) = postgres() {
        a_transaction_whose_beginning_is_dropped_is_rolled_back(&fresh_schema(&url)).await;
    }
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_transaction_whose_beginning_is_dropped_is_rolled_back_on_mysql() {
    if let Some(url) = mysql() {
        a_transaction_whose_beginning_is_dropped_is_rolled_back(&fresh_database(&url)).await;
    }
}
