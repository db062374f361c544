//! What a network and other processes can do to a journal that many share, what is left of what was deleted, and what
//! people read.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/cluster.rs"]
#[macro_use]
mod rig;

use std::sync::Arc;

use griot_core::{Offset, Seq};
use griot_journal::{
    Answer, Append, AppendError, Archive as _, Filter, Journal, JournalError, Mark, RecordedEvent,
    SeqRange,
};
use griot_testkit::journal::server::JournalServer as _;
use griot_testkit::journal::{Writer, append_of, entity, happened};
use griot_testkit::probe::{DEADLINE, until};
use griot_testkit::{JournalFactory as _, Network, Relay, ToxicProxy, Trouble, Way, setting};
use scylla::value::CqlTimestamp;

griot_testkit::cases! { place!(); griot_testkit::journal::server;
    g5_an_append_that_was_never_heard_of_again_is_unknown_within_the_timeout,
    g10_questions_that_are_given_up_on_a_silent_network_use_up_no_connection,
    text_of_any_kind_comes_back_also_with_the_character_zero,
    a_deletion_keeps_keys_offsets_and_effects_without_an_outcome,
    what_another_process_appended_is_deleted,
}

griot_testkit::cases! { place!().in_its_own_keyspace(); griot_testkit::journal::server;
    processes_that_start_at_once_make_one_schema_and_an_older_program_leaves_a_newer_one_alone,
}

fn keyed(id: &str, expected: u64) -> Append {
    Append {
        answer: Some(Answer {
            key: "k".to_owned(),
            fingerprint: 1,
            reply: format!("reply at {expected}").into(),
        }),
        ..append_of(&entity(id), expected, 1)
    }
}

async fn steps(other: &rig::Other, place: &rig::Place) -> i64 {
    let count = "select count(*) from griot_log where chunk = 0 and journal = ";
    let rows: Vec<(i64,)> = other.rows(format!("{count}'{}'", place.journal)).await;
    rows.first().unwrap().0
}

async fn follow(
    journal: &dyn Journal,
    is_over: impl Fn(&[RecordedEvent]) -> bool,
) -> Vec<RecordedEvent> {
    let (mut after, mut events) = (Offset::ZERO, Vec::new());
    while !is_over(&events) {
        journal.advanced(after).await.unwrap();
        let page = journal.tail(after, &Filter::default(), 50).await.unwrap();
        for event in page.events {
            after = after.next();
            assert_eq!(event.offset, after);
            events.push(event);
        }
        assert_eq!(page.next, after);
    }
    events
}

