//! SIGINT and SIGTERM: intake ends, work in flight finishes or is kept, and the deadline holds.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ordering::{customer_of, order};
use crate::process::{Griot, until};

#[tokio::test]
async fn g9_a_signal_answers_whoever_waits_exits_zero_and_every_order_goes_on_later() {
    for signal in [Signal::TERM, Signal::INT] {
        let data = TempDir::new().unwrap();
        let mut griot = Griot::serve(data.path(), &["--backend-latency", "200ms"]);
        let url = griot.ready().await;
        let mut customer = customer_of(&url);
        let unwaited = customer.place("first".to_owned(), order(0), None).await;
        let waiting = customer.clone();
        let waiting =
            tokio::spawn(async move { waiting.send("second", &order(1), Some(60)).await });
        until("the second order is there", async || {
            let orders = customer.get("/orders?limit=10").await;
            orders.to_string().contains("CUST-001").then_some(())
        })
        .await;

        griot.signal(signal);
        let (status, waited) = waiting
            .await
            .unwrap()
            .expect("an answer in spite of the signal");
        assert!(status.is_success(), "{status} {waited}");
        assert_eq!(griot.end().await.code(), Some(0));
        assert!(
            reqwest::get(format!("{url}/healthz")).await.is_err(),
            "somebody still listens"
        );

        let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
        let customer = customer_of(&griot.ready().await);
        for id in [unwaited.id.as_str(), waited["id"].as_str().unwrap()] {
            let order = customer.ended(id).await;
            assert_eq!(order["state"], "completed", "{order}");
        }
    }
}

#[tokio::test]
async fn g9_the_drain_deadline_holds_while_a_backend_hangs_and_the_order_goes_on_later() {
    let data = TempDir::new().unwrap();
    let slow = ["--backend-latency", "1h", "--drain-deadline", "1s"];
    let mut griot = Griot::serve(data.path(), &slow);
    let placed = customer_of(&griot.ready().await)
        .place("only".to_owned(), order(0), None)
        .await;

    let signalled = Instant::now();
    griot.signal(Signal::TERM);
    assert_eq!(griot.end().await.code(), Some(0));
    let took = signalled.elapsed();
    // The deadline, and a margin for a process on a busy machine to be seen gone.
    assert!(took < Duration::from_secs(4), "it took {took:?}");

    let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
    let order = customer_of(&griot.ready().await).ended(&placed.id).await;
    assert_eq!(order["state"], "completed");
}

#[tokio::test]
async fn g9_a_second_signal_exits_at_once_and_loses_nothing() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(
        data.path(),
        &["--backend-latency", "1h", "--drain-deadline", "1h"],
    );
    let placed = customer_of(&griot.ready().await)
        .place("only".to_owned(), order(0), None)
        .await;
    griot.signal(Signal::TERM);
    griot.signal(Signal::INT);
    let code = griot.end().await.code();
    assert!(matches!(code, Some(130 | 143)), "{code:?}");

    let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
    let order = customer_of(&griot.ready().await).ended(&placed.id).await;
    assert_eq!(order["state"], "completed");
}
