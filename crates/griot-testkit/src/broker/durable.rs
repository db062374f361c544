//! Durable: what a broker confirmed is there when it is closed and opened again.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use griot_events::{BrokerError, Message};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bench::{Bench, SOON, next, number};
use crate::BrokerFactory;

/// And all that is called afterwards says that it is closed.
pub async fn ten_concurrent_closes_end(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..10).await;
    let mut source = bench.subscribe("orders", "g").await;
    let mut closes = JoinSet::new();
    for _ in 0..10 {
        let broker = Arc::clone(&bench.broker);
        closes.spawn(async move { broker.close().await });
    }
    timeout(SOON, closes.join_all()).await.unwrap();
    while let Some(incoming) = timeout(SOON, source.next()).await.unwrap() {
        drop(incoming);
    }
    let message = Message::json(&bench.topic("orders"), &1).unwrap();
    let refused = bench.producer.publish(message).await;
    assert!(matches!(refused, Err(BrokerError::Closed)), "{refused:?}");
    let refused = bench
        .broker
        .subscribe(bench.subscription("orders", "h"))
        .await;
    assert!(matches!(refused, Err(BrokerError::Closed)));
    assert!(bench.broker.check().await.is_err());
}

/// Dropped before it ended, or before it began.
pub async fn a_cancelled_close_can_be_closed_again(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..10).await;
    drop(bench.broker.close());
    timeout(SOON, bench.broker.close()).await.unwrap();
}

/// Each of many publishers knows of its own.
pub async fn closing_while_publishing_loses_none_that_was_confirmed(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let mut publishers = JoinSet::new();
    for publisher in 0..10 {
        let (producer, topic) = (bench.producer.clone(), bench.topic("orders"));
        publishers.spawn(async move {
            let mut confirmed = Vec::new();
            for number in publisher * 1_000.. {
                let message = Message::json(&topic, &number).unwrap();
                match producer.publish(message).await {
                    Ok(()) => confirmed.push(number),
                    Err(_) => break,
                }
            }
            confirmed
        });
    }
    bench.publish("orders", "k", [999_999]).await;
    let bench = bench.close_and_open(factory).await;
    let confirmed: BTreeSet<u64> = publishers.join_all().await.into_iter().flatten().collect();
    let mut source = bench.subscribe("orders", "g").await;
    let mut seen = BTreeSet::new();
    while !(seen.is_superset(&confirmed) && seen.contains(&999_999)) {
        let delivery = next(source.as_mut()).await;
        seen.insert(number(&delivery.event));
        delivery.receipt.ack().await.unwrap();
    }
}

/// Acknowledged out of order, the others are given, in theirs.
pub async fn g8_what_was_not_acknowledged_is_given_after_reopening_and_no_other(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..10).await;
    let mut source = bench.subscribe("orders", "g").await;
    let mut held = Vec::new();
    for _ in 0..10 {
        let delivery = next(source.as_mut()).await;
        if [0, 1, 5, 9].contains(&number(&delivery.event)) {
            held.push(delivery);
        } else {
            delivery.receipt.ack().await.unwrap();
        }
    }
    drop((held, source));
    let bench = bench.close_and_open(factory).await;
    bench.publish("orders", "k", [10]).await;
    let mut source = bench.subscribe("orders", "g").await;
    for expected in [0, 1, 5, 9, 10] {
        let delivery = next(source.as_mut()).await;
        assert_eq!(number(&delivery.event), expected);
        delivery.receipt.ack().await.unwrap();
    }
}
