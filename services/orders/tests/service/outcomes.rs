//! How an order can end other than completed, and how people step in.

use crate::backend::{Backend, Trouble};
use crate::service::{Service, fresh, impatient, order, order_with, until};
use axum::http::Method;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[tokio::test]
async fn what_does_not_exist_rejects_the_order_and_nothing_else_happens() {
    let (service, backend, _directory) = fresh().await;
    for (pointer, kind) in [
        ("/customer", "customer"),
        ("/merchant", "merchant"),
        ("/promo", "promotion"),
        ("/items/1/id", "product"),
    ] {
        let order = service
            .ended(&order_with(pointer, json!("MISSING-1")))
            .await;
        assert_eq!(order["state"], "rejected");
        assert_eq!(
            order["reason"],
            format!("the {kind} MISSING-1 does not exist")
        );
        assert_eq!(
            (&order["invoice"], &order["total"]),
            (&json!(null), &json!(null))
        );
        let id = order["id"].as_str().unwrap();
        assert_eq!(service.history(id).await.last().unwrap(), "OrderRejected");
        for action in ["cancel", "resume"] {
            assert_eq!(
                service.post(&format!("/orders/{id}/{action}")).await.status,
                409
            );
        }
    }
    assert_eq!(backend.asked("POST"), []);
}

#[tokio::test]
async fn an_amount_that_overflows_rejects_the_order() {
    let (service, backend, _directory) = fresh().await;
    let gold = json!({"id": "IT-001", "name": "Gold", "price": i64::MAX});
    backend.trouble("GET /products/IT-001", Trouble::Answers(gold));
    let order = service.ended(&order_with("/items/0/qty", json!(2))).await;
    assert_eq!(order["state"], "rejected");
    assert!(order["reason"].as_str().unwrap().contains("64 bits"));
    assert_eq!(backend.asked("POST"), []);
}

#[tokio::test]
async fn a_declined_payment_cancels_the_order_voids_the_invoice_and_tells_the_customer() {
    let (service, backend, _directory) = fresh().await;
    let order = service
        .ended(&order_with("/payment", json!("CARD-BAD")))
        .await;
    assert_eq!(
        (&order["state"], &order["payment"]),
        (&json!("cancelled"), &json!(null))
    );
    assert_eq!(order["reason"], "the payment was declined");
    let id = order["id"].as_str().unwrap();
    let effects = backend.effects(id);
    assert!(effects.contains(&"void".to_owned()), "{effects:?}");
    assert!(
        effects.contains(&"customer/order_cancelled".to_owned()),
        "{effects:?}"
    );
    assert!(!effects.contains(&"payment".to_owned()), "{effects:?}");
    assert_eq!(
        backend.books()[&format!("{id}/void")]["subject"],
        order["invoice"]
    );
}

#[tokio::test]
async fn a_refusal_needs_attention_and_resuming_repeats_exactly_that_step_under_its_key() {
    for what in [
        "GET /customers",
        "GET /products/IT-002",
        "POST /invoices",
        "POST /payments",
        "POST /notifications",
    ] {
        let (service, backend, _directory) = fresh().await;
        for status in [400, 403, 409] {
            backend.recover();
            backend.trouble(what, Trouble::Status(status));
            let id = service.placed(&order()).await;
            let stuck = service.reaches(&id, "needs_attention").await;
            let reason = stuck["reason"].as_str().unwrap();
            assert!(reason.contains(&status.to_string()), "{what}: {reason}");
            // A step that is under way all the same comes to its end before it is counted.
            until("the calls end", || async {
                service.orders().griot().effects() == 0
            })
            .await;
            backend.recover();
            let before = backend.asked("").len();
            let resumed = service.post(&format!("/orders/{id}/resume")).await;
            assert_eq!(resumed.status, 202, "{}", resumed.body);
            service.reaches(&id, "completed").await;
            let after = &backend.asked("")[before..];
            assert!(after[0].what.starts_with(what), "{after:?}");
            assert_eq!(backend.effects(&id).len(), 6);
            assert_eq!(
                service.post(&format!("/orders/{id}/resume")).await.status,
                409
            );
        }
        let mut keys: Vec<_> = backend
            .asked("POST")
            .into_iter()
            .map(|asked| asked.key)
            .collect();
        keys.dedup();
        assert!(keys.iter().all(Option::is_some));
    }
}