/// Fifty writers of five processes, while the append of a sixth one is stuck in the network.
#[test]
fn g7_a_stalled_append_holds_up_nobody_and_comes_behind_what_was_written_meanwhile() {
    let place = place!();
    griot_testkit::run(async {
        let relay = Relay::before(place.address()).await;
        let far = place.open_by(relay.address(), DEADLINE).await;
        let stuck = Writer::claim_shard(&far, 1000).await.unwrap();
        relay.set(Network::Silent);
        let stuck = tokio::spawn(async move { stuck.write(&entity("stuck"), 0, 1).await });

        let reader = place.open().await;
        let is_over = |events: &[RecordedEvent]| events.len() == 50 * 8 * 2;
        let reader = tokio::spawn(async move { follow(&*reader, is_over).await });
        let mut processes = Vec::new();
        for _ in 0..5 {
            processes.push(place.open().await);
        }
        let writers = (0..50).zip(processes.iter().cycle());
        let writers = writers.map(|(number, journal)| {
            let journal = Arc::clone(journal);
            tokio::spawn(async move {
                let writer = Writer::claim_shard(&journal, number).await.unwrap();
                for expected in 0..8 {
                    let id = entity(&format!("{number}"));
                    writer.write(&id, expected * 2, 2).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        assert_eq!(reader.await.unwrap().len(), 50 * 8 * 2);

        relay.set(Network::Whole);
        let outcome = stuck.await.unwrap();
        let owner = Writer::claim_shard(processes.first().unwrap(), 1000).await;
        let owner = owner.unwrap();
        let events = owner.events(&entity("stuck"), SeqRange::ALL).await.unwrap();
        let offsets: Vec<_> = events.iter().map(|event| event.offset).collect();
        match outcome {
            Ok(appended) => assert_eq!(offsets, [appended.last_offset]),
            // Where the network was silent for so long that the connection was given up.
            Err(AppendError::Unknown(_)) => assert!(offsets.len() <= 1),
            Err(other) => panic!("{other}"),
        }
        assert!(offsets.iter().all(|offset| *offset == Offset(801)));
    });
}

/// The cluster stored it, and could not say so. The one who did it could not carry it over either.
#[test]
fn g2_g5_an_append_whose_answer_is_lost_is_unknown_and_a_claim_finds_out() {
    let place = place!();
    let what = "tests of a lost answer: set GRIOT_TEST_TOXIPROXY to the URL of Toxiproxy's API";
    let Some(api) = setting("GRIOT_TEST_TOXIPROXY", what) else {
        return;
    };
    griot_testkit::run(async {
        let journal = place.open().await;
        let proxy = ToxicProxy::open(&api, None, place.address()).await;
        let far = place.open_by(proxy.address(), DEADLINE).await;
        let writer = Writer::claim(&far).await.unwrap();
        // From here on nothing has to be read to append to it.
        writer.write(&entity("a"), 0, 1).await.unwrap();
        let other = place.other().await;
        assert_eq!(steps(&other, &place).await, 2);
        proxy.disturb(Trouble::HalfOpen(Way::FromServer)).await;
        let append = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write(&entity("a"), 1, 1).await }
        });
        until("the append is on the server", || async {
            steps(&other, &place).await == 3
        })
        .await;
        proxy.disturb(Trouble::Cut).await;
        let lost = append.await.unwrap();
        assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
        proxy.heal().await;
        // Until the shard is claimed anew nothing may become durable behind it.
        let behind = writer.write(&entity("b"), 0, 1).await;
        assert!(
            matches!(
                behind,
                Err(AppendError::Refused(JournalError::Overtaking { .. }))
            ),
            "{behind:?}"
        );
        let owner = Writer::claim(&journal).await.unwrap();
        assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(2));
        assert_eq!(journal.advanced(Offset(1)).await.unwrap(), Offset(2));
        let again = owner.write(&entity("a"), 1, 1).await;
        assert!(
            matches!(again, Err(AppendError::Conflict { actual: Seq(2), .. })),
            "{again:?}"
        );
        let stale = writer.write(&entity("a"), 2, 1).await;
        assert!(stale.is_err());
    });
}

/// Each refusal names what is so, also where another process made it so.
#[test]
fn g4_what_another_process_appended_or_claimed_is_known_to_whoever_is_refused() {
    let place = place!();
    griot_testkit::run(async {
        let (here, there) = (place.open().await, place.open().await);
        let first = Writer::claim(&here).await.unwrap();
        first.append(vec![keyed("a", 0)]).await.unwrap();
        let second = Writer::claim(&there).await.unwrap();
        second.write(&entity("a"), 1, 2).await.unwrap();
        let fenced = first.write(&entity("a"), 1, 1).await;
        assert!(
            matches!(fenced, Err(AppendError::Fenced { current, .. }) if current == second.epoch())
        );
        let third = Writer::claim(&here).await.unwrap();
        let conflict = third.write(&entity("a"), 1, 1).await;
        assert!(matches!(
            conflict,
            Err(AppendError::Conflict { actual: Seq(3), .. })
        ));
        let answered = third.append(vec![keyed("a", 3)]).await;
        assert!(matches!(answered, Err(AppendError::Answered { .. })));
    });
}

/// Not only absent from answers.
#[test]
fn what_is_deleted_is_in_no_table_any_more_however_large_it_was() {
    let place = place!();
    griot_testkit::run(async {
        let journal = place.open().await;
        let writer = Writer::claim(&journal).await.unwrap();
        let large = "secret ".repeat(50_000);
        let mut first = append_of(&entity("a"), 0, 0);
        first.events = vec![happened("small secret"), happened("kept")];
        let mut second = append_of(&entity("a"), 2, 0);
        second.events = vec![happened(large.clone())];
        let beside = append_of(&entity("b"), 0, 1);
        writer.append(vec![first, beside, second]).await.unwrap();
        writer.write(&entity("a"), 3, 1).await.unwrap();
        let other = place.other().await;
        let secrets = async || {
            let log = "select body from griot_log where chunk = 0 and journal = ";
            let log = format!("{log}'{}'", place.journal);
            let history =
                "select body from griot_commits where entity = 'account/a' and journal = ";
            let history = format!("{history}'{}'", place.journal);
            let parts = "select bytes from griot_parts where journal = ";
            let parts = format!("{parts}'{}' allow filtering", place.journal);
            let mut count = 0;
            for cql in [log, history, parts] {
                let bodies: Vec<(Vec<u8>,)> = other.rows(cql).await;
                let has = |(body,): &&(Vec<u8>,)| body.windows(6).any(|word| word == b"secret");
                count += bodies.iter().filter(has).count();
            }
            count
        };
        // In the log, in the entity's history, and the large one's parts.
        assert_eq!(secrets().await, 3);
        journal.delete(&entity("a"), Seq(1)).await.unwrap();
        assert_eq!(secrets().await, 1);
        let payloads = async || -> Vec<usize> {
            let page = journal.tail(Offset::ZERO, &Filter::default(), 10).await;
            let events = page.unwrap().events.into_iter();
            events.map(|event| event.event.payload.len()).collect()
        };
        assert_eq!(payloads().await, [4, 3, large.len(), 3]);
        journal.delete(&entity("a"), Seq(3)).await.unwrap();
        assert_eq!(secrets().await, 0);
        assert_eq!(payloads().await, [3, 3]);
        let left = journal.commits(&entity("a"), Seq::ZERO, 0, 10).await;
        let left = left.unwrap();
        let place = left
            .first()
            .map(|commit| (commit.append.expected, commit.offset));
        assert_eq!((left.len(), place), (1, Some((Seq(3), Offset(5)))));
    });
}

#[test]
fn people_read_in_cql_what_happened_to_an_entity_and_when() {
    let place = place!();
    griot_testkit::run(async {
        let journal = place.open().await;
        let writer = Writer::claim(&journal).await.unwrap();
        writer.write(&entity("a"), 0, 2).await.unwrap();
        let cql =
            "select seq, at, events from griot_commits where entity = 'account/a' and journal = ";
        let other = place.other().await;
        let rows: Vec<(i64, CqlTimestamp, Vec<String>)> =
            other.rows(format!("{cql}'{}'", place.journal)).await;
        let names = vec!["Happened".to_owned(); 2];
        assert_eq!(rows, [(2, CqlTimestamp(1_700_000_000_000), names)]);
    });
}

#[test]
fn journals_in_one_keyspace_know_nothing_of_each_other() {
    let (one, another) = (place!(), place!());
    griot_testkit::run(async {
        let (one, another) = (one.open().await, another.open().await);
        let writer = Writer::claim(&one).await.unwrap();
        writer.append(vec![keyed("a", 0)]).await.unwrap();
        assert_eq!(another.last_seq(&entity("a")).await.unwrap(), Seq::ZERO);
        assert_eq!(another.entities(None, None, 10).await.unwrap(), []);
        let writer = Writer::claim(&another).await.unwrap();
        let appended = writer.append(vec![keyed("a", 0)]).await.unwrap();
        assert_eq!(appended.last_offset, Offset(1));
        let page = another.tail(Offset::ZERO, &Filter::default(), 10).await;
        assert_eq!(page.unwrap().events.len(), 1);
    });
}

#[test]
fn g7_what_a_large_append_leaves_is_read_after_a_second_deletion() {
    let place = place!();
    griot_testkit::run(async {
        let journal = place.open().await;
        let writer = Writer::claim(&journal).await.unwrap();
        let mut large = keyed("a", 0);
        // What is left of it without its event lies in rows of its own, too.
        large.metadata = vec![("note".to_owned(), "x".repeat(100_000))];
        writer.append(vec![large]).await.unwrap();
        journal.delete(&entity("a"), Seq(1)).await.unwrap();
        writer.write(&entity("a"), 1, 2).await.unwrap();
        journal.delete(&entity("a"), Seq(2)).await.unwrap();
        let page = journal.tail(Offset::ZERO, &Filter::default(), 10).await;
        let left = page.unwrap().events;
        assert_eq!(
            left.iter().map(|event| event.seq).collect::<Vec<_>>(),
            [Seq(3)]
        );
        let commits = journal.commits(&entity("a"), Seq::ZERO, 0, 10).await;
        assert_eq!(commits.unwrap().len(), 1);
    });
}

/// Of two rows of one step the first is missing, as whoever carries them over leaves it for a moment, or dying.
#[test]
fn g2_what_is_carried_over_in_part_is_not_seen_before_all_of_it() {
    let place = place!();
    griot_testkit::run(async {
        let journal = place.open().await;
        let writer = Writer::claim(&journal).await.unwrap();
        writer.write(&entity("a"), 0, 1).await.unwrap();
        let other = place.other().await;
        let mine = format!("journal = '{}' and entity = 'account/a'", place.journal);
        let bodies: Vec<(Vec<u8>,)> = other
            .rows(format!("select body from griot_commits where {mine}"))
            .await;
        let (body,) = bodies.first().unwrap();
        let put = "insert into griot_commits
            (journal, entity, last_seq, seq, number, place, first_offset, at, events, body)
            values (?, 'account/a', 3, 3, 3, 1, 3, 0, ['Happened'], ?) using timestamp 3";
        other.write(put, (&place.journal, body)).await;
        let seen = async || {
            let events = journal.events(&entity("a"), SeqRange::ALL).await.unwrap();
            let commits = journal.commits(&entity("a"), Seq::ZERO, 0, 10).await;
            let last = journal.last_seq(&entity("a")).await.unwrap();
            (events.len(), commits.unwrap().len(), last)
        };
        assert_eq!(seen().await, (1, 1, Seq(1)));
        let both = [append_of(&entity("a"), 1, 1), append_of(&entity("a"), 2, 1)];
        writer.append(both.to_vec()).await.unwrap();
        assert_eq!(seen().await, (3, 3, Seq(3)));
    });
}

/// As the retention of a topic does it, day after day.
#[test]
fn g10_deletions_one_after_the_other_leave_one_tombstone() {
    let place = place!();
    griot_testkit::run(async {
        let journal = place.open().await;
        let writer = Writer::claim(&journal).await.unwrap();
        let appends = (0..30).map(|expected| append_of(&entity("a"), expected, 1));
        writer.append(appends.collect()).await.unwrap();
        for to in 1..30 {
            journal.delete(&entity("a"), Seq(to)).await.unwrap();
        }
        let other = place.other().await;
        let mine = format!("journal = '{}' and entity = 'account/a'", place.journal);
        let read = format!("select seq from griot_commits where {mine}");
        assert!(other.tombstones(read).await <= 2);
        let left = journal.events(&entity("a"), SeqRange::ALL).await.unwrap();
        assert_eq!(
            left.iter().map(|event| event.seq).collect::<Vec<_>>(),
            [Seq(30)]
        );
    });
}

/// Large ones, whose parts are taken away under the readers.
#[test]
fn g7_readers_find_nothing_damaged_while_what_they_read_is_deleted() {
    const EVENTS: u64 = 20;
    let place = place!();
    griot_testkit::run(async {
        let (here, there) = (place.open().await, rig::connect(&place.url()).await);
        let writer = Writer::claim(&here).await.unwrap();
        for expected in 0..EVENTS {
            let mut append = append_of(&entity("a"), expected, 0);
            append.events = vec![happened("x".repeat(100_000))];
            writer.append(vec![append]).await.unwrap();
        }
        let reading = async {
            let a = entity("a");
            let everything = Filter::default();
            loop {
                let (events, commits, page, appends) = tokio::join!(
                    there.events(&a, SeqRange::ALL),
                    there.commits(&a, Seq::ZERO, 0, 100),
                    there.tail(Offset::ZERO, &everything, 100),
                    there.appends(Mark::default(), 100),
                );
                let (events, commits) = (events.unwrap().len(), commits.unwrap().len());
                let (seen, appends) = (page.unwrap().events.len(), appends.unwrap().len());
                assert_eq!(appends as u64, EVENTS);
                if (events, commits, seen) == (0, 1, 0) {
                    break;
                }
            }
        };
        let deleting = async {
            for to in 1..=EVENTS {
                here.delete(&entity("a"), Seq(to)).await.unwrap();
            }
        };
        tokio::join!(reading, deleting);
    });
}
