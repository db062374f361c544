//! The broker contract over a running RabbitMQ.

#[path = "rig/server.rs"]
mod rig;

use std::time::Duration;

use griot_events::{Broker, BrokerError, Order};
use griot_testkit::probe::{
    message, message_with_id, next, publish, quiet, subscribe, subscription, take, text, topic,
};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
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
    for (name, value) in [
        ("event-name", "Placed"),
        ("odd", " two\nlines "),
        ("twice", "1"),
        ("x-stream-offset", "77"),
        ("CC", "somebody"),
        ("twice", "2"),
        ("empty", ""),
    ] {
        sent.headers.push((name.to_owned(), value.to_owned()));
    }
    publish(&broker, vec![sent.clone()]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    let event = next(&mut source).await.event;
    assert_eq!(event.topic(), topic);
    assert_eq!(event.key().unwrap(), "käy 1".as_bytes());
    assert_eq!(event.payload(), &sent.payload);
    assert_eq!((event.name(), event.id()), (Some("Placed"), "id-1".into()));
    assert_eq!(event.headers(), &sent.headers.into_iter().collect());
    assert!(event.published_at().is_some());
    assert_eq!((event.redelivered(), event.position().1), (0, 0));
}

#[tokio::test]
async fn every_group_gets_all_and_one_member_reads_at_a_time() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("shared");
    for order in [Order::PerKey, Order::None] {
        let group = format!("{order:?}");
        let mut active = subscribe(&broker, &topic, &group, order).await;
        let mut waiting = subscribe(&broker, &topic, &group, order).await;
        if order == Order::PerKey {
            let all = (0..200).map(|n| message(&topic, "", n)).collect();
            publish(&broker, all).await;
        }
        assert_eq!(take(&mut active, 150).await, numbers(0..150));
        quiet(&mut waiting, MOMENT).await;
        drop(active);
        assert_eq!(take(&mut waiting, 50).await, numbers(150..200));
    }
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
    let broker = connect(&url).await;
    for order in [Order::PerKey, Order::None] {
        let topic = topic("again");
        let mut source = subscribe(&broker, &topic, "g", order).await;
        publish(&broker, vec![message(&topic, "k", "1")]).await;
        drop(next(&mut source).await);
        let second = next(&mut source).await;
        assert_eq!(second.event.redelivered(), 1, "{order:?}");
        second.receipt.give_back().await.unwrap();
        let third = next(&mut source).await;
        assert_eq!(third.event.redelivered(), 2, "{order:?}");
        third.receipt.ack().await.unwrap();
        quiet(&mut source, MOMENT).await;
    }
}

#[tokio::test]
async fn what_is_given_back_comes_before_later_messages_of_its_key() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("back");
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    for name in ["a0", "b0", "a1", "a2"] {
        publish(&broker, vec![message(&topic, &name[..1], name)]).await;
    }
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
    let broker = connect(&url).await;
    let topic = topic("ordered");
    let all = (0..EACH).flat_map(|n| (0..KEYS).map(move |key| (key, n)));
    let all = all.map(|(key, n)| message(&topic, &key.to_string(), n));
    publish(&broker, all.collect()).await;

    let mut next_of = [0; KEYS];
    let mut member = 0;
    while next_of.iter().any(|next| *next < EACH) {
        // Each member on a connection of its own takes some, acknowledges every other key's and goes.
        let other = connect(&url).await;
        let mut source = subscribe(&other, &topic, "g", Order::PerKey).await;
        let mut unsettled = Vec::new();
        let mut seen = next_of;
        for _ in 0..30.min(next_of.iter().map(|next| EACH - next).sum()) {
            let delivery = next(&mut source).await;
            let key = std::str::from_utf8(delivery.event.key().unwrap()).unwrap();
            let key: usize = key.parse().unwrap();
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
            drop(unsettled);
        } else {
            drop(unsettled);
            other.close().await;
            assert!(source.next().await.is_none());
        }
        member += 1;
    }
}

#[tokio::test]
async fn a_message_id_arrives_once_in_its_topic_and_again_in_another() {
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
async fn a_repeat_is_known_to_the_member_that_takes_over() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("known");
    publish(&broker, vec![message_with_id(&topic, "k", "1", "id-1")]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    drop(source);
    publish(&broker, vec![message_with_id(&topic, "k", "1", "id-1")]).await;
    publish(&broker, vec![message_with_id(&topic, "k", "2", "id-2")]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["2"]);
    // Beyond its window it is a message like any other.
    let short = connect(&format!("{url}?repeats_within=2")).await;
    for id in ["id-3", "id-4", "id-5", "id-3"] {
        publish(&broker, vec![message_with_id(&topic, "k", id, id)]).await;
    }
    let mut all = subscribe(&short, &topic, "short", Order::PerKey).await;
    let expected = ["1", "2", "id-3", "id-4", "id-5", "id-3"];
    assert_eq!(take(&mut all, 6).await, expected);
}

#[tokio::test]
async fn what_another_client_publishes_is_read() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("AlarmStatusChanged");
    let mut source = subscribe(&broker, &topic, "alarms", Order::PerKey).await;
    let anybody = Connection::connect(&url, ConnectionProperties::default()).await;
    let anybody = anybody.unwrap();
    let channel = anybody.create_channel().await.unwrap();
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    confirming.await.unwrap();
    let mut fields = FieldTable::default();
    fields.insert("tenant".into(), AMQPValue::LongLongInt(7));
    fields.insert(
        griot_rabbitmq::KEY.into(),
        AMQPValue::LongString("k".into()),
    );
    let properties = BasicProperties::default()
        .with_headers(fields)
        .with_message_id("m-1".into());
    let sent = channel.basic_publish(
        "griot".into(),
        topic.as_str().into(),
        BasicPublishOptions::default(),
        b"{}",
        properties,
    );
    sent.await.unwrap().await.unwrap();
    let event = next(&mut source).await.event;
    assert_eq!(event.payload().as_ref(), b"{}");
    assert_eq!(event.key().unwrap(), "k");
    assert_eq!(event.headers().get("tenant"), Some("7"));
    assert_eq!(event.id(), "m-1");
}

