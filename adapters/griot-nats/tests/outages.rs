//! Servers that stop, die, know no JetStream or let nobody in.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::time::Duration;

use griot_events::{Broker, BrokerError, Order};
use griot_nats::NatsBroker;
use griot_testkit::probe::{message, next, publish, quiet, subscribe, text};
use rig::{Server, connect, program};

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
    quiet(&mut source, Duration::from_millis(300)).await;
}
