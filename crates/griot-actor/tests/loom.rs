//! Every interleaving of the mailbox with three threads.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p griot-actor --release --test loom`, which takes
//! minutes; with `LOOM_MAX_PREEMPTIONS=2` before it, it tries only the likelier interleavings.
#![cfg(loom)]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use griot_actor::mailbox::{Receiver, mailbox};
use loom::future::block_on;
use loom::thread;

/// Receives until there are `count` messages.
fn receive(receiver: &mut Receiver<(u8, u8)>, count: usize) -> Vec<(u8, u8)> {
    let mut batch = VecDeque::new();
    while batch.len() < count {
        assert!(block_on(receiver.receive_batch(&mut batch)));
    }
    batch.into()
}

fn of_sender(all: &[(u8, u8)], sender: u8) -> Vec<u8> {
    all.iter()
        .filter(|(from, _)| *from == sender)
        .map(|(_, number)| *number)
        .collect()
}

/// Three messages of two waiting senders have too many interleavings to try all: those with up to
/// two preemptions, where practice finds the bugs.
fn with_two_preemptions(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

// Threads return their sender, so that its drop adds no interleavings: one test is about drops.

#[test]
fn two_senders_that_wait_for_room_lose_and_duplicate_nothing() {
    loom::model(|| {
        let (sender, mut receiver) = mailbox(1);
        let other = sender.clone();
        let first = thread::spawn(move || (block_on(sender.send((0, 0))), sender));
        let second = thread::spawn(move || (block_on(other.send((1, 0))), other));
        let all = receive(&mut receiver, 2);
        let ((sent, _first), (also, _second)) = (first.join().unwrap(), second.join().unwrap());
        assert!(sent.is_ok() && also.is_ok());
        assert_eq!((of_sender(&all, 0).len(), of_sender(&all, 1).len()), (1, 1));
    });
}

#[test]
fn the_messages_of_one_sender_stay_in_order_while_another_sends() {
    with_two_preemptions(|| {
        let (sender, mut receiver) = mailbox(1);
        let other = sender.clone();
        let first = thread::spawn(move || {
            block_on(sender.send((0, 0))).unwrap();
            block_on(sender.send((0, 1))).unwrap();
            sender
        });
        let second = thread::spawn(move || {
            block_on(other.send((1, 0))).unwrap();
            other
        });
        let all = receive(&mut receiver, 3);
        let _senders = (first.join().unwrap(), second.join().unwrap());
        assert_eq!(all.len(), 3);
        assert_eq!(of_sender(&all, 0), [0, 1]);
        assert_eq!(of_sender(&all, 1), [0]);
    });
}

#[test]
fn a_close_hands_back_what_was_sent_and_refuses_the_rest() {
    loom::model(|| {
        let (sender, mut receiver) = mailbox(1);
        let other = sender.clone();
        let first = thread::spawn(move || (block_on(sender.send(1)), sender).0);
        let second = thread::spawn(move || (block_on(other.send(2)), other).0);
        let mut pending = VecDeque::new();
        receiver.try_receive_batch(&mut pending);
        receiver.close();
        receiver.try_receive_batch(&mut pending);
        let outcomes = [first.join().unwrap(), second.join().unwrap()];
        let refused = outcomes
            .into_iter()
            .filter_map(|outcome| outcome.err().map(|closed| closed.0));
        let mut all: Vec<i32> = pending.iter().copied().chain(refused).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2], "each is pending or refused, once");
        assert_eq!(receiver.try_receive_batch(&mut pending), 0);
    });
}

#[test]
fn a_sender_that_gives_up_waiting_passes_its_slot_on() {
    loom::model(|| {
        let (sender, mut receiver) = mailbox(1);
        sender.try_send((2, 0)).unwrap();
        let other = sender.clone();
        let gives_up = thread::spawn(move || {
            let sent = pin!(sender.send((0, 0)))
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready();
            (sent, sender)
        });
        let waits = thread::spawn(move || {
            block_on(other.send((1, 0))).unwrap();
            other
        });
        let mut all = receive(&mut receiver, 2);
        let ((sent, _sender), _other) = (gives_up.join().unwrap(), waits.join().unwrap());
        let mut rest = VecDeque::new();
        receiver.try_receive_batch(&mut rest);
        all.extend(rest);
        assert_eq!(of_sender(&all, 0).len(), usize::from(sent));
        assert_eq!(of_sender(&all, 1), [0]);
    });
}

#[test]
fn a_batch_of_many_interleaves_with_a_single_send() {
    with_two_preemptions(|| {
        let (sender, mut receiver) = mailbox(1);
        let other = sender.clone();
        let many = thread::spawn(move || {
            block_on(sender.send_many(&mut VecDeque::from([(0, 0), (0, 1)]))).unwrap();
            sender
        });
        let single = thread::spawn(move || {
            other.send_now((1, 0)).unwrap();
            other
        });
        let all = receive(&mut receiver, 3);
        let _senders = (many.join().unwrap(), single.join().unwrap());
        assert_eq!(of_sender(&all, 0), [0, 1]);
        assert_eq!(of_sender(&all, 1), [0]);
    });
}

#[test]
fn the_last_sender_to_go_wakes_the_receiver() {
    loom::model(|| {
        let (sender, mut receiver) = mailbox::<u8>(1);
        let other = sender.clone();
        let first = thread::spawn(move || drop(sender));
        let second = thread::spawn(move || drop(other));
        assert!(!block_on(receiver.receive_batch(&mut VecDeque::new())));
        first.join().unwrap();
        second.join().unwrap();
    });
}
