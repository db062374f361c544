//! Servers that stop, die, know no JetStream or let nobody in.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::collections::BTreeSet;
use std::time::Duration;

use griot_events::{Broker, BrokerError, Order};
use griot_nats::NatsBroker;
use rig::{
    Server, connect, message, message_with_id, next, program, publish, subscribe, text, until,
};
use tokio::sync::watch;

macro_rules! with_program {
    ($program:ident) => {
        let Some($program) = program() else { return };
    };
}

async fn refusal(url: &str) -> String {
    let error = NatsBroker::connect(url).await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_wrong_password_is_called_one() {
    with_program!(program);
    let users = "authorization { users: [{ user: ann, password: secret }] }";
    let server = Server::start(&program, users).await;
    connect(&server.url_as("ann:secret@")).await;
    for login in ["ann:wrong@", "", "t0ken@"] {
        let said = refusal(&server.url_as(login)).await;
        assert!(said.contains("check user and password"), "{said}");
    }
}

#[tokio::test]
async fn a_token_opens_a_server_that_wants_one() {
    with_program!(program);
    let server = Server::start(&program, "authorization { token: t0ken }").await;
    connect(&server.url_as("t0ken@")).await;
    let said = refusal(&server.url_as("other@")).await;
    assert!(said.contains("token"), "{said}");
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_how_to_enable_it() {
    with_program!(program);
    let server = Server::start_bare(&program).await;
    let said = refusal(&server.url()).await;
    assert!(said.contains("jetstream { store_dir"), "{said}");
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    with_program!(program);
    let users = r#"authorization { users: [{ user: ann, password: a, permissions: {
        publish: { deny: ["$JS.API.STREAM.CREATE.>", "secret"] } } }] }"#;
    let server = Server::start(&program, users).await;
    let broker = connect(&format!("{}?timeout_seconds=1", server.url_as("ann:a@"))).await;
    let outcomes = broker.publish(vec![message("orders", "k", "1")]).await;
    let [Err(error @ BrokerError::Refused { .. })] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    let said = error.to_string().to_lowercase();
    assert!(said.contains("permissions violation"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    with_program!(program);
    let mut server = Server::start(&program, "").await;
    server.stop().await;
    let error = NatsBroker::connect(&server.url()).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error}");
}

/// Publishes numbered messages of ten keys until told to stop, each until it is acknowledged, under its
/// id; what it returns was acknowledged.
async fn load(broker: NatsBroker, stopped: watch::Receiver<bool>) -> u32 {
    let mut next = 0;
    while !*stopped.borrow() {
        let mut batch: Vec<u32> = (next..next + 50).collect();
        next += 50;
        while !batch.is_empty() {
            let messages = batch.iter().map(|number| {
                let (key, id) = ((number % 10).to_string(), number.to_string());
                message_with_id("load", &key, number, &id)
            });
            let outcomes = broker.publish(messages.collect()).await;
            let failed = batch.iter().zip(outcomes);
            let failed = failed.filter(|(_, outcome)| outcome.is_err());
            batch = failed.map(|(number, _)| *number).collect();
        }
    }
    next
}

