//! Handling: what each answer comes to, and what a handler may do wrong.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::time::Duration;

use griot_events::{
    Answer, Batch, DEAD_LETTER_ATTEMPTS, DEAD_LETTER_MESSAGE_ID, DEAD_LETTER_REASON,
    DEAD_LETTER_TOPIC, DeadLetter, Event, Message, Publication, Router, dead_letter_topic,
};

use tokio::sync::watch;
use tokio::time::timeout;

use super::bench::{Bench, Seen, next, number};
use crate::BrokerFactory;

/// Each message fails three times.
pub async fn it_goes_on_after_many_errors(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let seen = Seen::default();
    let by = seen.clone();
    let handler = move |event: Event| {
        by.add(&event);
        async move {
            if event.attempt() <= 3 {
                let reason = "again".to_owned();
                return Answer::Retry { reason };
            }
            Answer::Ack
        }
    };
    let _consuming = bench
        .consume(bench.subscription("orders", "g"), handler)
        .await;
    for key in ["a", "b", "c", "d"] {
        bench.publish("orders", key, 0..10).await;
    }
    let done = |all: &[super::Handled]| all.iter().filter(|handled| handled.attempt == 4).count();
    seen.until(|all| done(all) >= 40).await;
    for key in ["a", "b", "c", "d"] {
        assert_eq!(seen.first_numbers(key), (0..10).collect::<Vec<_>>());
    }
}

/// Published, in order, and with the key it was given.
pub async fn an_answer_is_out_before_its_message_is_done(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let bills = bench.topic("bills");
    let handler = move |event: Event| {
        let bill = |part: u64| Publication {
            topic: bills.clone(),
            key: Some("customer".to_owned()),
            headers: Vec::new(),
            payload: (number(&event) * 10 + part).to_string().into(),
        };
        let answer = Answer::Publish(vec![bill(1), bill(2)]);
        async move { answer }
    };
    let consuming = bench
        .consume(bench.subscription("orders", "g"), handler)
        .await;
    let (_bills, seen) = bench.watch("bills", "h").await;
    bench.publish("orders", "k", 1..=20).await;
    seen.until_different(40).await;
    let expected: Vec<_> = (1..=20)
        .flat_map(|order| [order * 10 + 1, order * 10 + 2])
        .collect();
    assert_eq!(seen.first_numbers("customer"), expected);
    assert_eq!(consuming.drain(Duration::from_secs(30)).await, 0);
}

/// And its payload and key.
pub async fn a_dead_letter_carries_cause_attempts_and_headers(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let topic = bench.topic("orders");
    let handler = |event: Event| async move {
        let reason = "no such customer".to_owned();
        match event.attempt() {
            1 => Answer::Retry { reason },
            _ => Answer::DeadLetter { reason },
        }
    };
    let _consuming = bench
        .consume(bench.subscription("orders", "g"), handler)
        .await;
    let message = Message::bytes(&topic, "7")
        .key("k")
        .id("m-7")
        .header("trace", "abc");
    bench.producer.publish(message).await.unwrap();
    let mut subscription = bench.subscription("orders", "dead");
    subscription.topics = vec![dead_letter_topic(&topic)];
    let mut source = bench.broker.subscribe(subscription).await.unwrap();
    let letter = next(source.as_mut()).await.event;
    assert_eq!(
        (letter.key().unwrap().as_ref(), number(&letter)),
        (b"k".as_ref(), 7)
    );
    for (name, value) in [
        ("trace", "abc"),
        (DEAD_LETTER_REASON, "no such customer"),
        (DEAD_LETTER_ATTEMPTS, "2"),
        (DEAD_LETTER_TOPIC, &topic),
        (DEAD_LETTER_MESSAGE_ID, "m-7"),
    ] {
        assert_eq!(letter.headers().get(name), Some(value), "{name}");
    }
}

/// The next of its key is handled then.
pub async fn a_handler_that_panics_is_tried_again_then_its_message_is_a_dead_letter(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    let seen = Seen::default();
    let by = seen.clone();
    let handler = move |event: Event| {
        by.add(&event);
        async move {
            assert!(number(&event) != 1, "one is too many");
            Answer::Ack
        }
    };
    let _consuming = bench
        .consume(bench.subscription("orders", "g"), handler)
        .await;
    bench.publish("orders", "k", 0..3).await;
    seen.until_different(3).await;
    assert_eq!(seen.numbers("k"), [0, 1, 1, 1, 2]);
    let mut subscription = bench.subscription("orders", "dead");
    subscription.topics = vec![dead_letter_topic(&bench.topic("orders"))];
    let mut source = bench.broker.subscribe(subscription).await.unwrap();
    let letter = next(source.as_mut()).await.event;
    assert_eq!(number(&letter), 1);
    let reason = letter.headers().get(DEAD_LETTER_REASON).unwrap();
    assert!(reason.contains("one is too many"), "{reason}");
}

