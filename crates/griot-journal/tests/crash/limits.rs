//! Everything that waits has a limit, and what is over it is told so.

use std::sync::Arc;

use bytes::Bytes;
use griot_core::Seq;
use griot_journal::{
    AppendError, BATCH_BYTES_MAX, Batch, Journal, JournalError, QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX,
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
