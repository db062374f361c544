//! An order is placed: what is answered, and what then happens.

use crate::backend::{Backend, Trouble};
use crate::service::{Service, config, fresh, order, order_with, until};
use futures_util::future::join_all;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[tokio::test]
async fn an_order_is_accepted_with_its_location_and_then_completed() {
    let (service, backend, _directory) = fresh().await;
    let answer = service.place(&order(), &[]).await;
    assert_eq!(answer.status, 202);
    let id = answer.id().to_owned();
    assert_eq!(answer.body, json!({"id": id, "state": "placed"}));
    assert_eq!(
        answer.header("location"),
        Some(format!("/orders/{id}").as_str())
    );
    service.reaches(&id, "completed").await;
    let expected = [
        "customer/invoice_issued",
        "customer/payment_received",
        "invoice",
        "merchant/order_placed",
        "merchant/payment_received",
        "payment",
    ];
    assert_eq!(backend.effects(&id), expected);
}

#[tokio::test]
async fn a_completed_order_shows_all_there_is_to_know() {
    let (service, backend, _directory) = fresh().await;
    let order = service.ended(&order()).await;
    let price = async |id: &'static str| {
        let url = format!("{}/products/{id}", backend.url);
        let product: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        product["price"].as_i64().unwrap()
    };
    let (first, second) = (price("IT-001").await, price("IT-002").await);
    let promotion = reqwest::get(format!("{}/promotions/PROM-001", backend.url))
        .await
        .unwrap();
    let promotion: serde_json::Value = promotion.json().await.unwrap();
    let subtotal = first + 2 * second;
    let discount = subtotal * promotion["discount"].as_i64().unwrap() / 100;
    let expected = json!({
        "id": order["id"], "state": "completed", "placed_at": order["placed_at"],
        "seq": order["seq"],
        "customer": {"id": "CUST-001", "name": "Customer CUST-001"},
        "merchant": {"id": "MRCN-001", "name": "Merchant MRCN-001"},
        "items": [
            {"id": "IT-001", "name": "Product IT-001", "qty": 1, "price": first},
            {"id": "IT-002", "name": "Product IT-002", "qty": 2, "price": second},
        ],
        "subtotal": subtotal, "discount": discount, "total": subtotal - discount,
        "promo": "PROM-001", "invoice": order["invoice"], "payment": order["payment"],
        "reason": null,
    });
    assert_eq!(order, expected);
    assert!(order["invoice"].as_str().unwrap().starts_with("INV-"));
    assert!(order["payment"].as_str().unwrap().starts_with("PMT-"));
    assert!(order["placed_at"].as_str().unwrap().ends_with('Z'));
    let id = order["id"].as_str().unwrap();
    let paid = &backend.books()[&format!("{id}/payment")];
    assert_eq!(paid["amount"], subtotal - discount);
    assert_eq!(paid["subject"], order["invoice"]);
}

#[tokio::test]
async fn an_order_without_a_promotion_has_no_discount() {
    let (service, backend, _directory) = fresh().await;
    let mut order = order();
    order.as_object_mut().unwrap().remove("promo");
    let order = service.ended(&order).await;
    assert_eq!(
        (&order["discount"], &order["promo"]),
        (&json!(0), &json!(null))
    );
    assert_eq!(backend.asked("GET /promotions"), []);
}

#[tokio::test]
async fn prefer_wait_holds_the_answer_until_the_order_is_final() {
    let (service, _backend, _directory) = fresh().await;
    let answer = service.place(&order(), &[("prefer", "wait=10")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("preference-applied"), Some("wait=10"));
    assert_eq!(
        answer.header("location"),
        Some(format!("/orders/{}", answer.id()).as_str())
    );
    assert_eq!(answer.body["state"], "completed");
}

#[tokio::test]
async fn prefer_wait_answers_202_when_the_seconds_have_passed() {
    let (service, backend, _directory) = fresh().await;
    backend.trouble(
        "GET /customers",
        Trouble::Waits(Arc::new(Semaphore::new(0))),
    );
    for wait in ["wait=0", "wait=1"] {
        let answer = service.place(&order(), &[("prefer", wait)]).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.header("preference-applied"), Some(wait));
        assert_eq!(answer.body, json!({"id": answer.id(), "state": "placed"}));
    }
}

#[tokio::test]
async fn a_preference_that_cannot_be_understood_is_ignored() {
    let (service, _backend, _directory) = fresh().await;
    let answer = service.place(&order(), &[("prefer", "wait=soon")]).await;
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (202, None)
    );
}

