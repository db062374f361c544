//! Killed: a server that dies by kill -9 while it is written to and followed.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use griot_core::{Offset, Seq};
use griot_journal::{Answer, Append, AppendError, Filter, Journal, RecordedEvent, SeqRange};

use super::{Writer, append_of, entity};
use crate::OwnServer;
use crate::probe::until;

const WRITERS: u32 = 8;
const KILLS: u64 = 3;

/// How far the writers are.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

impl Progress {
    async fn another_hundred(&self) {
        let acknowledged = || self.acknowledged.load(Ordering::Relaxed);
        let before = acknowledged();
        until("they write", || async { acknowledged() > before + 100 }).await;
    }
}

/// Appends one event after the other, each with a key, until it is told to end. After an unknown outcome it
/// claims anew, and gives the same key again: it ends with an outcome that is known.
async fn write(journal: Arc<dyn Journal>, number: u32, progress: Arc<Progress>) -> u64 {
    let id = entity(&format!("{number}"));
    let mut owner = claim(&journal, number).await;
    let mut seq = 0;
    loop {
        let append = Append {
            answer: Some(Answer {
                key: format!("event {seq}"),
                fingerprint: seq,
                reply: Bytes::new(),
            }),
            ..append_of(&id, seq, 1)
        };
        match owner.append(vec![append]).await {
            Ok(_) | Err(AppendError::Answered { .. }) => {
                seq += 1;
                progress.acknowledged.fetch_add(1, Ordering::Relaxed);
                if progress.is_over.load(Ordering::Relaxed) {
                    return seq;
                }
            }
            Err(AppendError::Unknown(_) | AppendError::Refused(_)) => {
                owner = claim(&journal, number).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn claim(journal: &Arc<dyn Journal>, number: u32) -> Writer {
    loop {
        if let Ok(owner) = Writer::claim_shard(journal, number).await {
            return owner;
        }
    }
}

/// What a reader saw as soon as it could be seen.
async fn follow(journal: Arc<dyn Journal>, progress: Arc<Progress>) -> Vec<RecordedEvent> {
    let (mut seen, mut after) = (Vec::new(), Offset::ZERO);
    while !progress.is_over.load(Ordering::Relaxed) {
        if let Ok(page) = journal.tail(after, &Filter::default(), 1000).await {
            after = page.next;
            seen.extend(page.events);
        }
    }
    seen
}

/// A server that is killed while writers write loses nothing that it acknowledged or showed to `reader`, and has
/// nothing twice. Both journals are the same place, as two processes see it.
///
/// # Panics
///
/// When that is not so.
pub async fn no_acknowledged_append_is_lost_or_stored_twice_when_the_server_is_killed(
    server: &OwnServer,
    journal: Arc<dyn Journal>,
    reader: Arc<dyn Journal>,
) {
    let progress = Arc::<Progress>::default();
    let reader = tokio::spawn(follow(reader, Arc::clone(&progress)));
    let writers = (0..WRITERS).map(|number| {
        let (journal, progress) = (Arc::clone(&journal), Arc::clone(&progress));
        tokio::spawn(write(journal, number, progress))
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..KILLS {
        progress.another_hundred().await;
        server.kill().await;
    }
    progress.another_hundred().await;
    progress.is_over.store(true, Ordering::Relaxed);
    let mut total = 0;
    for (number, writer) in (0..WRITERS).zip(writers) {
        let count = writer.await.unwrap();
        let id = entity(&format!("{number}"));
        assert_eq!(journal.last_seq(&id).await.unwrap(), Seq(count));
        let events = journal.events(&id, SeqRange::ALL).await.unwrap();
        assert!(events.iter().map(|event| event.seq.get()).eq(1..=count));
        total += count;
    }
    let page = journal
        .tail(Offset::ZERO, &Filter::default(), usize::MAX)
        .await
        .unwrap();
    assert_eq!(page.next, Offset(total));
    let offsets = page.events.iter().map(|event| event.offset.get());
    assert!(offsets.eq(1..=total));
    let seen = reader.await.unwrap();
    assert!(!seen.is_empty());
    let kept = page.events.get(..seen.len());
    assert!(kept == Some(&*seen), "a reader saw what is not there");
}
