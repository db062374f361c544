//! What the mailbox promises, one promise a test. `tests/loom.rs` explores its interleavings.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use griot_actor::mailbox::{Closed, TrySendError, mailbox};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn messages_arrive_in_the_order_in_which_they_were_sent() {
    let (sender, mut receiver) = mailbox(8);
    let sending = tokio::spawn(async move {
        for number in 0..10_000 {
            sender.send(number).await.unwrap();
        }
    });
    let mut all = Vec::new();
    let mut batch = VecDeque::new();
    while receiver.receive_batch(&mut batch).await {
        assert!(batch.len() <= 8, "a batch is bounded by the capacity");
        all.extend(batch.drain(..));
    }
    sending.await.unwrap();
    assert!(all.into_iter().eq(0..10_000));
}

#[tokio::test]
async fn a_full_mailbox_hands_the_message_back() {
    let (sender, mut receiver) = mailbox(1);
    sender.try_send("first").unwrap();
    assert_eq!(sender.try_send("second"), Err(TrySendError::Full("second")));
    let mut batch = VecDeque::new();
    assert_eq!(receiver.try_receive_batch(&mut batch), 1);
    sender.try_send("second").unwrap();
    receiver.close();
    assert_eq!(sender.try_send("third"), Err(TrySendError::Closed("third")));
    assert_eq!(sender.send("third").await, Err(Closed("third")));
    assert_eq!(sender.send_now("third"), Err(Closed("third")));
}

#[tokio::test]
async fn what_was_sent_before_the_close_can_be_received_after_it() {
    let (sender, mut receiver) = mailbox(4);
    sender.try_send(1).unwrap();
    receiver.close();
    let mut batch = VecDeque::new();
    assert!(receiver.receive_batch(&mut batch).await);
    assert_eq!(batch, [1]);
    batch.clear();
    assert!(!receiver.receive_batch(&mut batch).await);
}

#[test]
fn senders_that_wait_get_room_in_the_order_in_which_they_came() {
    let (sender, mut receiver) = mailbox(1);
    sender.try_send(0).unwrap();
    let (mut first, mut second) = (pin!(sender.send(1)), pin!(sender.send(2)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    let mut batch = VecDeque::new();
    receiver.try_receive_batch(&mut batch);
    assert!(
        poll(second.as_mut()).is_pending(),
        "the first in line goes first"
    );
    assert_eq!(
        sender.try_send(3),
        Err(TrySendError::Full(3)),
        "and nobody overtakes it"
    );
    assert!(poll(first.as_mut()).is_ready());
    receiver.try_receive_batch(&mut batch);
    assert!(poll(second.as_mut()).is_ready());
    receiver.try_receive_batch(&mut batch);
    assert_eq!(batch, [0, 1, 2]);
}

#[test]
fn only_as_many_senders_are_woken_as_there_are_slots() {
    let (sender, mut receiver) = mailbox(1);
    sender.try_send(0).unwrap();
    let counter = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut cx = Context::from_waker(&waker);
    let (mut first, mut second) = (pin!(sender.send(1)), pin!(sender.send(2)));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    receiver.try_receive_batch(&mut VecDeque::new());
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_batch_costs_the_receiver_one_wake_up() {
    let (sender, mut receiver) = mailbox(100);
    let counter = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut batch = VecDeque::new();
    let poll = receiver.poll_receive_batch(&mut Context::from_waker(&waker), &mut batch);
    assert!(poll.is_pending());
    for number in 0..100 {
        sender.try_send(number).unwrap();
    }
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    assert_eq!(receiver.try_receive_batch(&mut batch), 100);
}

#[test]
fn a_send_that_is_dropped_while_it_waits_was_not_sent() {
    let (sender, mut receiver) = mailbox(1);
    sender.try_send(0).unwrap();
    let mut batch = VecDeque::new();
    {
        let (mut waits, mut granted) = (pin!(sender.send(1)), Box::pin(sender.send(2)));
        assert!(poll(granted.as_mut()).is_pending());
        assert!(poll(waits.as_mut()).is_pending());
        receiver.try_receive_batch(&mut batch);
        drop(granted);
        assert!(
            poll(waits.as_mut()).is_ready(),
            "the slot went to the next in line"
        );
    }
    receiver.try_receive_batch(&mut batch);
    assert_eq!(batch, [0, 1]);
}

#[tokio::test]
async fn many_are_sent_in_order_and_those_not_sent_stay_with_the_sender() {
    let (sender, mut receiver) = mailbox(4);
    let sending = tokio::spawn(async move {
        let mut messages: VecDeque<u32> = (0..10).collect();
        let sent = sender.send_many(&mut messages).await;
        (sent, messages)
    });
    let mut batch = VecDeque::new();
    while batch.len() < 6 {
        assert!(receiver.receive_batch(&mut batch).await);
    }
    receiver.close();
    receiver.try_receive_batch(&mut batch);
    let (sent, left) = sending.await.unwrap();
    assert_eq!(sent.is_ok(), left.is_empty());
    assert!(batch.into_iter().chain(left).eq(0..10));
}

#[tokio::test]
async fn the_mailbox_closes_when_its_last_sender_is_gone() {
    let (sender, mut receiver) = mailbox::<u8>(1);
    let other = sender.clone();
    drop(sender);
    assert!(!other.is_closed());
    drop(other);
    assert!(!receiver.receive_batch(&mut VecDeque::new()).await);
}

#[test]
fn a_receiver_that_is_dropped_closes_the_mailbox_and_drops_what_is_left() {
    let (sender, receiver) = mailbox(2);
    let message = Arc::new(());
    sender.try_send(Arc::clone(&message)).unwrap();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(Arc::strong_count(&message), 1);
}

#[test]
#[should_panic(expected = "a mailbox needs a capacity of at least 1")]
fn a_capacity_of_zero_is_refused() {
    drop(mailbox::<u8>(0));
}