#[tokio::test]
async fn g3_the_same_key_and_body_give_the_same_answer_and_one_order() {
    let (service, backend, _directory) = fresh().await;
    let key = [("idempotency-key", "one of mine")];
    let first = service.place(&order(), &key).await;
    service.reaches(first.id(), "completed").await;
    let second = service.place(&order(), &key).await;
    assert_eq!((second.status, &second.body), (202, &first.body));
    assert_eq!(second.header("location"), first.header("location"));
    let waited = service
        .place(&order(), &[key[0], ("prefer", "wait=10")])
        .await;
    assert_eq!((waited.status, waited.id()), (200, first.id()));
    assert_eq!(backend.asked("POST /payments").len(), 1);
}

#[tokio::test]
async fn g3_the_same_key_from_many_clients_at_once_places_one_order() {
    let (service, backend, _directory) = fresh().await;
    let headers = [("idempotency-key", "k"), ("prefer", "wait=10")];
    let order = order();
    let places = (0..50).map(|_| service.place(&order, &headers));
    let answers = join_all(places).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.id() == answers[0].id())
    );
    assert_eq!(backend.asked("POST /invoices").len(), 1);
    assert_eq!(backend.asked("GET /customers").len(), 1);
}

#[tokio::test]
async fn g3_the_same_key_with_another_body_is_refused() {
    let (service, _backend, _directory) = fresh().await;
    let key = [("idempotency-key", "k")];
    let first = service.place(&order(), &key).await;
    let other = service
        .place(&order_with("/items/0/qty", json!(2)), &key)
        .await;
    assert_eq!(
        (other.status, &other.body["field"]),
        (422, &json!("Idempotency-Key"))
    );
    assert_eq!(service.place(&order(), &key).await.body, first.body);
}

#[tokio::test]
async fn without_a_key_each_request_is_an_order_of_its_own() {
    let (service, _backend, _directory) = fresh().await;
    assert_ne!(
        service.placed(&order()).await,
        service.placed(&order()).await
    );
}

#[tokio::test]
async fn an_order_of_a_thousand_items_completes_and_looks_each_product_up_once() {
    let (service, backend, _directory) = fresh().await;
    let items: Vec<_> = (0..1_000)
        .map(|n| json!({"id": format!("IT-{n}"), "qty": 1}))
        .collect();
    let order = service.ended(&order_with("/items", json!(items))).await;
    assert_eq!(order["state"], "completed");
    assert_eq!(order["items"].as_array().unwrap().len(), 1_000);
    assert_eq!(backend.asked("GET /products").len(), 1_000);
}

#[tokio::test]
async fn look_ups_run_at_once_and_notices_do_not_hold_up_the_payment() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &backend, config()).await;
    let gate = Arc::new(Semaphore::new(0));
    backend.trouble("GET", Trouble::Waits(Arc::clone(&gate)));
    let id = service.placed(&order()).await;
    // None of the five is answered, so all five must have been asked.
    until("all five are asked", || async {
        backend.asked("GET").len() >= 5
    })
    .await;
    backend.recover();
    backend.trouble(
        "POST /notifications",
        Trouble::Waits(Arc::new(Semaphore::new(0))),
    );
    gate.add_permits(5);
    service.reaches(&id, "paid").await;
    backend.recover();
    service.reaches(&id, "completed").await;
}

#[tokio::test]
async fn no_order_waits_for_another() {
    let (service, backend, _directory) = fresh().await;
    let gate = Arc::new(Semaphore::new(0));
    backend.trouble("GET", Trouble::Waits(Arc::clone(&gate)));
    let numbers = 0..100;
    let places = numbers.map(|number| {
        let order = order_with("/customer", json!(format!("CUST-{number}")));
        let service = &service;
        async move { service.place(&order, &[("prefer", "wait=60")]).await }
    });
    let opening = async {
        // Nothing is answered yet, so all hundred customers are looked up at once.
        until("all are looked up", || async {
            let asked = backend.asked("GET /customers");
            let customers: BTreeSet<_> = asked.into_iter().map(|asked| asked.what).collect();
            customers.len() == 100
        })
        .await;
        backend.recover();
        gate.add_permits(10_000);
    };
    let (answers, ()) = tokio::join!(join_all(places), opening);
    assert!(
        answers
            .iter()
            .all(|answer| answer.body["state"] == "completed")
    );
}
