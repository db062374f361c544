//! What a database can do to a journal: stall, lose an answer, refuse, be shared, be newer.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, Offset, Publication, Seq};
use griot_journal::{
    Answer, Append, AppendError, Filter, Journal, JournalError, RecordedEvent, SeqRange, ShardId,
};
use griot_testkit::journal::{Writer, append_of, entity, happened};
use griot_testkit::probe::until;
use griot_testkit::{Network, Relay};
use rig::{Other, connect, fresh, running};

/// An append of one event by hand, whose transaction its writer may leave open.
const BY_HAND: &str = "select last_offset from append(array['account'], array[1000], array[1],
    array[1], array['account/stalled'], array['account'], array[0], array[1], array[0],
    array['[]'::jsonb], array['[]'::jsonb], array[null], array[null::bigint], array[null::bigint], array[null::bytea],
    array[1], array[1], array['Happened'], array[1], array['[]'::jsonb], array['by hand'::bytea],
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')";

fn keyed(id: &str, expected: u64, key: &str) -> Append {
    Append {
        answer: Some(Answer {
            key: key.to_owned(),
            fingerprint: 1,
            reply: Bytes::from(format!("reply at {expected}")),
        }),
        ..append_of(&entity(id), expected, 1)
    }
}

/// Follows the journal until it has so many events, and sees that none is left out on the way.
async fn follow(journal: &dyn Journal, count: usize) -> Vec<RecordedEvent> {
    let (mut after, mut events) = (Offset::ZERO, Vec::new());
    while events.len() < count {
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

/// Fifty writers of five processes, and one whose append is done but not committed.
async fn fifty_writers_and_a_stalled_one(
    end: &'static str,
) -> Option<(Offset, Vec<RecordedEvent>)> {
    let url = fresh(&running()?);
    let mut processes: Vec<Arc<dyn Journal>> = Vec::new();
    for _ in 0..5 {
        processes.push(Arc::new(connect(&url).await));
    }
    let first = Arc::clone(processes.first().unwrap());
    let ends = usize::from(end == "commit");
    let reader = connect(&url).await;
    let reader = tokio::spawn(async move { follow(&reader, 50 * 20 * 2 + ends).await });
    let writers = (0..50)
        .zip(processes.iter().cycle())
        .map(|(number, journal)| {
            let journal = Arc::clone(journal);
            tokio::spawn(async move {
                let writer = Writer::claim_shard(&journal, number).await.unwrap();
                for expected in 0..20 {
                    writer
                        .write(&entity(&format!("{number}")), expected * 2, 2)
                        .await
                        .unwrap();
                }
            })
        });
    let writers: Vec<_> = writers.collect();

    let mut stalled = Other::connect(&url).await;
    stalled.say("select claim('account', 1000)").await;
    stalled.say("begin").await;
    let offset = Offset(stalled.number(BY_HAND).await.cast_unsigned());
    until("an append waits for the stalled one", || async {
        stalled.holds_up().await > 0
    })
    .await;
    let before = Offset(offset.get() - 1);
    let page = first.tail(before, &Filter::default(), 10).await.unwrap();
    assert_eq!((page.events.len(), page.next), (0, before));
    stalled.say(end).await;

    for writer in writers {
        writer.await.unwrap();
    }
    Some((offset, reader.await.unwrap()))
}

#[test]
fn g7_a_stalled_append_that_commits_late_is_read_at_its_place_under_fifty_writers() {
    griot_testkit::run(async {
        let Some((offset, events)) = fifty_writers_and_a_stalled_one("commit").await else {
            return;
        };
        let late = events.iter().find(|event| event.offset == offset).unwrap();
        assert_eq!((&late.entity, late.seq), (&entity("stalled"), Seq(1)));
    });
}

#[test]
fn g7_a_stalled_append_that_is_rolled_back_leaves_no_gap_under_fifty_writers() {
    griot_testkit::run(async {
        let Some((offset, events)) = fifty_writers_and_a_stalled_one("rollback").await else {
            return;
        };
        let instead = events.iter().find(|event| event.offset == offset).unwrap();
        assert_ne!(instead.entity, entity("stalled"));
    });
}

#[test]
fn g7_a_long_transaction_of_somebody_else_holds_up_neither_appends_nor_the_tail() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let url = fresh(&url);
        let journal: Arc<dyn Journal> = Arc::new(connect(&url).await);
        let mut other = Other::connect(&url).await;
        other.say("create table other (n integer)").await;
        other.say("begin isolation level repeatable read").await;
        other.say("insert into other values (1)").await;
        let writer = Writer::claim(&journal).await.unwrap();
        writer.write(&entity("a"), 0, 3).await.unwrap();
        assert_eq!(follow(&*journal, 3).await.len(), 3);
        other.say("commit").await;
    });
}

