//! What a database can do to a journal that many processes share, and what people read in it.

#[path = "rig/server.rs"]
#[macro_use]
mod rig;

use std::pin::pin;
use std::time::Duration;

use griot_core::Offset;
use griot_journal::Journal as _;
use griot_testkit::JournalFactory as _;
use griot_testkit::journal::server::JournalServer as _;
use griot_testkit::journal::{Writer, append_of, entity, happened};

griot_testkit::journal_server_suite!(place!());

#[test]
fn people_read_the_history_in_sql() {
    griot_testkit::run(async {
        let place = place!();
        let journal = place.open().await;
        let writer = Writer::claim(&journal).await.unwrap();
        let mut append = append_of(&entity("a"), 0, 0);
        append.events = vec![happened("{\"amount\":7}"), happened(&b"\xff\x00"[..])];
        writer.append(vec![append]).await.unwrap();
        let mut other = place.other().await;
        let said = other
            .text("select string_agg(concat_ws(' ', entity, seq, at at time zone 'UTC', event, payload), ', ' order by seq) from history")
            .await;
        assert_eq!(
            said,
            "account/a 1 2023-11-14 22:13:20 Happened {\"amount\":7}, account/a 2 2023-11-14 22:13:20 Happened ff00"
        );
    });
}

#[test]
fn what_another_process_appended_is_told_before_anybody_asks() {
    griot_testkit::run(async {
        let place = place!();
        let there = rig::connect(&format!("{}&poll_ms=3600000", place.0)).await;
        let mut waiting = pin!(there.advanced(Offset::ZERO));
        // It asks once, and then not for an hour.
        let asked = tokio::time::timeout(Duration::from_secs(1), &mut waiting).await;
        assert!(asked.is_err(), "{asked:?}");
        let here = place.open().await;
        let writer = Writer::claim(&here).await.unwrap();
        writer.write(&entity("a"), 0, 3).await.unwrap();
        assert_eq!(waiting.await.unwrap(), Offset(3));
    });
}
