//! A history is carried over only to where it belongs.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;

use griot_core::{Offset, Timestamp};
use griot_journal::{CopyError, Journal, MemoryJournal, copy};
use griot_testkit::journal::{Writer, append_of, entity};

/// An entity with appends of two events each, from a time on.
async fn written(times: i64) -> Arc<MemoryJournal> {
    let journal = Arc::new(MemoryJournal::new());
    let shared: Arc<dyn Journal> = Arc::clone(&journal) as _;
    let writer = Writer::claim(&shared).await.unwrap();
    for round in 0..3 {
        let mut append = append_of(&entity("same"), round * 2, 2);
        append.at = Timestamp::from_micros(times);
        writer.append(vec![append]).await.unwrap();
    }
    journal
}

#[tokio::test]
async fn a_history_that_only_looks_the_same_is_refused() {
    let source = written(1_000).await;
    let twin = written(2_000).await;
    let refused = copy(&*source, &*twin, |_| ()).await;
    assert!(
        matches!(refused, Err(CopyError::Diverged { offset: Offset(6) })),
        "{refused:?}"
    );
    let same = written(1_000).await;
    assert_eq!(copy(&*source, &*same, |_| ()).await.unwrap().appends, 0);
}
