//! Changes: what a member hears that takes no message in, since it has all it may have, or is paused.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use griot_events::{Delivery, Event, Incoming, Source};
use tokio::time::{Instant, timeout, timeout_at};

use super::bench::{Bench, SOON, next, number};
use crate::BrokerFactory;

const KEYS: u64 = 16;

/// Messages of each key.
const EACH: u64 = 2;

/// How long a broker has to ask a member that is full to let go of something. One that gives a topic to one
/// member as long as that lives does not ask.
const A_WHILE: Duration = Duration::from_secs(4);

type Name = (Vec<u8>, u64);

fn name(event: &Event) -> Name {
    (event.key().unwrap().to_vec(), number(event))
}

/// What comes to one of two members.
enum Came {
    Change(Incoming),
    Message(Delivery),
}

async fn come(full: &mut dyn Source, other: &mut dyn Source) -> Came {
    tokio::select! {
        change = full.next_change() => Came::Change(change.unwrap().unwrap()),
        message = next(other) => Came::Message(message),
    }
}

/// What it holds it finishes, and each message is done by one of the two.
pub async fn g8_a_full_member_hears_what_it_is_to_let_go_of_and_takes_no_message_in(
    factory: &impl BrokerFactory,
) {
    let bench = Bench::open(factory).await;
    for key in 0..KEYS {
        bench.publish("orders", &key.to_string(), 0..EACH).await;
    }
    let mut few = bench.subscription("orders", "g");
    few.in_flight_max = 4;
    let mut full = bench.broker.subscribe(few).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(full.as_mut()).await);
    }
    let expected = held.iter().map(|delivery| name(&delivery.event));
    let by_full: BTreeSet<Name> = expected.collect();

    let mut other = bench.subscribe("orders", "g").await;
    let (mut by_other, end) = (Vec::new(), Instant::now() + A_WHILE);
    while let Ok(came) = timeout_at(end, come(full.as_mut(), other.as_mut())).await {
        match came {
            Came::Message(delivery) => {
                by_other.push(name(&delivery.event));
                delivery.receipt.ack().await.unwrap();
            }
            Came::Change(Incoming::Delivery(delivery)) => panic!("no change: {delivery:?}"),
            Came::Change(Incoming::Revoked {
                partitions,
                released,
            }) => {
                let place = |event: &Event| (event.topic().to_owned(), event.position().0);
                let goes = |delivery: &mut Delivery| partitions.contains(&place(&delivery.event));
                for delivery in held.extract_if(.., goes) {
                    delivery.receipt.ack().await.unwrap();
                }
                // A broker that waits no longer has gone on.
                let _ = released.send(());
            }
        }
    }
    for delivery in held {
        delivery.receipt.ack().await.unwrap();
    }
    drop(full);
    while by_other.len() + by_full.len() < usize::try_from(KEYS * EACH).unwrap() {
        let delivery = next(other.as_mut()).await;
        by_other.push(name(&delivery.event));
        delivery.receipt.ack().await.unwrap();
    }
    let different: BTreeSet<Name> = by_other.iter().cloned().collect();
    assert_eq!(different.len(), by_other.len(), "twice: {by_other:?}");
    assert!(different.is_disjoint(&by_full), "done before: {by_other:?}");
}

/// While it holds a message.
pub async fn a_full_member_hears_that_the_broker_is_closed(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..3).await;
    let mut few = bench.subscription("orders", "g");
    few.in_flight_max = 1;
    let mut full = bench.broker.subscribe(few).await.unwrap();
    let held = next(full.as_mut()).await;
    let closing = async { tokio::join!(full.next_change(), bench.broker.close()) };
    let (change, ()) = timeout(SOON, closing).await.unwrap();
    assert!(change.is_none(), "{change:?}");
    drop(held);
}

/// Though it asks for nothing.
pub async fn a_paused_consumer_ends_when_the_broker_is_closed(factory: &impl BrokerFactory) {
    let bench = Bench::open(factory).await;
    let (consuming, seen) = bench.watch("orders", "g").await;
    bench.publish("orders", "k", 0..3).await;
    seen.until_different(3).await;
    consuming.pause();
    consuming.until_in_flight(0).await;
    bench.broker.close().await;
    timeout(SOON, consuming.ended()).await.unwrap();
}