#[tokio::test]
async fn a_pattern_takes_in_topics_from_before_and_after() {
    with_server!(url);
    let broker = connect(&url).await;
    let word = topic("pattern");
    let (one, rest, any) = (format!("{word}.*"), format!("{word}.>"), "*.a".to_owned());
    for name in ["a", "b", "b.c"] {
        publish(&broker, vec![message(&format!("{word}.{name}"), "k", name)]).await;
    }
    let mut one = subscribe(&broker, &one, "g", Order::PerKey).await;
    let mut rest = subscribe(&broker, &rest, "g", Order::PerKey).await;
    assert_eq!(take(&mut one, 2).await, ["a", "b"]);
    assert_eq!(take(&mut rest, 3).await, ["a", "b", "b.c"]);
    for name in ["d", "d.e"] {
        publish(&broker, vec![message(&format!("{word}.{name}"), "k", name)]).await;
    }
    publish(&broker, vec![message(&word, "k", "other")]).await;
    assert_eq!(take(&mut one, 1).await, ["d"]);
    assert_eq!(take(&mut rest, 2).await, ["d", "d.e"]);
    quiet(&mut one, MOMENT).await;
    quiet(&mut rest, MOMENT).await;

    // An exchange of its own, since this pattern reads every log there is.
    let apart = topic("exchange");
    let broker = connect(&format!("{url}?exchange={apart:.32}")).await;
    publish(&broker, vec![message("eu.a", "k", "1")]).await;
    let mut any = subscribe(&broker, &any, "g", Order::PerKey).await;
    assert_eq!(take(&mut any, 1).await, ["1"]);
    publish(
        &broker,
        vec![message("us.b", "k", "2"), message("us.a", "k", "3")],
    )
    .await;
    assert_eq!(take(&mut any, 1).await, ["3"]);
    quiet(&mut any, MOMENT).await;
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
async fn a_log_is_read_to_its_end_however_little_is_in_flight() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("long");
    let other = format!("{topic}.other");
    // More than is asked for at a time, and most of it to be passed over.
    let all = (0..3_000).map(|n| message(if n % 3 == 0 { &topic } else { &other }, "", n));
    publish(&broker, all.collect()).await;
    let mut subscription = subscription(&topic, "g", Order::PerKey);
    subscription.in_flight_max = 1;
    let mut source = broker.subscribe(subscription).await.unwrap();
    for number in (0..3_000).step_by(3) {
        let delivery = next(&mut source).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.receipt.ack().await.unwrap();
    }
    quiet(&mut source, MOMENT).await;
}

#[tokio::test]
async fn where_a_message_fails_later_ones_of_its_key_fail_too() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("failing");
    let large = "x".repeat(17 << 20);
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
    assert!(large.to_string().contains("send less"), "{large}");
    assert!(matches!(later, BrokerError::Unreachable(_)), "{later}");
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    let mut stored = take(&mut source, 2).await;
    stored.sort();
    assert_eq!(stored, ["a0", "b0"]);
    quiet(&mut source, MOMENT).await;
}

#[tokio::test]
async fn a_payload_of_16_mib_comes_back() {
    with_server!(url);
    let broker = connect(&url).await;
    let topic = topic("large");
    let large = "x".repeat(16 << 20);
    publish(&broker, vec![message(&topic, "k", &large)]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    assert!(text(&next(&mut source).await) == large);
}

#[tokio::test]
async fn what_cannot_be_a_topic_is_refused_with_the_reason() {
    with_server!(url);
    let broker = connect(&url).await;
    let long = "x".repeat(300);
    for (wrong, named) in [
        ("a b", "spaces"),
        ("a..b", "dots"),
        ("a.*", "pattern"),
        ("#", "pattern"),
        (&long, "shorter"),
    ] {
        let outcomes = broker.publish(vec![message(wrong, "k", "1")]).await;
        let [Err(error)] = outcomes.as_slice() else {
            panic!("{outcomes:?}");
        };
        assert!(error.to_string().contains(named), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn who_may_not_enter_is_told_what_to_do() {
    with_server!(url);
    for (wrong, said) in [
        (url.replace("griot:griot@", "griot:wrong@"), "password"),
        (format!("{url}/nowhere"), "add_vhost"),
    ] {
        let refused = griot_rabbitmq::RabbitBroker::connect(&wrong).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, BrokerError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains(said), "{refused}");
    }
    let nobody = griot_rabbitmq::RabbitBroker::connect("amqp://127.0.0.1:1").await;
    assert!(matches!(nobody, Err(BrokerError::Unreachable(_))));
}
