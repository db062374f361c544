//! The Copy suite: a history is carried from the embedded log to a journal and back, and is the same.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, Offset, Seq};
use griot_journal::{
    Answer, AppendError, Archive, CopyError, EmbeddedLog, Filter, Journal, Kept, Mark, Options,
    SeqRange, copy,
};

use super::{Writer, append_of, entity};
use crate::ArchiveFactory;

fn log(directory: &std::path::Path) -> Arc<EmbeddedLog> {
    Arc::new(EmbeddedLog::open(directory, Options::default()).unwrap())
}

fn effect(seq: u64, n: u32) -> EffectRecord {
    EffectRecord {
        id: EffectId { seq: Seq(seq), n },
        effect: Effect::Call {
            name: "charge".into(),
            payload: Bytes::from_static(b"7"),
        },
    }
}

/// Writes `rounds` rounds of appends of five entities, with keys, effects, settled ones, and appends without events.
async fn write(journal: &Arc<dyn Journal>, rounds: std::ops::Range<u64>) {
    let writer = Writer::claim(journal).await.unwrap();
    for round in rounds {
        let mut appends = Vec::new();
        for (number, id) in ["a", "b", "c", "d", "e"].iter().enumerate() {
            let mut append = append_of(&entity(id), round * 2, 2);
            append.effects = vec![effect(round * 2, 0), effect(round * 2, 1)];
            append.metadata = vec![("round".to_owned(), round.to_string())];
            append.answer = Some(Answer {
                key: format!("key-{round}"),
                fingerprint: u64::MAX - round,
                reply: Bytes::from(format!("{number}")),
            });
            appends.push(append);
            let mut settling = append_of(&entity(id), round * 2 + 2, 0);
            settling.settled = vec![effect(round * 2, 0).id];
            appends.push(settling);
        }
        writer.append(appends).await.unwrap();
    }
}

async fn all(archive: &dyn Archive) -> Vec<Kept> {
    let (mut all, mut mark) = (Vec::new(), Mark::default());
    loop {
        let page = archive.appends(mark, 100).await.unwrap();
        if page.is_empty() {
            return all;
        }
        for kept in &page {
            mark.pass(kept.offset);
        }
        all.extend(page);
    }
}

/// Everything that a user of a journal can see of it is the same.
async fn same(one: &dyn Archive, other: &dyn Archive) {
    let everything = Filter::default();
    let tails = [
        one.tail(Offset::ZERO, &everything, 10_000).await.unwrap(),
        other.tail(Offset::ZERO, &everything, 10_000).await.unwrap(),
    ];
    assert_eq!(tails[0].events, tails[1].events);
    let names = one.entities(None, None, 100).await.unwrap();
    assert_eq!(names, other.entities(None, None, 100).await.unwrap());
    for id in &names {
        assert_eq!(
            one.last_seq(id).await.unwrap(),
            other.last_seq(id).await.unwrap()
        );
        assert_eq!(
            one.events(id, SeqRange::ALL).await.unwrap(),
            other.events(id, SeqRange::ALL).await.unwrap()
        );
    }
    let mut waiting = [
        one.unsettled("account", None, 10_000).await.unwrap(),
        other.unsettled("account", None, 10_000).await.unwrap(),
    ];
    for waiting in &mut waiting {
        waiting.sort_by(|one, other| {
            (&one.entity, one.record.id).cmp(&(&other.entity, other.record.id))
        });
    }
    assert!(waiting[0] == waiting[1], "effects that have no outcome");
    assert_eq!(
        one.deletions(None, 100).await.unwrap(),
        other.deletions(None, 100).await.unwrap()
    );
}

async fn refuses_a_repeated_key(journal: &Arc<dyn Journal>, id: &str, round: u64) {
    let writer = Writer::claim(journal).await.unwrap();
    let last = journal.last_seq(&entity(id)).await.unwrap();
    let mut append = append_of(&entity(id), last.get(), 1);
    append.answer = Some(Answer {
        key: format!("key-{round}"),
        fingerprint: 1,
        reply: Bytes::new(),
    });
    let Err(AppendError::Answered { answer, .. }) = writer.append(vec![append]).await else {
        panic!("the key is forgotten");
    };
    assert_eq!(answer.fingerprint, u64::MAX - round);
}