#[test]
fn g3_g5_an_append_whose_answer_is_lost_is_unknown_and_a_claim_finds_out() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let direct = fresh(&url);
        let journal: Arc<dyn Journal> = Arc::new(connect(&direct).await);
        let relay = Relay::before(rig::address(&direct)).await;
        let far: Arc<dyn Journal> =
            Arc::new(connect(&rig::by_way_of(&direct, relay.address())).await);
        let writer = Writer::claim(&far).await.unwrap();

        let mut other = Other::connect(&direct).await;
        other.say("begin").await;
        other.say("select wait_for_turn()").await;
        let append = tokio::spawn({
            let writer = writer.clone();
            async move { writer.append(vec![keyed("a", 0, "k")]).await }
        });
        until("the append is on the server", || async {
            other.holds_up().await == 1
        })
        .await;
        relay.set(Network::Cut);
        let lost = append.await.unwrap();
        assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
        relay.set(Network::Whole);
        // Until the shard is claimed anew nothing may become durable behind it.
        let behind = writer.write(&entity("b"), 0, 1).await;
        assert!(
            matches!(
                behind,
                Err(AppendError::Refused(JournalError::Overtaking { .. }))
            ),
            "{behind:?}"
        );

        let claim = tokio::spawn({
            let journal = Arc::clone(&journal);
            async move { Writer::claim(&journal).await.unwrap() }
        });
        until("the claim waits for it", || async {
            other.holds_up().await == 2
        })
        .await;
        other.say("commit").await;
        let owner = claim.await.unwrap();
        assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(1));
        let again = owner.append(vec![keyed("a", 1, "k")]).await;
        let Err(AppendError::Answered { answer, .. }) = again else {
            panic!("{again:?}")
        };
        assert_eq!(answer.reply, "reply at 0");
        let stale = writer.append(vec![append_of(&entity("a"), 1, 1)]).await;
        assert!(stale.is_err());
    });
}

#[test]
fn g5_an_append_that_was_never_heard_of_again_is_unknown_within_the_timeout() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let url = format!("{}&timeout_seconds=2", fresh(&url));
        let relay = Relay::before(rig::address(&url)).await;
        let journal: Arc<dyn Journal> =
            Arc::new(connect(&rig::by_way_of(&url, relay.address())).await);
        let writer = Writer::claim(&journal).await.unwrap();
        writer.write(&entity("a"), 0, 1).await.unwrap();
        relay.forget();
        let lost = writer.write(&entity("a"), 1, 1).await;
        assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
        let owner = Writer::claim(&journal).await.unwrap();
        owner.write(&entity("a"), 1, 1).await.unwrap();
    });
}

#[test]
fn g5_a_batch_that_the_database_refuses_costs_no_other() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let url = fresh(&url);
        let journal: Arc<dyn Journal> = Arc::new(connect(&url).await);
        let mut other = Other::connect(&url).await;
        other.say("create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end'").await;
        other.say("create trigger refuse before insert on events for each row when (new.name = 'Cursed') execute function refuse()").await;
        let writer = Writer::claim(&journal).await.unwrap();
        let mut cursed = append_of(&entity("cursed"), 0, 1);
        cursed.events.first_mut().unwrap().name = "Cursed".into();
        let given: Vec<_> = (0..30)
            .map(|number| match number % 10 {
                5 => cursed.clone(),
                _ => append_of(&entity(&format!("{number}")), 0, 1),
            })
            .map(|append| journal.append(writer.batch(vec![append])))
            .collect();
        for (number, outcome) in (0..).zip(given) {
            let outcome = outcome.await;
            let is_refused = matches!(outcome, Err(AppendError::Refused(_)));
            assert_eq!(is_refused, number % 10 == 5, "{outcome:?}");
        }
        assert_eq!(follow(&*journal, 27).await.len(), 27);
    });
}

