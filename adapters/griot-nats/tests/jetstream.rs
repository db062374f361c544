//! The broker contract over a running server with JetStream.

#[path = "rig/server.rs"]
mod rig;

use std::collections::BTreeSet;
use std::time::Duration;

use griot_events::{Broker, BrokerError, Order};
use griot_testkit::probe::{
    message, message_with_id, next, publish, quiet, subscribe, subscription, take, text, topic,
};
use rig::{connect, running};

/// Keys, and messages of each, that members share in turn.
const KEYS: usize = 5;
const EACH: usize = 40;

/// Long enough for a message that would come to have come.
const MOMENT: Duration = Duration::from_millis(300);

macro_rules! with_server {
    ($url:ident) => {
        let Some($url) = running() else { return };
    };
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_message_arrives_with_its_payload_key_headers_and_time() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("whole");
    let mut sent = message_with_id(&topic, "käy 1", "payload", "id-1");
    sent.headers
        .push(("event-name".to_owned(), "Placed".to_owned()));
    sent.headers
        .push(("odd".to_owned(), " two\nlines ".to_owned()));
    publish(&broker, vec![sent.clone()]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    let event = next(&mut source).await.event;
    assert_eq!(event.topic(), topic);
    assert_eq!(event.key().unwrap(), "käy 1".as_bytes());
    assert_eq!(event.payload(), &sent.payload);
    assert_eq!((event.name(), event.id()), (Some("Placed"), "id-1".into()));
    let headers: Vec<_> = event.headers().iter().collect();
    let expected = sent.headers.iter();
    let expected: Vec<_> = expected
        .map(|(name, value)| (name.as_str(), value.as_bytes().to_vec().into()))
        .collect();
    let headers: Vec<(&str, bytes::Bytes)> = headers
        .into_iter()
        .map(|(name, value)| (name, value.clone()))
        .collect();
    assert_eq!(headers, expected);
    assert!(event.published_at().is_some());
    assert_eq!(event.redelivered(), 0);
}

#[tokio::test]
async fn members_share_a_topic_without_order_and_every_group_gets_all() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("shared");
    let mut one = subscribe(&broker, &topic, "shared", Order::None).await;
    let mut two = subscribe(&broker, &topic, "shared", Order::None).await;
    let mut other = subscribe(&broker, &topic, "other", Order::PerKey).await;
    let all = (0..200).map(|n| message(&topic, "", n)).collect();
    publish(&broker, all).await;
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    while of_one.len() + of_two.len() < 200 {
        let (delivery, taken) = tokio::select! {
            delivery = next(&mut one) => (delivery, &mut of_one),
            delivery = next(&mut two) => (delivery, &mut of_two),
        };
        taken.push(text(&delivery));
        delivery.receipt.ack().await.unwrap();
    }
    assert!(!of_one.is_empty() && !of_two.is_empty());
    let shared: BTreeSet<String> = of_one.into_iter().chain(of_two).collect();
    assert_eq!(shared, numbers(0..200).into_iter().collect());
    assert_eq!(take(&mut other, 200).await, numbers(0..200));
}

#[tokio::test]
async fn a_new_group_begins_with_the_oldest_and_a_known_one_goes_on() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("groups");
    publish(&broker, (0..3).map(|n| message(&topic, "k", n)).collect()).await;
    for order in [Order::PerKey, Order::None] {
        let group = format!("{order:?}");
        let mut source = subscribe(&broker, &topic, &group, order).await;
        assert_eq!(take(&mut source, 2).await, ["0", "1"]);
        drop(source);
        let mut source = subscribe(&broker, &topic, &group, order).await;
        assert_eq!(take(&mut source, 1).await, ["2"]);
        quiet(&mut source, MOMENT).await;
    }
}

#[tokio::test]
async fn a_message_that_was_dropped_or_given_back_comes_again() {
    with_server!(url);
    let broker = connect(&format!("{url}?lease_seconds=1")).await;
    for order in [Order::PerKey, Order::None] {
        let topic = topic("again");
        let mut source = subscribe(&broker, &topic, "g", order).await;
        publish(&broker, vec![message(&topic, "k", "1")]).await;
        drop(next(&mut source).await);
        let second = next(&mut source).await;
        assert!(second.event.redelivered() >= 1, "{order:?}");
        second.receipt.give_back().await.unwrap();
        let third = next(&mut source).await;
        assert!(third.event.redelivered() >= 2, "{order:?}");
        third.receipt.ack().await.unwrap();
        quiet(&mut source, Duration::from_millis(1_500)).await;
    }
}

