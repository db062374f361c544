//! What is answered from memory is answered at once.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use griot_core::{Offset, Seq};
use griot_journal::{EmbeddedSnapshots, Filter, Journal, SeqRange, SnapshotBounds, SnapshotStore};
use griot_testkit::SimDisk;
use griot_testkit::journal::entity;

use super::workload::{block_on, one, open, write};

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it should be ready at its first poll"),
    }
}

#[test]
fn what_is_known_without_the_disk_is_ready_at_the_first_poll() {
    let disk = SimDisk::new(1);
    let journal = open(&disk).unwrap();
    block_on(write(&journal, vec![one("a", 0, "1")])).unwrap();
    let unknown = entity("unknown");
    assert!(
        at_once(journal.events(&unknown, SeqRange::ALL))
            .unwrap()
            .is_empty()
    );
    assert!(
        at_once(journal.commits(&unknown, Seq::ZERO, 0, 10))
            .unwrap()
            .is_empty()
    );
    assert!(
        at_once(journal.commits(&entity("a"), Seq(2), 0, 10))
            .unwrap()
            .is_empty()
    );
    assert_eq!(at_once(journal.last_seq(&entity("a"))).unwrap(), Seq(1));
    assert!(
        at_once(journal.unsettled("account", None, 10))
            .unwrap()
            .is_empty()
    );
    assert!(
        at_once(journal.tail(Offset(1), &Filter::default(), 10))
            .unwrap()
            .events
            .is_empty()
    );
    let scratch = tempfile::tempdir().unwrap();
    let snapshots = EmbeddedSnapshots::open(scratch.path()).unwrap();
    assert_eq!(
        at_once(snapshots.load(&unknown, SnapshotBounds::LATEST)).unwrap(),
        None
    );
}
