//! The program ends, in good order or not, and starts again.

use crate::backend::{Backend, Trouble};
use crate::service::{Service, config, fresh, impatient, order, order_with, until};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[tokio::test]
async fn g1_everything_is_as_it_was_after_a_restart() {
    let (service, backend, directory) = fresh().await;
    let key = [("idempotency-key", "k"), ("prefer", "wait=10")];
    let completed = service.place(&order(), &key).await.body;
    let rejected = service
        .ended(&order_with("/customer", json!("MISSING")))
        .await;
    let history = service.history(completed["id"].as_str().unwrap()).await;
    let asked = backend.asked("").len();
    assert!(service.drain().await.in_time);
    let service = Service::start(directory.path(), &backend, config()).await;
    for order in [&completed, &rejected] {
        let path = format!("/orders/{}", order["id"].as_str().unwrap());
        assert_eq!(service.get(&path).await.body, *order);
    }
    assert_eq!(
        service.history(completed["id"].as_str().unwrap()).await,
        history
    );
    assert_eq!(service.place(&order(), &key).await.body, completed);
    let other = service
        .place(&order_with("/payment", json!("CASH")), &key)
        .await;
    assert_eq!(other.status, 422);
    until("the list is built", || async {
        service.orders().ready().await.is_ok()
    })
    .await;
    assert_eq!(
        service.get("/orders").await.body.as_array().unwrap().len(),
        2
    );
    assert_eq!(backend.asked("").len(), asked, "no step runs again");
}

#[tokio::test]
async fn g6_an_order_under_way_goes_on_after_a_crash_wherever_it_was() {
    for what in [
        "GET /customers",
        "GET /products",
        "POST /invoices",
        "POST /payments",
        "POST /notifications",
    ] {
        let (service, backend, directory) = fresh().await;
        backend.trouble(what, Trouble::Waits(Arc::new(Semaphore::new(0))));
        let id = service.placed(&order()).await;
        until("the backend is asked", || async {
            !backend.asked(what).is_empty()
        })
        .await;
        let directory = service.crash(directory).await;
        backend.recover();
        let service = Service::start(directory.path(), &backend, config()).await;
        service.reaches(&id, "completed").await;
        assert_eq!(backend.effects(&id).len(), 6, "{what}");
        service.history(&id).await;
    }
}

#[tokio::test]
async fn g6_a_step_that_completed_does_not_run_again_after_a_crash() {
    let (service, backend, directory) = fresh().await;
    backend.trouble(
        "POST /payments",
        Trouble::Waits(Arc::new(Semaphore::new(0))),
    );
    let id = service.placed(&order()).await;
    service.reaches(&id, "invoiced").await;
    until("all but the payment is done", || async {
        service.orders().griot().effects() == 1
    })
    .await;
    // Of the four notices two are about the payment.
    assert_eq!(backend.asked("POST /notifications").len(), 2);
    let directory = service.crash(directory).await;
    backend.recover();
    let service = Service::start(directory.path(), &backend, config()).await;
    service.reaches(&id, "completed").await;
    for (what, times) in [
        ("GET /customers", 1),
        ("GET /products", 2),
        ("POST /invoices", 1),
        ("POST /notifications", 4),
    ] {
        assert_eq!(backend.asked(what).len(), times, "{what}");
    }
    let keys: Vec<_> = backend
        .asked("POST /payments")
        .into_iter()
        .map(|asked| asked.key)
        .collect();
    assert!(
        keys.len() > 1 && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );
}

#[tokio::test]
async fn what_needs_attention_needs_it_after_a_restart_too_and_can_be_resumed() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &backend, impatient()).await;
    backend.trouble("POST /invoices", Trouble::FailsAfterwards);
    let id = service.placed(&order()).await;
    service.reaches(&id, "needs_attention").await;
    let directory = service.crash(directory).await;
    backend.recover();
    let service = Service::start(directory.path(), &backend, impatient()).await;
    service.reaches(&id, "needs_attention").await;
    assert_eq!(
        service.post(&format!("/orders/{id}/resume")).await.status,
        202
    );
    service.reaches(&id, "completed").await;
    assert_eq!(backend.effects(&id).len(), 6);
}

#[tokio::test]
async fn g9_whoever_waits_for_an_order_is_answered_when_the_program_stops() {
    let (service, backend, _directory) = fresh().await;
    backend.trouble(
        "GET /customers",
        Trouble::Waits(Arc::new(Semaphore::new(0))),
    );
    let order = order();
    let placing = service.place(&order, &[("prefer", "wait=60")]);
    let stopping = async {
        until("the order is there", || async {
            !backend.asked("GET /customers").is_empty()
        })
        .await;
        service.stop(std::time::Duration::from_secs(5)).await
    };
    let (answer, _) = tokio::join!(placing, stopping);
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (202, &json!("placed"))
    );
    assert_eq!(service.place(&order, &[]).await.status, 503);
}