#[tokio::test]
async fn a_message_that_is_worked_on_stays_with_its_member() {
    with_server!(url);
    let broker = connect(&format!("{url}?lease_seconds=1")).await;
    let topic = topic("extended");
    let mut source = subscribe(&broker, &topic, "g", Order::None).await;
    publish(&broker, vec![message(&topic, "", "1")]).await;
    let delivery = next(&mut source).await;
    assert_eq!(source.lease(), Some(Duration::from_secs(1)));
    for _ in 0..8 {
        delivery.receipt.extend().await.unwrap();
        quiet(&mut source, MOMENT).await;
    }
    delivery.receipt.ack().await.unwrap();

    // With order the adapter does so by itself.
    let mut source = subscribe(&broker, &topic, "ordered", Order::PerKey).await;
    let delivery = next(&mut source).await;
    assert_eq!(source.lease(), None);
    quiet(&mut source, Duration::from_millis(2_500)).await;
    delivery.receipt.ack().await.unwrap();
}

#[tokio::test]
async fn what_is_given_back_comes_before_later_messages_of_its_key() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("back");
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    let all = ["a0", "b0", "a1", "a2"].map(|text| message(&topic, &text[..1], text));
    publish(&broker, all.to_vec()).await;
    let first = next(&mut source).await;
    let b0 = next(&mut source).await;
    let second = next(&mut source).await;
    assert_eq!((text(&first), text(&second)), ("a0".into(), "a1".into()));
    b0.receipt.ack().await.unwrap();
    second.receipt.give_back().await.unwrap();
    quiet(&mut source, MOMENT).await;
    first.receipt.give_back().await.unwrap();
    assert_eq!(take(&mut source, 3).await, ["a0", "a1", "a2"]);
}

#[tokio::test]
async fn order_per_key_holds_while_members_come_and_go() {
    with_server!(url);
    let broker = connect(&format!("{url}?lease_seconds=2")).await;
    let topic = topic("ordered");
    let all = (0..EACH).flat_map(|n| (0..KEYS).map(move |key| (key, n)));
    let all = all.map(|(key, n)| message(&topic, &key.to_string(), n));
    publish(&broker, all.collect()).await;

    let mut next_of = [0; KEYS];
    let mut member = 0;
    while next_of.iter().any(|next| *next < EACH) {
        // Each member on a connection of its own takes some, acknowledges every other key's and goes.
        let other = connect(&format!("{url}?lease_seconds=2")).await;
        let mut source = subscribe(&other, &topic, "g", Order::PerKey).await;
        let mut waiting = subscribe(&broker, &topic, "g", Order::PerKey).await;
        let mut unsettled = Vec::new();
        let mut seen = next_of;
        let take = 30.min(next_of.iter().map(|next| EACH - next).sum());
        for _ in 0..take {
            let delivery = tokio::select! {
                delivery = next(&mut source) => delivery,
                delivery = next(&mut waiting) => delivery,
            };
            let key: usize = std::str::from_utf8(delivery.event.key().unwrap())
                .unwrap()
                .parse()
                .unwrap();
            let number: usize = text(&delivery).parse().unwrap();
            assert_eq!(number, seen[key], "key {key} of member {member}");
            seen[key] += 1;
            if key % 2 == member % 2 || member > 4 {
                delivery.receipt.ack().await.unwrap();
                next_of[key] += 1;
            } else {
                unsettled.push(delivery);
            }
        }
        if member % 2 == 0 {
            drop(source);
            drop(waiting);
            drop(unsettled);
        } else {
            drop(unsettled);
            drop(waiting);
            other.close().await;
            assert!(source.next().await.is_none());
        }
        member += 1;
    }
}

#[tokio::test]
async fn a_message_id_is_stored_once_in_its_topic_and_again_in_another() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("once");
    let dead = format!("{topic}.dead");
    let pattern = format!("{topic}.>");
    for to in [&topic, &topic, &dead, &dead] {
        publish(&broker, vec![message_with_id(to, "k", "1", "id-1")]).await;
    }
    for topic in [&topic, &dead, &pattern] {
        let mut source = subscribe(&broker, topic, "g", Order::PerKey).await;
        assert_eq!(take(&mut source, 1).await, ["1"], "{topic}");
        quiet(&mut source, MOMENT).await;
    }
}

