//! Network: what a slow, cut, half-open or forgetful network does to nobody's messages.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use griot_core::Publication;
use griot_events::{Broker, BrokerError, MESSAGE_ID, Message};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::bench::{Bench, SOON};
use super::flow::Flow;
use crate::{BrokerNetwork, Trouble, Way};

/// Numbers that flow before and after something happens.
const SOME: u64 = 20;

/// How long a broker may take to notice that nothing passes.
const NOTICED: Duration = Duration::from_secs(30);

/// From beginning to end.
pub async fn g8_a_slow_network_loses_none_and_keeps_the_order(network: &impl BrokerNetwork) {
    let bench = Bench::open(network).await;
    network.disturb(Trouble::Slow).await;
    let mut flow = Flow::begin(&bench).await;
    flow.until_arrived(SOME).await;
    flow.end().await;
}

/// All that was confirmed arrives, in the order of its key.
pub async fn g8_a_cut_while_publishing_and_consuming_loses_none_and_it_goes_on_by_itself(
    network: &impl BrokerNetwork,
) {
    noticed_and_survived(network, Trouble::Cut).await;
}

/// Each as soon as something was confirmed after the one before it.
pub async fn g8_twenty_short_cuts_under_load_lose_none_that_was_confirmed(
    network: &impl BrokerNetwork,
) {
    let bench = Bench::open(network).await;
    let mut flow = Flow::begin(&bench).await;
    for _ in 0..20 {
        flow.until_confirmed(2).await;
        network.disturb(Trouble::Cut).await;
        network.heal().await;
    }
    flow.until_arrived(SOME).await;
    flow.end().await;
}

/// Though the connection stays, and others can be made.
pub async fn g8_where_nothing_reaches_the_server_it_is_noticed_and_none_is_lost(
    network: &impl BrokerNetwork,
) {
    noticed_and_survived(network, Trouble::HalfOpen(Way::ToServer)).await;
}

/// What was published meanwhile is there, though nobody was told.
pub async fn g8_where_nothing_comes_from_the_server_it_is_noticed_and_none_is_lost(
    network: &impl BrokerNetwork,
) {
    noticed_and_survived(network, Trouble::HalfOpen(Way::FromServer)).await;
}

/// Neither side is told that its connection leads nowhere, and nothing heals it.
pub async fn g8_connections_that_the_network_forgot_are_made_anew(network: &impl BrokerNetwork) {
    let bench = Bench::open(network).await;
    let mut flow = Flow::begin(&bench).await;
    flow.until_arrived(SOME).await;
    network.disturb(Trouble::Forgotten).await;
    flow.until_arrived(SOME).await;
    flow.end().await;
    reachable(&bench).await;
}

/// It was stored before anybody knew.
pub async fn g5_a_late_confirm_is_unknown_and_publishing_again_makes_one_message(
    network: &impl BrokerNetwork,
) {
    let bench = Bench::open(network).await;
    bench.publish("orders", "k", [0]).await;
    network.disturb(Trouble::Late).await;
    let message = Publication {
        topic: bench.topic("orders"),
        key: Some("k".to_owned()),
        headers: vec![(MESSAGE_ID.to_owned(), "id-1".to_owned())],
        payload: Bytes::from_static(b"1"),
    };
    let outcome = publish_once(&bench, vec![message.clone()]).await.remove(0);
    let honest = matches!(outcome, Ok(()) | Err(BrokerError::Unknown(_)));
    assert!(honest, "{outcome:?}");
    network.heal().await;
    bench.producer.publish(message.into()).await.unwrap();
    bench.publish("orders", "k", [2]).await;
    let (_consuming, seen) = bench.watch("orders", "g").await;
    seen.until_different(3).await;
    assert_eq!(seen.numbers("k"), [0, 1, 2]);
}