#[test]
fn text_of_any_kind_comes_back_also_with_the_character_zero() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let journal: Arc<dyn Journal> = Arc::new(connect(&fresh(&url)).await);
        let odd = || "\0a\\0\u{7f}\u{ffff}\"'".to_owned();
        let shard = ShardId {
            kind: odd().into(),
            number: u32::MAX,
        };
        assert_eq!(journal.claim(&shard).await.unwrap().get(), 1);
        let writer = Writer::claim(&journal).await.unwrap();
        let mut append = keyed("a", 0, &odd());
        append.events = vec![happened("")];
        let event = append.events.first_mut().unwrap();
        event.name = odd().into();
        event.tags = vec![odd()];
        append.metadata = vec![(odd(), odd())];
        let call = Effect::Call {
            name: odd().into(),
            payload: Bytes::new(),
        };
        let publication = Effect::Publication(Publication {
            topic: odd(),
            key: Some(odd()),
            headers: vec![(odd(), odd())],
            payload: Bytes::new(),
        });
        let effects = [(u32::MAX - 1, call), (u32::MAX, publication)].into_iter();
        append.effects = effects
            .map(|(n, effect)| EffectRecord {
                id: EffectId { seq: Seq::MAX, n },
                effect,
            })
            .collect();
        writer.append(vec![append.clone()]).await.unwrap();
        let commits = journal
            .commits(&entity("a"), Seq::ZERO, 0, 10)
            .await
            .unwrap();
        assert_eq!(commits.first().unwrap().append, append);
        let unsettled = journal.unsettled("account", None, 10).await.unwrap();
        assert_eq!(unsettled.len(), 2);
        let filter = Filter {
            kind: None,
            tag: Some(odd()),
        };
        assert_eq!(
            journal
                .tail(Offset::ZERO, &filter, 10)
                .await
                .unwrap()
                .events
                .len(),
            1
        );
        let repeated = writer.append(vec![append]).await;
        assert!(matches!(repeated, Err(AppendError::Answered { .. })));
    });
}

#[test]
fn a_deletion_keeps_keys_offsets_and_effects_without_an_outcome() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let journal: Arc<dyn Journal> = Arc::new(connect(&fresh(&url)).await);
        let writer = Writer::claim(&journal).await.unwrap();
        let mut append = keyed("a", 0, "k");
        let effect = Effect::Call {
            name: "charge".into(),
            payload: Bytes::new(),
        };
        append.effects = vec![EffectRecord {
            id: EffectId { seq: Seq(0), n: 0 },
            effect,
        }];
        writer.append(vec![append.clone()]).await.unwrap();
        writer.write(&entity("a"), 1, 2).await.unwrap();
        journal.delete(&entity("a"), Seq::MAX).await.unwrap();
        assert_eq!(
            journal.events(&entity("a"), SeqRange::ALL).await.unwrap(),
            []
        );
        let commits = journal
            .commits(&entity("a"), Seq::ZERO, 0, 10)
            .await
            .unwrap();
        let commit = commits.first().unwrap();
        assert_eq!(
            (commits.len(), commit.append.expected, commit.last_seq()),
            (1, Seq(3), Seq(3))
        );
        assert_eq!(
            journal.unsettled("account", None, 10).await.unwrap().len(),
            1
        );
        let repeated = writer.append(vec![append]).await;
        assert!(matches!(repeated, Err(AppendError::Answered { .. })));
        let next = writer.write(&entity("a"), 3, 1).await.unwrap();
        assert_eq!(next.last_offset, Offset(4), "no offset is given twice");
    });
}

#[test]
fn processes_that_start_at_once_make_one_schema_and_an_older_program_leaves_a_newer_one_alone() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let url = fresh(&url);
        let opened = (0..5).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { connect(&url).await })
        });
        for journal in opened.collect::<Vec<_>>() {
            journal.await.unwrap().close().await;
        }
        let mut other = Other::connect(&url).await;
        other
            .say("insert into griot_schema (version) values (99)")
            .await;
        let refused = griot_postgres::PostgresJournal::connect(&url).await;
        assert!(matches!(
            refused,
            Err(JournalError::NewerVersion {
                found: 99,
                supported: 1,
                ..
            })
        ));
    });
}

#[test]
fn people_read_the_history_in_sql() {
    griot_testkit::run(async {
        let Some(url) = running() else { return };
        let url = fresh(&url);
        let journal: Arc<dyn Journal> = Arc::new(connect(&url).await);
        let writer = Writer::claim(&journal).await.unwrap();
        let mut append = append_of(&entity("a"), 0, 0);
        append.events = vec![happened("{\"amount\":7}"), happened(&b"\xff\x00"[..])];
        writer.append(vec![append]).await.unwrap();
        let mut other = Other::connect(&url).await;
        let said = other
            .text("select string_agg(concat_ws(' ', entity, seq, at at time zone 'UTC', event, payload), ', ' order by seq) from history")
            .await;
        assert_eq!(
            said,
            "account/a 1 2023-11-14 22:13:20 Happened {\"amount\":7}, account/a 2 2023-11-14 22:13:20 Happened ff00"
        );
    });
}