#[tokio::test]
async fn what_anybody_publishes_with_core_nats_is_captured() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("AlarmStatusChanged");
    drop(subscribe(&broker, &topic, "alarms", Order::PerKey).await);
    let anybody = async_nats::connect(&url).await.unwrap();
    let headers =
        async_nats::HeaderMap::from_iter([("tenant".parse().unwrap(), "seven".parse().unwrap())]);
    anybody
        .publish_with_headers(topic.clone(), headers, "{}".into())
        .await
        .unwrap();
    anybody.flush().await.unwrap();
    let mut source = subscribe(&broker, &topic, "alarms", Order::PerKey).await;
    let event = next(&mut source).await.event;
    assert_eq!((event.payload().as_ref(), event.key()), (&b"{}"[..], None));
    assert_eq!(event.headers().get("tenant"), Some("seven"));
    assert!(event.id().starts_with(&topic), "{}", event.id());
}

#[tokio::test]
async fn a_pattern_takes_in_topics_from_before_and_after() {
    with_server!(url);
    let broker = connect(&url).await;
    let word = topic("pattern");
    for name in ["a", "b"] {
        publish(&broker, vec![message(&format!("{word}.{name}"), "k", name)]).await;
    }
    let mut source = subscribe(&broker, &format!("{word}.*"), "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 2).await, ["a", "b"]);
    let anybody = async_nats::connect(&url).await.unwrap();
    anybody
        .publish(format!("{word}.c"), "c".into())
        .await
        .unwrap();
    assert_eq!(take(&mut source, 1).await, ["c"]);
    publish(&broker, vec![message(&word, "k", "other")]).await;
    quiet(&mut source, MOMENT).await;
}

#[tokio::test]
async fn no_more_is_in_flight_than_was_asked_for() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("bounded");
    publish(&broker, (0..10).map(|n| message(&topic, "", n)).collect()).await;
    for order in [Order::PerKey, Order::None] {
        let mut subscription = subscription(&topic, &format!("{order:?}"), order);
        subscription.in_flight_max = 3;
        let mut source = broker.subscribe(subscription).await.unwrap();
        let mut out = Vec::new();
        for _ in 0..3 {
            out.push(next(&mut source).await);
        }
        quiet(&mut source, MOMENT).await;
        out.pop().unwrap().receipt.ack().await.unwrap();
        out.push(next(&mut source).await);
        quiet(&mut source, MOMENT).await;
    }
}

#[tokio::test]
async fn where_a_message_fails_later_ones_of_its_key_fail_too() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("failing");
    let large = "x".repeat(2 << 20);
    let outcomes = broker
        .publish(vec![
            message(&topic, "a", "a0"),
            message(&topic, "a", large),
            message(&topic, "b", "b0"),
            message(&topic, "a", "a2"),
        ])
        .await;
    let [Ok(()), Err(large), Ok(()), Err(later)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert!(large.to_string().contains("max_payload"), "{large}");
    assert!(matches!(later, BrokerError::Unreachable(_)), "{later}");
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    let mut stored = take(&mut source, 2).await;
    stored.sort();
    assert_eq!(stored, ["a0", "b0"]);
    quiet(&mut source, MOMENT).await;
}

#[tokio::test]
async fn an_acknowledgement_may_wait_for_the_servers_word() {
    with_server!(url);
    let broker = connect(&format!("{url}?acks=confirmed")).await;
    let topic = topic("confirmed");
    publish(&broker, vec![message(&topic, "k", "1")]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    drop(source);
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    quiet(&mut source, MOMENT).await;
}

#[tokio::test]
async fn what_cannot_be_a_topic_is_refused_with_the_reason() {
    with_server!(url);
    let broker = connect(&url).await;
    for (wrong, named) in [("a b", "spaces"), ("a..b", "dots"), ("a.*", "pattern")] {
        let outcomes = broker.publish(vec![message(wrong, "k", "1")]).await;
        let [Err(error)] = outcomes.as_slice() else {
            panic!("{outcomes:?}");
        };
        assert!(error.to_string().contains(named), "{wrong}: {error}");
    }
}