#[tokio::test]
async fn a_backend_that_keeps_failing_past_the_deadline_needs_attention_and_resuming_goes_on() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &backend, impatient()).await;
    backend.trouble("POST /payments", Trouble::FailsAfterwards);
    let id = service.placed(&order()).await;
    let stuck = service.reaches(&id, "needs_attention").await;
    assert!(
        stuck["reason"].as_str().unwrap().contains("500"),
        "{}",
        stuck["reason"]
    );
    assert!(stuck["invoice"].is_string(), "nothing is lost");
    backend.recover();
    let resume = format!("/orders/{id}/resume");
    let resumed = service
        .ask(Method::POST, &resume, &[("prefer", "wait=10")], "")
        .await;
    assert_eq!(
        (resumed.status, &resumed.body["state"]),
        (200, &json!("completed"))
    );
    let payments = backend.asked("POST /payments");
    assert_eq!(payments.len(), 2);
    assert_eq!(payments[0].key, payments[1].key);
    assert_eq!(backend.effects(&id).len(), 6);
}

#[tokio::test]
async fn an_order_is_cancelled_while_it_is_looked_up() {
    let (service, backend, _directory) = fresh().await;
    let gate = Arc::new(Semaphore::new(0));
    backend.trouble("GET /merchants", Trouble::Waits(Arc::clone(&gate)));
    let id = service.placed(&order()).await;
    let cancel = format!("/orders/{id}/cancel");
    let answer = service.post(&cancel).await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (200, &json!("cancelled"))
    );
    backend.recover();
    gate.add_permits(100);
    let again = service
        .ask(Method::POST, &cancel, &[("prefer", "wait=10")], "")
        .await;
    assert_eq!(
        (again.status, &again.body["state"]),
        (200, &json!("cancelled"))
    );
    until("the calls end", || async {
        service.orders().griot().effects() == 0
    })
    .await;
    assert_eq!(backend.effects(&id), ["customer/order_cancelled"]);
}

#[tokio::test]
async fn an_invoice_that_was_being_created_when_the_order_was_cancelled_is_made_void() {
    let (service, backend, _directory) = fresh().await;
    let gate = Arc::new(Semaphore::new(0));
    backend.trouble("POST /invoices", Trouble::Waits(Arc::clone(&gate)));
    let id = service.placed(&order()).await;
    service.reaches(&id, "priced").await;
    let cancel = format!("/orders/{id}/cancel");
    assert_eq!(service.post(&cancel).await.status, 200);
    backend.recover();
    gate.add_permits(100);
    let ended = service
        .ask(Method::POST, &cancel, &[("prefer", "wait=10")], "")
        .await;
    assert_eq!(
        (ended.status, &ended.body["state"]),
        (200, &json!("cancelled"))
    );
    assert!(ended.body["invoice"].is_string());
    assert_eq!(
        backend.effects(&id),
        ["customer/order_cancelled", "invoice", "void"]
    );
}

#[tokio::test]
async fn an_order_whose_payment_has_begun_cannot_be_cancelled() {
    let (service, backend, _directory) = fresh().await;
    let gate = Arc::new(Semaphore::new(0));
    backend.trouble("POST /payments", Trouble::Waits(Arc::clone(&gate)));
    let id = service.placed(&order()).await;
    service.reaches(&id, "invoiced").await;
    let cancel = format!("/orders/{id}/cancel");
    assert_eq!(service.post(&cancel).await.status, 409);
    backend.recover();
    gate.add_permits(100);
    service.reaches(&id, "completed").await;
    assert_eq!(service.post(&cancel).await.status, 409);
    assert_eq!(backend.effects(&id).len(), 6);
}

#[tokio::test]
async fn an_order_that_does_not_need_attention_cannot_be_resumed() {
    let (service, _backend, _directory) = fresh().await;
    let id = service.ended(&order()).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        service.post(&format!("/orders/{id}/resume")).await.status,
        409
    );
}

#[tokio::test]
async fn an_order_stuck_on_its_invoice_can_be_cancelled_and_the_invoice_is_made_void() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &backend, impatient()).await;
    backend.trouble("POST /invoices", Trouble::FailsAfterwards);
    let id = service.placed(&order()).await;
    service.reaches(&id, "needs_attention").await;
    backend.recover();
    let cancel = format!("/orders/{id}/cancel");
    let ended = service
        .ask(Method::POST, &cancel, &[("prefer", "wait=10")], "")
        .await;
    assert_eq!(
        (ended.status, &ended.body["state"]),
        (200, &json!("cancelled"))
    );
    assert_eq!(
        backend.effects(&id),
        ["customer/order_cancelled", "invoice", "void"]
    );
}