/// Stops or kills the server twice under load, and returns what arrived, in order.
async fn outage(order: Order, disturb: impl AsyncFn(&mut Server)) -> Option<(u32, Vec<u32>)> {
    let program = program()?;
    let mut server = Server::start(&program, "").await;
    let url = format!("{}?lease_seconds=3&timeout_seconds=2", server.url());
    let (broker, publisher) = (connect(&url).await, connect(&url).await);
    let mut source = subscribe(&broker, "load", "g", order).await;
    let (stop, stopped) = watch::channel(false);
    let loading = tokio::spawn(load(publisher, stopped));
    let (count, counted) = watch::channel(0);
    let reading = tokio::spawn(async move {
        let mut arrived = Vec::new();
        loop {
            let delivery = next(&mut source).await;
            let number: u32 = text(&delivery).parse().unwrap();
            if number == u32::MAX {
                return arrived;
            }
            arrived.push(number);
            // Where it is not heard, the message comes again.
            let _ = delivery.receipt.ack().await;
            count.send_replace(arrived.len());
        }
    });
    for round in 1..=2 {
        let enough = || async { *counted.borrow() >= round * 500 };
        until("messages flow", enough).await;
        disturb(&mut server).await;
        server.go_on().await;
    }
    until("messages flow again", || async {
        *counted.borrow() >= 1_500
    })
    .await;
    stop.send_replace(true);
    let acknowledged = loading.await.unwrap();
    // With order per key and one reader, the end comes last; without, what is missing is waited for.
    let seen_all = || async { *counted.borrow() >= acknowledged as usize };
    until("all has arrived", seen_all).await;
    publish(&broker, vec![message("load", "end", u32::MAX)]).await;
    Some((acknowledged, reading.await.unwrap()))
}

fn assert_nothing_is_lost(acknowledged: u32, arrived: &[u32]) {
    let arrived: BTreeSet<u32> = arrived.iter().copied().collect();
    let missing: Vec<u32> = (0..acknowledged)
        .filter(|number| !arrived.contains(number))
        .collect();
    assert!(missing.is_empty(), "of {acknowledged}: lost {missing:?}");
}

/// Each message of a key comes first after the one before it; one that comes again may do so later.
fn assert_ordered(arrived: &[u32]) {
    let mut last = [None; 10];
    for number in arrived {
        let last = &mut last[(number % 10) as usize];
        assert!(
            last.is_none_or(|last| last < *number),
            "{number} after {last:?}"
        );
        *last = Some(*number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_restarts_under_load_lose_nothing_and_keep_the_order_of_keys() {
    let outcome = outage(Order::PerKey, Server::stop).await;
    let Some((acknowledged, arrived)) = outcome else {
        return;
    };
    assert_nothing_is_lost(acknowledged, &arrived);
    assert_ordered(&arrived);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let outcome = outage(Order::PerKey, Server::kill).await;
    let Some((acknowledged, arrived)) = outcome else {
        return;
    };
    assert_nothing_is_lost(acknowledged, &arrived);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_order_loses_nothing_when_the_server_is_killed() {
    let outcome = outage(Order::None, Server::kill).await;
    let Some((acknowledged, arrived)) = outcome else {
        return;
    };
    assert_nothing_is_lost(acknowledged, &arrived);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_member_takes_over_in_order_from_one_that_died() {
    with_program!(program);
    let server = Server::start(&program, "").await;
    let url = format!("{}?lease_seconds=2", server.url());
    let broker = connect(&url).await;
    let all = (0..20).map(|number| message("died", "k", number));
    publish(&broker, all.collect()).await;

    // A runtime that stops is as dead as a process that was killed: nothing is said to the server.
    let dying = std::thread::spawn({
        let url = url.clone();
        move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let taken = runtime.block_on(async {
                let broker = connect(&url).await;
                let mut source = subscribe(&broker, "died", "g", Order::PerKey).await;
                let mut deliveries = Vec::new();
                for _ in 0..10 {
                    deliveries.push(next(&mut source).await);
                }
                let settled = deliveries.swap_remove(3);
                settled.receipt.ack().await.unwrap();
                // On its way before everything ends.
                broker.check().await.unwrap();
                (deliveries, source)
            });
            runtime.shutdown_background();
            drop(taken);
        }
    });
    dying.join().unwrap();

    let mut source = subscribe(&broker, "died", "g", Order::PerKey).await;
    let mut taken = Vec::new();
    for _ in 0..19 {
        let delivery = next(&mut source).await;
        taken.push(text(&delivery).parse::<u32>().unwrap());
        delivery.receipt.ack().await.unwrap();
    }
    let expected: Vec<u32> = (0..20).filter(|number| *number != 3).collect();
    assert_eq!(taken, expected);
    rig::quiet(&mut source, Duration::from_millis(300)).await;
}
