//! What a database can do to a journal that many processes share, what is on the disk, and what people read.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
#[macro_use]
mod rig;

use griot_core::Offset;
use griot_journal::{Answer, Append, AppendError, Filter, Journal};
use griot_testkit::JournalFactory as _;
use griot_testkit::journal::server::{JournalServer as _, OtherSession as _};
use griot_testkit::journal::{Writer, append_of, entity, happened};
use rig::Other;

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
            .text("select group_concat(concat_ws(' ', entity, seq, at, event, payload) order by seq separator ', ') from griot_history")
            .await;
        assert_eq!(
            said,
            "account/a 1 2023-11-14 22:13:20.000000 Happened {\"amount\":7}, account/a 2 2023-11-14 22:13:20.000000 Happened FF00"
        );
    });
}

/// How often somebody waited until everything was on the disk.
async fn flushes(other: &mut Other) -> i64 {
    other.number("select number from griot_flushes").await
}

async fn read(journal: &dyn Journal) -> usize {
    let page = journal.tail(Offset::ZERO, &Filter::default(), 10).await;
    page.unwrap().events.len()
}

#[test]
fn g1_g7_what_another_process_appended_is_on_the_disk_before_it_is_read_or_answered() {
    griot_testkit::run(async {
        let place = place!();
        let (here, there) = (place.open().await, place.open().await);
        let mut other = place.other().await;
        let writer = Writer::claim(&here).await.unwrap();
        let answer = Answer {
            key: "k".to_owned(),
            fingerprint: 1,
            reply: "done".into(),
        };
        let append = Append {
            answer: Some(answer),
            ..append_of(&entity("a"), 0, 2)
        };
        writer.append(vec![append.clone()]).await.unwrap();
        assert_eq!(read(&*here).await, 2);
        assert_eq!(flushes(&mut other).await, 0, "it was acknowledged here");
        assert_eq!(read(&*there).await, 2);
        assert_eq!(flushes(&mut other).await, 1);
        assert_eq!(read(&*there).await, 2);
        assert_eq!(flushes(&mut other).await, 1, "it is known to be there");
        let repeated = there.append(writer.batch(vec![append])).await;
        assert!(matches!(repeated, Err(AppendError::Answered { .. })));
        assert_eq!(flushes(&mut other).await, 2);
    });
}
