//! What Kafka's own features come to: patterns, partitions, groups that change, what is stored twice.

#[path = "rig/server.rs"]
mod rig;

use std::collections::BTreeSet;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use griot_events::{Broker, BrokerError, Incoming, Order, Partition};
use griot_testkit::probe::{
    incoming, message, message_with_id, next, publish, subscribe, take, text, topic, until,
};
use rig::{connect, revoked};

macro_rules! with_server {
    ($url:ident) => {
        let Some($url) = rig::running() else { return };
    };
}

#[tokio::test]
async fn a_pattern_takes_in_topics_that_are_made_later() {
    with_server!(url);
    let (broker, prefix) = (connect(&url).await, topic("orders"));
    let named = |name: &str| format!("{prefix}.{name}");
    publish(&broker, vec![message(&named("placed"), "k", 1)]).await;
    let mut source = subscribe(&broker, &named("*"), &prefix, Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    let others = [named("paid"), named("paid.late"), format!("{prefix}s.paid")];
    for (number, other) in others.iter().enumerate() {
        publish(&broker, vec![message(other, "k", number + 2)]).await;
    }
    assert_eq!(take(&mut source, 1).await, ["2"]);
    let mut source = subscribe(&broker, &named(">"), "rest", Order::PerKey).await;
    let all: BTreeSet<String> = take(&mut source, 3).await.into_iter().collect();
    assert_eq!(all, ["1", "2", "3"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_key_goes_where_the_client_of_java_puts_it() {
    with_server!(url);
    let (broker, topic) = (connect(&url).await, topic("orders"));
    // From Kafka's own test of its hash: the key, and its murmur2.
    let hashes = [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        (
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
    ];
    let messages = hashes.map(|(key, _)| message(&topic, key, key));
    publish(&broker, messages.to_vec()).await;
    let mut source = subscribe(&broker, &topic, &topic, Order::PerKey).await;
    for _ in hashes {
        let delivery = next(&mut source).await;
        let key = text(&delivery);
        let hash = hashes.iter().find(|(other, _)| *other == key).unwrap().1;
        let expected = (hash & i32::MAX).unsigned_abs() % 4;
        assert_eq!(delivery.event.position().0, Partition(expected), "{key}");
    }
}

#[tokio::test]
async fn a_message_id_published_by_two_programs_is_given_once_also_without_a_key() {
    with_server!(url);
    let (one, other, topic) = (connect(&url).await, connect(&url).await, topic("orders"));
    for broker in [&one, &other] {
        let messages = ["a", "b", "c"].map(|id| message_with_id(&topic, "", id, id));
        publish(broker, messages.to_vec()).await;
    }
    publish(
        &one,
        ["a", "b", "c"]
            .map(|id| message_with_id(&topic, "k", id, &format!("{id}2")))
            .to_vec(),
    )
    .await;
    let mut source = subscribe(&one, &topic, &topic, Order::PerKey).await;
    let mut taken = take(&mut source, 6).await;
    taken.sort();
    assert_eq!(taken, ["a", "a", "b", "b", "c", "c"]);
    let all = connect(&format!("{url}&remember=0")).await;
    let mut source = subscribe(&all, &topic, "all", Order::PerKey).await;
    assert_eq!(take(&mut source, 9).await.len(), 9);
}

#[tokio::test]
async fn partitions_go_to_another_member_once_nothing_of_them_is_under_way() {
    with_server!(url);
    let (broker, topic) = (connect(&url).await, topic("orders"));
    let keys: Vec<String> = (0..20).map(|key| format!("k{key}")).collect();
    let messages = keys.iter().map(|key| message(&topic, key, key));
    publish(&broker, messages.collect()).await;
    let mut first = subscribe(&broker, &topic, &topic, Order::PerKey).await;
    let mut held = Vec::new();
    for _ in &keys {
        held.push(next(&mut first).await);
    }
    let mut second = subscribe(&broker, &topic, &topic, Order::PerKey).await;
    let Incoming::Revoked {
        partitions,
        released,
    } = incoming(&mut first).await
    else {
        panic!("not told");
    };
    assert!(
        !partitions.is_empty() && partitions.len() < 4,
        "{partitions:?}"
    );
    let goes = |partition| partitions.contains(&(topic.clone(), partition));
    for delivery in held {
        delivery.receipt.ack().await.unwrap();
    }
    released.send(()).unwrap();
    // Whoever has a partition now is given what comes, and nothing that was acknowledged.
    let messages = keys
        .iter()
        .map(|key| message(&topic, key, format!("{key} again")));
    publish(&broker, messages.collect()).await;
    let mut seen = BTreeSet::new();
    while seen.len() < keys.len() {
        let (delivery, by_second) = tokio::select! {
            delivery = next(&mut first) => (delivery, false),
            delivery = next(&mut second) => (delivery, true),
        };
        assert_eq!(goes(delivery.event.position().0), by_second);
        let was_acknowledged = !text(&delivery).ends_with("again");
        assert!(
            !was_acknowledged,
            "to the second: {by_second}, {delivery:?}"
        );
        seen.insert(text(&delivery));
        delivery.receipt.ack().await.unwrap();
    }
}

#[tokio::test]
async fn a_member_that_does_not_finish_loses_its_partitions_and_is_told_so() {
    with_server!(url);
    let (broker, topic) = (
        connect(&format!("{url}&release_seconds=1")).await,
        topic("orders"),
    );
    let keys: Vec<String> = (0..20).map(|key| format!("k{key}")).collect();
    publish(
        &broker,
        keys.iter().map(|key| message(&topic, key, key)).collect(),
    )
    .await;
    let mut first = subscribe(&broker, &topic, &topic, Order::PerKey).await;
    let mut held = Vec::new();
    for _ in &keys {
        held.push(next(&mut first).await);
    }
    let mut second = subscribe(&broker, &topic, &topic, Order::PerKey).await;
    let unsaid = revoked(&mut first).await;
    let given = next(&mut second).await;
    let is_it = |delivery: &griot_events::Delivery| text(delivery) == text(&given);
    let late = held.remove(held.iter().position(is_it).unwrap());
    let refused = late.receipt.ack().await;
    assert!(
        matches!(refused, Err(BrokerError::Refused { .. })),
        "{refused:?}"
    );
    given.receipt.ack().await.unwrap();
    drop(unsaid);
}

#[tokio::test]
async fn a_publication_that_is_refused_takes_the_later_ones_of_its_key_with_it() {
    with_server!(url);
    let (broker, topic) = (connect(&url).await, topic("orders"));
    let large = "x".repeat(2_000_000);
    let outcomes = broker
        .publish(vec![
            message(&topic, "a", 1),
            message(&topic, "a", large),
            message(&topic, "a", 3),
            message(&topic, "b", 4),
        ])
        .await;
    let [
        Ok(()),
        Err(BrokerError::Refused { .. }),
        Err(BrokerError::Unreachable(_)),
        Ok(()),
    ] = &outcomes[..]
    else {
        panic!("{outcomes:?}");
    };
    for wrong in ["or ders", "orders..paid", "orders.*"] {
        let outcomes = broker.publish(vec![message(wrong, "a", 1)]).await;
        assert!(
            matches!(outcomes[..], [Err(BrokerError::Refused { .. })]),
            "{outcomes:?}"
        );
    }
    let mut source = subscribe(&broker, &topic, &topic, Order::PerKey).await;
    let mut taken = take(&mut source, 2).await;
    taken.sort();
    assert_eq!(taken, ["1", "4"]);
}

#[tokio::test]
async fn a_message_that_the_server_refuses_for_good_stops_nobody_for_good() {
    with_server!(url);
    let (broker, topic) = (connect(&url).await, topic("small"));
    let server = url
        .strip_prefix("kafka://")
        .and_then(|rest| rest.split_once('?'))
        .unwrap()
        .0;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", server)
        .create()
        .unwrap();
    let small =
        NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "10000");
    for made in admin
        .create_topics([&small], &AdminOptions::new())
        .await
        .unwrap()
    {
        made.unwrap();
    }
    // Random, so that it stays as large when it is compressed.
    let large: String = (0..100_000).map(|_| fastrand::alphanumeric()).collect();
    let large = message_with_id(&topic, "a", large, "large");
    let after = message_with_id(&topic, "a", 2, "two");
    publish(&broker, vec![message_with_id(&topic, "a", 1, "one")]).await;
    let outcomes = broker.publish(vec![large, after.clone()]).await;
    assert!(
        matches!(outcomes[..], [Err(BrokerError::Refused { .. }), Err(_)]),
        "{outcomes:?}"
    );
    until("the client is made anew", || async {
        broker.publish(vec![after.clone()]).await[0].is_ok()
    })
    .await;
    let mut source = subscribe(&broker, &topic, &topic, Order::PerKey).await;
    assert_eq!(take(&mut source, 2).await, ["1", "2"]);
}
