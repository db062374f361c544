//! Server: what a database can do to a journal that many processes share: stall, lose an answer, refuse, be newer.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, Offset, Publication, Seq};
use griot_journal::{
    Answer, Append, AppendError, Filter, Journal, JournalError, RecordedEvent, SeqRange, ShardId,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Writer, append_of, entity, happened};
use crate::probe::{DEADLINE, until};
use crate::{JournalFactory, Network, Relay};

/// A journal in an SQL server, where each [`open`](JournalFactory::open) is another process of the same place.
pub trait JournalServer: JournalFactory {
    /// A session of somebody else.
    type Other: OtherSession;
    /// Waits until it is its turn to append, and keeps the turn until the transaction ends.
    const TAKE_TURN: &'static str;
    /// Appends an event `Happened` of `account/stalled`, under epoch 1 of shard 1000, without a commit; gives its offset.
    const APPEND: &'static str;
    /// Begins a transaction that sees nothing of what is committed later.
    const BEGIN_LONG: &'static str;
    /// Has the server refuse events of the name `Cursed`; each is a statement.
    const CURSE: &'static [&'static str];

    /// Somebody else in the same place.
    fn other(&self) -> impl Future<Output = Self::Other> + Send;

    /// Where the server is: `HOST:PORT`.
    fn address(&self) -> String;

    /// Opens it by way of a relay; an answer is waited for so long.
    fn open_by(
        &self,
        relay: SocketAddr,
        patience: Duration,
    ) -> impl Future<Output = Arc<dyn Journal>> + Send;

    /// Opens it where that may fail.
    fn try_open(&self) -> impl Future<Output = Result<Arc<dyn Journal>, JournalError>> + Send;
}

