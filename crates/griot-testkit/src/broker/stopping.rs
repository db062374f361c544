//! Stopping: what a consumer that pauses, drains or is dropped leaves behind.

use std::time::Duration;

use tokio::time::Instant;

use super::bench::{Bench, SOON};
use crate::BrokerFactory;

/// What it had it finishes.
pub async fn a_paused_consumer_takes_nothing_in_until_it_resumes(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let (consuming, seen) = bench.watch("orders", "g").await;
    bench.publish("orders", "k", 0..5).await;
    seen.until_different(5).await;
    consuming.pause();
    consuming.until_in_flight(0).await;
    bench.publish("orders", "k", 5..10).await;
    let (_other, read) = bench.watch("orders", "other").await;
    read.until_different(10).await;
    assert!(
        seen.first_numbers("k").len() <= 6,
        "at most one was on its way"
    );
    consuming.resume();
    seen.until_different(10).await;
    assert_eq!(seen.first_numbers("k"), (0..10).collect::<Vec<_>>());
}

/// Another member gets those that had not begun, and no other.
pub async fn g9_a_drain_finishes_what_runs_and_gives_back_the_rest(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let (consuming, seen, open) = bench.stall(bench.subscription("orders", "g")).await;
    bench.publish("orders", "k", 0..10).await;
    seen.until_different(1).await;
    let drained = tokio::spawn(consuming.drain(SOON));
    open.add_permits(1);
    assert_eq!(drained.await.ok(), Some(0));
    let done = seen.first_numbers("k").len();
    assert!(done >= 1);
    let (_next, rest) = bench.watch("orders", "g").await;
    rest.until_different(10 - done).await;
    let all: Vec<_> = [seen.first_numbers("k"), rest.first_numbers("k")].concat();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
}

/// Though a handler does not end; its message is given again.
pub async fn g9_a_drain_ends_within_its_deadline(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let (consuming, seen, _open) = bench.stall(bench.subscription("orders", "g")).await;
    bench.publish("orders", "k", 0..3).await;
    seen.until_different(1).await;
    let began = Instant::now();
    assert_eq!(consuming.drain(Duration::from_millis(200)).await, 1);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let (_next, rest) = bench.watch("orders", "g").await;
    rest.until_different(3).await;
    assert_eq!(rest.first_numbers("k"), [0, 1, 2]);
    assert_eq!(seen.numbers("k"), [0], "none of the others had its turn");
}

/// All of it, since nothing was acknowledged.
pub async fn g9_a_dropped_consumer_leaves_what_it_had_to_be_given_again(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    let (consuming, seen, _open) = bench.stall(bench.subscription("orders", "g")).await;
    bench.publish("orders", "k", 0..5).await;
    seen.until_different(1).await;
    drop(consuming);
    let (_next, rest) = bench.watch("orders", "g").await;
    rest.until_different(5).await;
    assert_eq!(rest.first_numbers("k"), (0..5).collect::<Vec<_>>());
    assert_eq!(seen.numbers("k"), [0], "none of the others had its turn");
}