/// There, on, and back: nothing is carried twice, and what outlived deletions is there.
pub async fn a_history_goes_there_and_back_and_is_the_same(factory: &impl ArchiveFactory) {
    let (first, last) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = log(first.path());
    write(&(Arc::clone(&source) as _), 0..20).await;
    let there = factory.open().await;
    let copied = copy(&*source, &*there, |_| ()).await.unwrap();
    assert_eq!((copied.appends, copied.last_offset), (200, Offset(200)));
    assert_eq!(all(&*source).await, all(&*there).await);

    // More comes, and what is there already is not carried again.
    write(&(Arc::clone(&source) as _), 20..30).await;
    source.delete(&entity("a"), Seq(31)).await.unwrap();
    source.delete(&entity("e"), Seq(60)).await.unwrap();
    let copied = copy(&*source, &*there, |_| ()).await.unwrap();
    assert_eq!((copied.appends, copied.last_offset), (100, Offset(300)));
    let again = copy(&*source, &*there, |_| ()).await.unwrap();
    assert_eq!((again.appends, again.last_offset), (0, Offset(300)));
    same(&*source, &*there).await;
    let mut epochs = [
        source.shards().await.unwrap(),
        there.shards().await.unwrap(),
    ];
    for shards in &mut epochs {
        shards.retain(|(shard, _)| shard.kind == "account");
        shards.sort();
    }
    assert_eq!(epochs[0], epochs[1]);

    // And back, where the journal may have forgotten what was deleted.
    write(&(Arc::clone(&there) as _), 30..31).await;
    let back = log(last.path());
    copy(&*there, &*back, |_| ()).await.unwrap();
    same(&*there, &*back).await;
    let journals: [Arc<dyn Journal>; 3] = [source, there, back];
    for journal in &journals {
        refuses_a_repeated_key(journal, "d", 5).await;
        refuses_a_repeated_key(journal, "e", 7).await;
    }
    write(&journals[2], 31..33).await;
}

/// Each number of appends is what an interruption may leave, in the middle of an offset or of a round.
pub async fn a_copy_that_was_interrupted_goes_on_wherever_it_was(factory: &impl ArchiveFactory) {
    let directory = tempfile::tempdir().unwrap();
    let source = log(directory.path());
    let there = factory.open().await;
    let journal: Arc<dyn Journal> = Arc::clone(&there) as _;
    let mut had = 0;
    for (round, left) in (0..).zip([1, 2, 3, 9, 10, 11, 13]) {
        write(&(Arc::clone(&source) as _), round * 2..round * 2 + 2).await;
        let whole = all(&*source).await;
        let writer = Writer::claim(&journal).await.unwrap();
        let begun = whole.iter().skip(had).take(left);
        let begun = begun.map(|kept| kept.append.clone());
        writer.append(begun.collect()).await.unwrap();
        let copied = copy(&*source, &*there, |_| ()).await.unwrap();
        assert_eq!(copied.appends, (whole.len() - had - left) as u64);
        assert_eq!(all(&*there).await, whole);
        had = whole.len();
    }
}

/// Nothing is added to what is of another history.
pub async fn a_target_that_others_wrote_to_is_refused(factory: &impl ArchiveFactory) {
    let directory = tempfile::tempdir().unwrap();
    let source = log(directory.path());
    write(&(Arc::clone(&source) as _), 0..2).await;
    let there = factory.open().await;
    let journal: Arc<dyn Journal> = Arc::clone(&there) as _;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("other"), 0, 3).await.unwrap();
    let refused = copy(&*source, &*there, |_| ()).await;
    assert!(
        matches!(refused, Err(CopyError::Diverged { .. })),
        "{refused:?}"
    );
    write(&journal, 0..20).await;
    let refused = copy(&*source, &*there, |_| ()).await;
    assert!(
        matches!(refused, Err(CopyError::Diverged { .. })),
        "{refused:?}"
    );
}
