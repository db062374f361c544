//! Members that are cut off, queues that are deleted, and servers that stop.

#[path = "rig/server.rs"]
mod rig;

use std::time::Duration;

use griot_events::{Broker, Order};
use griot_testkit::probe::{
    DEADLINE, message, message_with_id, next, publish, quiet, subscribe, take, text, topic, until,
};
use griot_testkit::{Network, Relay};
use rig::{Server, address, connect, program, running};

/// Long enough for a message that would come to have come.
const MOMENT: Duration = Duration::from_millis(500);

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_member_takes_over_in_order_from_one_that_is_cut_off() {
    let Some(url) = running() else { return };
    let broker = connect(&url).await;
    let topic = topic("cut");
    let all = (0..20).map(|number| message(&topic, "k", number));
    publish(&broker, all.collect()).await;

    let relay = Relay::before(address(&url)).await;
    let cut_off = format!(
        "amqp://griot:griot@{}?heartbeat_seconds=1&timeout_seconds=2",
        relay.address()
    );
    let cut_off = connect(&cut_off).await;
    let mut old = subscribe(&cut_off, &topic, "g", Order::PerKey).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(next(&mut old).await);
    }
    held.remove(3).receipt.ack().await.unwrap();
    relay.set(Network::Silent);

    let mut new = subscribe(&broker, &topic, "g", Order::PerKey).await;
    let mut expected = numbers(0..20);
    expected.remove(3);
    let first = next(&mut new).await;
    assert_eq!((text(&first), first.event.redelivered()), ("0".into(), 1));
    // What the other did meanwhile it cannot tell.
    assert!(held.remove(1).receipt.ack().await.is_err());
    first.receipt.ack().await.unwrap();
    assert_eq!(take(&mut new, 18).await, expected[1..]);

    // It comes back, and waits; what it holds still is known to be done once it has the seat again.
    relay.set(Network::Whole);
    until("it is connected again", || async {
        cut_off.check().await.is_ok()
    })
    .await;
    quiet(&mut old, MOMENT).await;
    drop(new);
    publish(&broker, vec![message(&topic, "k", "20")]).await;
    drop(held);
    assert_eq!(take(&mut old, 1).await, ["20"]);
    quiet(&mut old, MOMENT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_settled_while_nobody_could_hear_it_is_told_afterwards() {
    let Some(url) = running() else { return };
    let topic = topic("told");
    let relay = Relay::before(address(&url)).await;
    let broker = format!(
        "amqp://griot:griot@{}?heartbeat_seconds=1&timeout_seconds=2",
        relay.address()
    );
    let broker = connect(&broker).await;
    let all = (0..3).map(|number| message(&topic, "k", number));
    publish(&broker, all.collect()).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    let first = next(&mut source).await;
    let second = next(&mut source).await;
    relay.set(Network::Silent);
    assert!(first.receipt.ack().await.is_err());
    relay.set(Network::Whole);
    until("it is connected again", || async {
        broker.check().await.is_ok()
    })
    .await;
    assert_eq!(take(&mut source, 1).await, ["2"]);
    second.receipt.ack().await.unwrap();
    quiet(&mut source, MOMENT).await;
    drop(source);
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    quiet(&mut source, MOMENT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_and_a_seat_that_are_deleted_are_made_again() {
    let Some(program) = program() else { return };
    let mut server = Server::start(&program).await;
    let broker = connect(&server.url()).await;
    publish(&broker, vec![message("deleted", "k", "1")]).await;
    let mut source = subscribe(&broker, "deleted", "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    let listed = server.control(&["list_queues", "--silent", "name"]).await;
    let seat = listed.lines().find(|name| name.contains(".seat")).unwrap();
    server.control(&["delete_queue", seat]).await;
    publish(&broker, vec![message("deleted", "k", "2")]).await;
    assert_eq!(take(&mut source, 1).await, ["2"]);
    drop(source);
    server.control(&["delete_queue", "griot.log.deleted"]).await;
    publish(&broker, vec![message("deleted", "k", "3")]).await;
    let mut source = subscribe(&broker, "deleted", "other", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["3"]);

    // And a stop as servers like it, with a publisher that goes on.
    server.stop().await;
    let producer = griot_events::Producer::new(std::sync::Arc::new(broker.clone()));
    let producer = producer.with_deadline(DEADLINE);
    let late = tokio::spawn(async move {
        let message = message_with_id("deleted", "k", "4", "id-4");
        producer.publish(message.into()).await
    });
    server.go_on().await;
    late.await.unwrap().unwrap();
    assert_eq!(take(&mut source, 1).await, ["4"]);
    quiet(&mut source, MOMENT).await;
}