/// Somebody else who speaks SQL to the same server.
pub trait OtherSession: Send {
    /// Says it.
    fn say(&mut self, sql: &'static str) -> impl Future<Output = ()> + Send;

    /// Says it, and gives the number that comes of it.
    fn number(&mut self, sql: &'static str) -> impl Future<Output = i64> + Send;

    /// How many others wait for it, or for one that waits for it.
    fn holds_up(&self) -> impl Future<Output = i64> + Send;
}

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
async fn fifty_writers_and_a_stalled_one<S: JournalServer>(
    server: &S,
    end: &'static str,
) -> (Offset, Vec<RecordedEvent>) {
    let mut processes: Vec<Arc<dyn Journal>> = Vec::new();
    for _ in 0..5 {
        processes.push(server.open().await);
    }
    let first = Arc::clone(processes.first().unwrap());
    let ends = usize::from(end == "commit");
    let reader = server.open().await;
    let reader = tokio::spawn(async move { follow(&*reader, 50 * 20 * 2 + ends).await });
    // Claims would wait for the stalled one, too, and keep the connections that readers need.
    let mut owners = Vec::new();
    for (number, journal) in (0..50).zip(processes.iter().cycle()) {
        let owner = Writer::claim_shard(journal, number).await.unwrap();
        owners.push((entity(&number.to_string()), owner));
    }
    // The stalled one's.
    Writer::claim_shard(&first, 1000).await.unwrap();
    let (stalls, stalling) = watch::channel(false);
    let writers = owners.into_iter().map(|(id, writer)| {
        let mut stalling = stalling.clone();
        tokio::spawn(async move {
            for expected in 0..20 {
                // Half of them come behind it.
                if expected == 10 {
                    stalling.wait_for(|stalls| *stalls).await.unwrap();
                }
                writer.write(&id, expected * 2, 2).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();

    let mut stalled = server.other().await;
    stalled.say("begin").await;
    let offset = Offset(stalled.number(S::APPEND).await.cast_unsigned());
    stalls.send_replace(true);
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
    (offset, reader.await.unwrap())
}

/// It is there where its offset says, and readers waited for it.
pub async fn g7_a_stalled_append_that_commits_late_is_read_at_its_place_under_fifty_writers(
    server: &impl JournalServer,
) {
    let (offset, events) = fifty_writers_and_a_stalled_one(server, "commit").await;
    let late = events.iter().find(|event| event.offset == offset).unwrap();
    assert_eq!((&late.entity, late.seq), (&entity("stalled"), Seq(1)));
}

/// Its offset is another's.
pub async fn g7_a_stalled_append_that_is_rolled_back_leaves_no_gap_under_fifty_writers(
    server: &impl JournalServer,
) {
    let (offset, events) = fifty_writers_and_a_stalled_one(server, "rollback").await;
    let instead = events.iter().find(|event| event.offset == offset).unwrap();
    assert_ne!(instead.entity, entity("stalled"));
}

/// A dump or a report may take hours.
pub async fn g7_a_long_transaction_of_somebody_else_holds_up_neither_appends_nor_the_tail<
    S: JournalServer,
>(
    server: &S,
) {
    let journal = server.open().await;
    let mut other = server.other().await;
    other.say("create table other (n integer)").await;
    other.say(S::BEGIN_LONG).await;
    other.say("insert into other values (1)").await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 3).await.unwrap();
    assert_eq!(follow(&*journal, 3).await.len(), 3);
    other.say("commit").await;
}

/// The server stored it, and the connection was cut before it could say so.
pub async fn g3_g5_an_append_whose_answer_is_lost_is_unknown_and_a_claim_finds_out<
    S: JournalServer,
>(
    server: &S,
) {
    let journal = server.open().await;
    let relay = Relay::before(server.address()).await;
    let far = server.open_by(relay.address(), DEADLINE).await;
    let writer = Writer::claim(&far).await.unwrap();

    let mut other = server.other().await;
    other.say("begin").await;
    other.say(S::TAKE_TURN).await;
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
}

/// The network forgot the connection, and told nobody.
pub async fn g5_an_append_that_was_never_heard_of_again_is_unknown_within_the_timeout(
    server: &impl JournalServer,
) {
    let relay = Relay::before(server.address()).await;
    let journal = server
        .open_by(relay.address(), Duration::from_secs(2))
        .await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 1).await.unwrap();
    relay.forget();
    let lost = writer.write(&entity("a"), 1, 1).await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
    // Other connections may have been forgotten, too, and be found out one by one.
    let owner = loop {
        match Writer::claim(&journal).await {
            Err(JournalError::Unreachable(_)) => {}
            claimed => break claimed.unwrap(),
        }
    };
    owner.write(&entity("a"), 1, 1).await.unwrap();
}

/// Whoever asked gave up before the server did.
pub async fn g10_questions_that_are_given_up_on_a_silent_network_use_up_no_connection(
    server: &impl JournalServer,
) {
    let relay = Relay::before(server.address()).await;
    let patience = Duration::from_secs(5);
    let journal = server.open_by(relay.address(), patience).await;
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let journal = Arc::clone(&journal);
        asking.spawn(async move { journal.last_seq(&entity("a")).await.unwrap() });
    }
    assert_eq!(asking.join_all().await, [Seq::ZERO; 16]);
    relay.forget();
    for _ in 0..16 {
        // Those that are given a new connection are answered.
        let _ = timeout(Duration::from_millis(100), journal.entities(None, None, 1)).await;
    }
    assert_eq!(journal.entities(None, None, 1).await.unwrap(), []);
}

/// By a trigger of somebody else, say.
pub async fn g5_a_batch_that_the_database_refuses_costs_no_other<S: JournalServer>(server: &S) {
    let journal = server.open().await;
    let mut other = server.other().await;
    for sql in S::CURSE {
        other.say(sql).await;
    }
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
}

/// Also quotes, what is no character, and spaces at an end.
pub async fn text_of_any_kind_comes_back_also_with_the_character_zero(server: &impl JournalServer) {
    let journal = server.open().await;
    let odd = || "\0a\\0\u{7f}\u{ffff}\"' ".to_owned();
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
    for (tag, count) in [(odd(), 1), (odd().trim_end().to_owned(), 0)] {
        let tag = Some(tag);
        let filter = Filter { kind: None, tag };
        let page = journal.tail(Offset::ZERO, &filter, 10).await.unwrap();
        assert_eq!(page.events.len(), count, "{filter:?}");
    }
    let repeated = writer.append(vec![append]).await;
    assert!(matches!(repeated, Err(AppendError::Answered { .. })));
    let near = keyed("a", 1, odd().trim_end());
    writer.append(vec![near]).await.unwrap();
}

/// Who deletes need not have written, nor read.
pub async fn what_another_process_appended_is_deleted(server: &impl JournalServer) {
    let (deleting, writing) = (server.open().await, server.open().await);
    let writer = Writer::claim(&writing).await.unwrap();
    writer.write(&entity("a"), 0, 5).await.unwrap();
    deleting.delete(&entity("a"), Seq(4)).await.unwrap();
    let left = writing.events(&entity("a"), SeqRange::ALL).await.unwrap();
    assert!(left.iter().map(|event| event.seq).eq([Seq(5)]));
    writer.write(&entity("a"), 5, 1).await.unwrap();
    deleting.delete(&entity("a"), Seq(6)).await.unwrap();
    assert_eq!(
        writing.events(&entity("a"), SeqRange::ALL).await.unwrap(),
        []
    );
}

/// What a user deletes is the past, not what is promised.
pub async fn a_deletion_keeps_keys_offsets_and_effects_without_an_outcome(
    server: &impl JournalServer,
) {
    let journal = server.open().await;
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
}

/// Whoever updates one process after the other has both at a time.
pub async fn processes_that_start_at_once_make_one_schema_and_an_older_program_leaves_a_newer_one_alone(
    server: &impl JournalServer,
) {
    let (a, b, c) = tokio::join!(server.open(), server.open(), server.open());
    for journal in [a, b, c] {
        journal.close().await;
    }
    let mut other = server.other().await;
    other
        .say("insert into griot_schema (version) values (99)")
        .await;
    let refused = server.try_open().await;
    assert!(matches!(
        refused.err(),
        Some(JournalError::NewerVersion { found: 99, .. })
    ));
}