/// Within its deadline, for each message; it goes on when the network is back.
pub async fn g10_a_publisher_that_reaches_nobody_is_told_so_and_keeps_nothing(
    network: &impl BrokerNetwork,
) {
    const PUBLISHERS: u64 = 8;
    const ROUNDS: u64 = 4;
    const MESSAGES: u64 = 128;
    let bench = Arc::new(Bench::open(network).await);
    bench.publish("orders", "k", [0]).await;
    network.disturb(Trouble::Cut).await;
    unreachable(&bench).await;
    let before = resident_kib();
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let bench = Arc::clone(&bench);
        publishers.spawn(async move {
            for _ in 0..ROUNDS {
                let message = |number| large(&bench, &format!("{publisher}-{number}"));
                let messages = (0..MESSAGES).map(message).collect();
                for outcome in publish_once(&bench, messages).await {
                    assert_passing(&outcome);
                }
            }
        });
    }
    publishers.join_all().await;
    let published_kib = PUBLISHERS * ROUNDS * MESSAGES * LARGE_BYTES as u64 / 1024;
    let kept_kib = resident_kib().saturating_sub(before);
    assert!(
        kept_kib < published_kib / 2,
        "of {published_kib} KiB that could not be published {kept_kib} are kept"
    );
    network.heal().await;
    reachable(&bench).await;
    let (_consuming, seen) = bench.watch("orders", "g").await;
    bench.publish("orders", "k", [1]).await;
    seen.until_different(2).await;
}

/// Messages flow; the trouble is noticed; when it is over they go on, and none was lost.
async fn noticed_and_survived(network: &impl BrokerNetwork, trouble: Trouble) {
    let bench = Bench::open(network).await;
    bench.publish("orders", "k", [0]).await;
    let mut flow = Flow::begin(&bench).await;
    flow.until_arrived(SOME).await;
    network.disturb(trouble).await;
    unreachable(&bench).await;
    let message = Message::json(&bench.topic("orders"), &1).unwrap();
    let impatient = bench.producer.clone().with_deadline(Duration::ZERO);
    let outcome = timeout(NOTICED, impatient.publish(message)).await.unwrap();
    assert_passing(&outcome);
    network.heal().await;
    reachable(&bench).await;
    flow.until_arrived(SOME).await;
    flow.end().await;
}

async fn publish_once(bench: &Bench, messages: Vec<Publication>) -> Vec<Result<(), BrokerError>> {
    timeout(NOTICED, bench.broker.publish(messages))
        .await
        .unwrap()
}

fn assert_passing(outcome: &Result<(), BrokerError>) {
    let passing = matches!(
        outcome,
        Err(BrokerError::Unreachable(_) | BrokerError::Unknown(_))
    );
    assert!(passing, "{outcome:?}");
}

/// Waits until the broker says that it cannot be reached.
async fn unreachable(bench: &Bench) {
    let check = until_check(bench.broker.as_ref(), Result::is_err);
    let error = timeout(NOTICED, check).await.unwrap().unwrap_err();
    assert_passing(&Err(error));
}

/// Waits until the broker says that it can be reached.
async fn reachable(bench: &Bench) {
    let check = until_check(bench.broker.as_ref(), Result::is_ok);
    timeout(SOON, check).await.unwrap().unwrap();
}

async fn until_check(
    broker: &dyn Broker,
    enough: fn(&Result<(), BrokerError>) -> bool,
) -> Result<(), BrokerError> {
    let mut pause = interval(Duration::from_millis(20));
    loop {
        let said = broker.check().await;
        if enough(&said) {
            return said;
        }
        pause.tick().await;
    }
}

const LARGE_BYTES: usize = 32 << 10;

fn large(bench: &Bench, key: &str) -> Publication {
    Publication {
        topic: bench.topic("orders"),
        key: Some(key.to_owned()),
        headers: Vec::new(),
        payload: vec![b'0'; LARGE_BYTES].into(),
    }
}

/// Memory of this process; 0 where the system does not say, which leaves out what is asserted of it.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}
