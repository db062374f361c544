//! A server that dies by kill -9 while it is written to.

#[path = "rig/server.rs"]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use griot_core::{Offset, Seq};
use griot_journal::{Answer, Append, AppendError, Filter, Journal, SeqRange};
use griot_testkit::journal::{Writer, append_of, entity};
use griot_testkit::probe::until;
use rig::{Server, connect, fresh, program};

const WRITERS: u32 = 8;
const KILLS: u64 = 3;

/// How often it dies, and how far each writer is.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    is_over: std::sync::atomic::AtomicBool,
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

#[test]
fn g1_g2_g3_no_acknowledged_append_is_lost_or_stored_twice_when_the_server_is_killed() {
    griot_testkit::run(async {
        let Some(program) = program() else { return };
        let server = Server::start(&program).await;
        let url = format!("{}&timeout_seconds=10", fresh(&server.url));
        let journal: Arc<dyn Journal> = Arc::new(connect(&url).await);
        let progress = Arc::<Progress>::default();
        let writers = (0..WRITERS).map(|number| {
            let (journal, progress) = (Arc::clone(&journal), Arc::clone(&progress));
            tokio::spawn(write(journal, number, progress))
        });
        let writers: Vec<_> = writers.collect();
        let acknowledged = || progress.acknowledged.load(Ordering::Relaxed);
        for _ in 0..KILLS {
            let before = acknowledged();
            until("they write", || async { acknowledged() > before + 100 }).await;
            server.kill().await;
        }
        let before = acknowledged();
        until("they write again", || async {
            acknowledged() > before + 100
        })
        .await;
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
        assert_eq!(
            (page.events.len() as u64, page.next),
            (total, Offset(total))
        );
        assert!(
            page.events
                .iter()
                .map(|event| event.offset.get())
                .eq(1..=total)
        );
    });
}
