//! SIGINT and SIGTERM: intake ends, work in flight finishes or is kept, and the deadline holds.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ordering::{customer_of, order};
use crate::process::Griot;

#[tokio::test]
async fn g9_a_signal_lets_the_orders_in_flight_finish_and_exits_zero() {
    for signal in [Signal::TERM, Signal::INT] {
        let data = TempDir::new().unwrap();
        let mut griot = Griot::serve(data.path(), &["--backend-latency", "100ms"]);
        let url = griot.ready().await;
        let mut customer = customer_of(&url);
        let without_waiting = customer.place("first".to_owned(), order(0), None).await;
        let waiting = customer.clone();
        let waiting =
            tokio::spawn(async move { waiting.send("second", &order(1), Some(30)).await });
        crate::process::until("the second order is there", async || {
            let orders = customer.get("/orders?limit=10").await;
            orders.to_string().contains("CUST-001").then_some(())
        })
        .await;

        griot.signal(signal);
        let (status, order) = waiting.await.unwrap().unwrap();
        assert_eq!(
            (status.as_u16(), order["state"].as_str()),
            (200, Some("completed")),
            "{order}"
        );
        assert_eq!(griot.end().await.code(), Some(0));
        assert!(
            reqwest::get(format!("{url}/healthz")).await.is_err(),
            "nobody listens any more"
        );

        let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
        let order = customer_of(&griot.ready().await)
            .ended(&without_waiting.id)
            .await;
        assert_eq!(order["state"], "completed");
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