/// It takes two leases, and is not given to anybody else. A broker without leases has nothing to extend.
pub async fn a_lease_is_extended_while_a_handler_is_slow(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let source = bench.subscribe("orders", "other").await;
    let takes = source.lease().unwrap_or_default() * 2;
    drop(source);
    let group = bench.subscription("orders", "g");
    let (consuming, seen, open) = bench.hold(group, |event| number(event) == 0).await;
    bench.publish("orders", "k", 0..2).await;
    seen.until_different(1).await;
    let more = timeout(takes, seen.until(|all| all.len() > 1)).await;
    assert!(more.is_err(), "given to another: {:?}", seen.all());
    open.add_permits(1);
    seen.until_different(2).await;
    // Given again, it would wait behind the other.
    consuming.until_in_flight(0).await;
    assert_eq!(seen.numbers("k"), [0, 1]);
    assert!(seen.all().iter().all(|handled| handled.redelivered == 0));
}

/// So that the bad one alone is a dead letter, and no later one of its key is handled before it is.
pub async fn g8_batches_keep_the_order_and_one_falls_apart_where_a_message_is_bad(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    for key in ["a", "b", "c"] {
        bench.publish("orders", key, 0..20).await;
    }
    let seen = Seen::default();
    let (by, sizes) = (seen.clone(), watch::Sender::new(Vec::new()));
    let of_batches = sizes.subscribe();
    let handler = async move |orders: Vec<Event>| {
        let bad = |order: &Event| order.key().is_some_and(|key| key == "b") && number(order) == 7;
        for order in &orders {
            by.add(order);
        }
        sizes.send_modify(|sizes| sizes.push(orders.len()));
        if orders.iter().any(bad) {
            return Err(DeadLetter("one of them is bad"));
        }
        Ok(())
    };
    let topic = bench.topic("orders");
    let batch = Batch {
        events_max: 10,
        wait_max: Duration::from_millis(200),
    };
    let router = Router::new().on_batch(&topic, batch, handler);
    let group = bench.subscription("orders", "g");
    let consuming = bench.serve(group, router).await;
    seen.until_different(60).await;
    for key in ["a", "b", "c"] {
        assert_eq!(seen.first_numbers(key), (0..20).collect::<Vec<_>>());
    }
    let mut subscription = bench.subscription("orders", "dead");
    subscription.topics = vec![dead_letter_topic(&topic)];
    let mut source = bench.broker.subscribe(subscription).await.unwrap();
    let letter = next(source.as_mut()).await;
    let (key, bad) = (letter.event.key().unwrap(), number(&letter.event));
    assert_eq!((key.as_ref(), bad), (b"b".as_ref(), 7));
    letter.receipt.ack().await.unwrap();
    // A message that was settled is not given again: so no other is, or will be, a dead letter.
    consuming.until_in_flight(0).await;
    drop(consuming);
    let end = Message::json(&dead_letter_topic(&topic), &99)
        .unwrap()
        .key("b");
    bench.producer.publish(end).await.unwrap();
    assert_eq!(number(&next(source.as_mut()).await.event), 99);
    let sizes = of_batches.borrow();
    assert!(sizes.iter().all(|size| *size <= 10) && sizes.iter().any(|size| *size > 1));
}

/// To what the subscription says, however many there are.
pub async fn g10_a_stalled_handler_bounds_what_is_taken_in(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let mut subscription = bench.subscription("orders", "g");
    subscription.in_flight_max = 7;
    let (consuming, seen, open) = bench.stall(subscription).await;
    let keys: Vec<String> = (0..50).map(|key| format!("k{key}")).collect();
    for key in &keys {
        bench.publish("orders", key, 0..4).await;
    }
    seen.until_different(1).await;
    // Whoever comes later reads all of them: so the stalled one has had its time.
    let (_other, read) = bench.watch("orders", "other").await;
    read.until_different(200).await;
    assert!(seen.all().len() <= 7 && consuming.in_flight() <= 7);
    open.add_permits(1);
    seen.until_different(200).await;
}
