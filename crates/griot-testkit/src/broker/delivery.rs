//! Delivery: what is published arrives, where it should, and until it is acknowledged.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::BTreeSet;

use bytes::Bytes;
use griot_events::{Message, Source};

use super::bench::{Bench, next, number};
use crate::BrokerFactory;

/// Bytes that are no text, a key and headers in order, one name twice.
pub async fn payload_key_and_headers_come_back(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let topic = bench.topic("orders");
    let payload = Bytes::from_static(&[0, 0xff, b'{', 7]);
    let message = Message::bytes(&topic, payload.clone())
        .key("ü/1")
        .id("id-1");
    let message = message
        .name("OrderPlaced")
        .header("a", "1")
        .header("b", "2, 3");
    bench.producer.publish(message).await.unwrap();
    bench
        .producer
        .publish(Message::bytes(&topic, ""))
        .await
        .unwrap();
    let mut source = bench.subscribe("orders", "g").await;
    let mut events =
        [next(source.as_mut()).await, next(source.as_mut()).await].map(|got| got.event);
    events.sort_by_key(|event| event.key().is_none());
    let [full, bare] = events;
    assert_eq!(full.topic(), topic);
    assert_eq!(full.payload(), &payload);
    assert_eq!(full.key().unwrap(), "ü/1");
    assert_eq!(
        (full.id().as_str(), full.name()),
        ("id-1", Some("OrderPlaced"))
    );
    let headers = full.headers();
    assert_eq!(
        (headers.get("a"), headers.get("B")),
        (Some("1"), Some("2, 3"))
    );
    assert_eq!(full.attempt(), 1);
    assert!(bare.payload().is_empty());
    assert_eq!(bare.key(), None);
}

/// Of one group.
pub async fn concurrent_subscribers_lose_none(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let (first, seen) = bench.watch("orders", "g").await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(bench.join(&seen, "orders", "g").await);
    }
    let keys: Vec<String> = (0..20).map(|key| format!("k{key}")).collect();
    for key in &keys {
        bench.publish("orders", key, 0..20).await;
    }
    seen.until_different(400).await;
    drop((first, others));
}

/// By one member.
pub async fn many_topics_are_served(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let mut subscription = bench.subscription("t0", "g");
    subscription.topics = (0..10)
        .map(|topic| bench.topic(&format!("t{topic}")))
        .collect();
    let mut source = bench.broker.subscribe(subscription.clone()).await.unwrap();
    for topic in 0..10 {
        bench.publish(&format!("t{topic}"), "k", 0..5).await;
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 50 {
        let delivery = next(source.as_mut()).await;
        seen.insert((delivery.event.topic().to_owned(), number(&delivery.event)));
        delivery.receipt.ack().await.unwrap();
    }
}

/// A subscriber gets nothing of another topic, also of one whose name begins like its own.
pub async fn topics_are_isolated(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders2", "k", [1]).await;
    bench.publish("orders", "k", [2]).await;
    bench.publish("order", "k", [3]).await;
    bench.publish("orders", "k", [4]).await;
    let mut source = bench.subscribe("orders", "g").await;
    for expected in [2, 4] {
        let delivery = next(source.as_mut()).await;
        assert_eq!(number(&delivery.event), expected);
        assert_eq!(delivery.event.topic(), bench.topic("orders"));
        delivery.receipt.ack().await.unwrap();
    }
}

/// In order, whatever the other did.
pub async fn two_groups_each_get_all(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let (_one, seen_by_one) = bench.watch("orders", "one").await;
    let (_two, seen_by_two) = bench.watch("orders", "two").await;
    bench.publish("orders", "k", 0..100).await;
    for seen in [seen_by_one, seen_by_two] {
        seen.until_different(100).await;
        assert_eq!(seen.first_numbers("k"), (0..100).collect::<Vec<_>>());
    }
}

/// Though another has acknowledged everything.
pub async fn a_new_group_reads_from_the_beginning(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..10).await;
    read_and_acknowledge(bench.subscribe("orders", "old").await.as_mut(), 0..10).await;
    read_and_acknowledge(bench.subscribe("orders", "new").await.as_mut(), 0..10).await;
}

/// At once, and with what identifies it.
pub async fn a_message_given_back_is_given_again(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", [1]).await;
    let mut source = bench.subscribe("orders", "g").await;
    let first = next(source.as_mut()).await;
    let id = first.event.id();
    first.receipt.give_back().await.unwrap();
    let again = next(source.as_mut()).await;
    assert_eq!((again.event.id(), number(&again.event)), (id, 1));
    again.receipt.ack().await.unwrap();
}

/// Also those that it had and did not acknowledge.
pub async fn others_go_on_after_a_subscriber_closes(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..10).await;
    let mut leaving = bench.subscribe("orders", "g").await;
    let held = next(leaving.as_mut()).await;
    assert_eq!(number(&held.event), 0);
    drop((held, leaving));
    read_and_acknowledge(bench.subscribe("orders", "g").await.as_mut(), 0..10).await;
}

/// Within the broker's window: the second is confirmed, and not stored.
pub async fn a_message_id_published_twice_arrives_once(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let topic = bench.topic("orders");
    let message = |id: &str, number: u64| Message::json(&topic, &number).unwrap().key("k").id(id);
    bench.producer.publish(message("a", 1)).await.unwrap();
    bench.producer.publish(message("a", 1)).await.unwrap();
    let batch = vec![
        message("a", 1),
        message("b", 2),
        message("b", 2),
        message("c", 3),
    ];
    for outcome in bench.producer.publish_all(batch).await {
        outcome.unwrap();
    }
    read_and_acknowledge(bench.subscribe("orders", "g").await.as_mut(), 1..4).await;
}

/// Whether it was heard or not, the message is acknowledged or given again.
pub async fn a_cancelled_acknowledgement_loses_nothing(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..3).await;
    let mut source = bench.subscribe("orders", "g").await;
    let first = next(source.as_mut()).await;
    drop(first.receipt.ack());
    drop(source);
    let mut source = bench.subscribe("orders", "g").await;
    let mut seen = BTreeSet::new();
    while !seen.contains(&2) {
        let delivery = next(source.as_mut()).await;
        seen.insert(number(&delivery.event));
        delivery.receipt.ack().await.unwrap();
    }
    assert!(seen.is_superset(&BTreeSet::from([1, 2])));
}

async fn read_and_acknowledge(source: &mut dyn Source, numbers: impl IntoIterator<Item = u64>) {
    for expected in numbers {
        let delivery = next(source).await;
        assert_eq!(number(&delivery.event), expected);
        delivery.receipt.ack().await.unwrap();
    }
}
