//! Order: the messages of a key, one after the other; other keys wait for none of them.

use std::sync::Arc;

use griot_events::{Answer, Event};
use tokio::sync::Semaphore;

use super::bench::{Bench, Seen, number};
use crate::BrokerFactory;

/// While the first is handled; other keys are handled meanwhile.
pub async fn g8_the_next_of_a_key_is_withheld_until_the_first_is_done(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    let is_slow = |event: &Event| event.key().is_some_and(|key| key == "slow");
    let group = bench.subscription("orders", "g");
    let (_consuming, seen, open) = bench.hold(group, is_slow).await;
    bench.publish("orders", "slow", 0..3).await;
    bench.publish("orders", "quick", 0..20).await;
    seen.until_different(21).await;
    assert_eq!(seen.numbers("slow"), [0]);
    open.add_permits(1);
    seen.until_different(23).await;
    assert_eq!(seen.first_numbers("slow"), [0, 1, 2]);
}

/// Each key is seen in its order, by whomever.
pub async fn g8_order_per_key_is_kept_with_ten_subscribers(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let seen = Seen::default();
    let mut members = Vec::new();
    for _ in 0..10 {
        members.push(bench.join(&seen, "orders", "g").await);
    }
    let keys: Vec<String> = (0..10).map(|key| format!("k{key}")).collect();
    for start in [0, 10, 20] {
        for key in &keys {
            bench.publish("orders", key, start..start + 10).await;
        }
    }
    seen.until_different(300).await;
    for key in &keys {
        assert_eq!(
            seen.first_numbers(key),
            (0..30).collect::<Vec<_>>(),
            "{key}"
        );
    }
}

/// The first of a key fails again and again, until the other keys are done.
pub async fn g8_order_per_key_is_kept_during_a_retry_and_other_keys_go_on(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    let (seen, open) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let (by, wait) = (seen.clone(), Arc::clone(&open));
    let handler = move |event: Event| {
        by.add(&event);
        let fails = event.key().is_some_and(|key| key == "bad")
            && number(&event) == 0
            && wait.available_permits() == 0;
        async move {
            if fails {
                let reason = "not yet".to_owned();
                return Answer::Retry { reason };
            }
            Answer::Ack
        }
    };
    let _consuming = bench
        .consume(bench.subscription("orders", "g"), handler)
        .await;
    bench.publish("orders", "bad", 0..3).await;
    bench.publish("orders", "good", 0..20).await;
    seen.until_different(21).await;
    let again = |handled: &super::Handled| handled.key == "bad" && handled.attempt >= 4;
    seen.until(|all| all.iter().any(again)).await;
    assert!(seen.numbers("bad").iter().all(|number| *number == 0));
    open.add_permits(1);
    seen.until_different(23).await;
    assert_eq!(seen.first_numbers("bad"), [0, 1, 2]);
    assert_eq!(seen.first_numbers("good"), (0..20).collect::<Vec<_>>());
}

/// Members join and leave while messages come.
pub async fn g8_a_rebalance_under_load_loses_none_and_keeps_the_order(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    let seen = Seen::default();
    let member = async || {
        let by = seen.clone();
        let handler = move |event: Event| {
            let by = by.clone();
            async move {
                tokio::task::yield_now().await;
                by.add(&event);
                Answer::Ack
            }
        };
        bench
            .consume(bench.subscription("orders", "g"), handler)
            .await
    };
    let keys: Vec<String> = (0..10).map(|key| format!("k{key}")).collect();
    let mut members = vec![member().await];
    for round in 0..10 {
        for key in &keys {
            bench
                .publish("orders", key, round * 10..round * 10 + 10)
                .await;
        }
        members.push(member().await);
        if members.len() > 3 {
            drop(members.remove(0));
        }
    }
    seen.until_different(1_000).await;
    for key in &keys {
        assert_eq!(
            seen.first_numbers(key),
            (0..100).collect::<Vec<_>>(),
            "{key}"
        );
    }
}
