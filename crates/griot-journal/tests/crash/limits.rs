//! Everything that waits has a limit, and what is over it is told so.

use std::sync::Arc;

use bytes::Bytes;
use griot_core::Seq;
use griot_journal::{
    Answer, Append, AppendError, BATCH_BYTES_MAX, Batch, Journal, JournalError, KEYS_KEPT,
    QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX,
};
use griot_testkit::SimDisk;
use griot_testkit::journal::entity;

use super::workload::{block_on, one, open, shard, write_as};

#[test]
fn g10_a_batch_over_the_limit_is_refused_and_one_below_it_is_stored() {
    block_on(async {
        let disk = SimDisk::new(1);
        let journal = open(&disk).unwrap();
        let epoch = journal.claim(&shard()).await.unwrap();
        let over = Bytes::from(vec![b'x'; BATCH_BYTES_MAX + 1]);
        let refused = write_as(&journal, epoch, vec![one("a", 0, over)]).await;
        let Err(AppendError::Refused(JournalError::TooLarge { limit, .. })) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(limit, BATCH_BYTES_MAX);
        let below = Bytes::from(vec![b'x'; BATCH_BYTES_MAX - 1000]);
        write_as(&journal, epoch, vec![one("a", 0, below)])
            .await
            .unwrap();
        assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(1));
    });
}

/// Gives batches to a journal whose disk stands still; says how many it took, and that all of
/// those are stored in the end.
fn fill(payload: &Bytes) -> usize {
    block_on(async {
        let disk = SimDisk::new(1);
        let journal = open(&disk).unwrap();
        let epoch = journal.claim(&shard()).await.unwrap();
        disk.hold();
        let mut given = Vec::new();
        let refused = loop {
            let seq = u64::try_from(given.len()).unwrap();
            let appends = vec![one("a", seq, payload.clone())];
            let mut answer = journal.append(Arc::new(Batch {
                shard: shard(),
                epoch,
                appends,
            }));
            match std::future::poll_fn(|cx| match answer.as_mut().poll(cx) {
                std::task::Poll::Pending => std::task::Poll::Ready(None),
                std::task::Poll::Ready(answer) => std::task::Poll::Ready(Some(answer)),
            })
            .await
            {
                None => given.push(answer),
                Some(answer) => break answer.unwrap_err(),
            }
            if given.len() == 1 {
                disk.wait_until_held();
            }
        };
        assert!(
            matches!(refused, AppendError::Refused(JournalError::Busy { .. })),
            "{refused}"
        );
        disk.release();
        let count = given.len();
        for answer in given {
            answer.await.unwrap();
        }
        assert_eq!(
            journal.last_seq(&entity("a")).await.unwrap().get(),
            count as u64
        );
        count
    })
}

#[test]
fn g10_more_batches_than_the_queue_holds_are_refused_and_none_that_it_took_is_lost() {
    // One more is at the disk.
    assert_eq!(fill(&Bytes::new()), QUEUE_BATCHES_MAX + 1);
}

#[test]
fn g10_more_bytes_than_the_queue_holds_are_refused_and_none_that_it_took_is_lost() {
    let payload = Bytes::from(vec![0; 16 << 20]);
    assert_eq!(fill(&payload), QUEUE_BYTES_MAX / (16 << 20));
}

#[test]
fn g10_an_entity_is_remembered_by_its_newest_keys() {
    block_on(async {
        let disk = SimDisk::new(1);
        let journal = open(&disk).unwrap();
        let epoch = journal.claim(&shard()).await.unwrap();
        let keyed = |expected: u64, key: u64| {
            let key = format!("key {key}");
            let answer = Answer {
                key,
                fingerprint: 1,
                reply: Bytes::new(),
            };
            Append {
                answer: Some(answer),
                ..one("a", expected, "")
            }
        };
        let count = 2 * KEYS_KEPT as u64 + 10;
        for (from, to) in [(0, count / 2), (count / 2, count)] {
            let appends = (from..to).map(|number| keyed(number, number)).collect();
            write_as(&journal, epoch, appends).await.unwrap();
        }
        let oldest = count - KEYS_KEPT as u64;
        for key in [oldest, oldest + 500, count - 1] {
            let repeated = write_as(&journal, epoch, vec![keyed(count, key)]).await;
            assert!(
                matches!(repeated, Err(AppendError::Answered { .. })),
                "{key}"
            );
        }
        write_as(&journal, epoch, vec![keyed(count, 0)])
            .await
            .unwrap();
    });
}
