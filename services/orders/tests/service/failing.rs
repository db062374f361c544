//! Backends that fail: an order goes on once they recover, and nothing is done twice.

use crate::backend::{Backend, Trouble};
use crate::service::{CALL_TIMEOUT, Service, config, fresh, impatient, order, until};
use griot_orders::backends::wire::{NewInvoice, NewPayment};
use griot_orders::backends::{Failure, Payment};
use griot_orders::{Backends, OrdersConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Meets trouble at every backend, one after the other, and recovers from each.
async fn recovers_from(trouble: Trouble) {
    let (service, backend, _directory) = fresh().await;
    for what in [
        "GET /customers",
        "GET /promotions",
        "GET /products",
        "POST /invoices",
        "POST /payments",
        "POST /notifications",
    ] {
        backend.trouble(what, trouble.clone());
        let before = backend.asked(what).len();
        let id = service.placed(&order()).await;
        until("it is tried again", || async {
            backend.asked(what).len() >= before + 3
        })
        .await;
        let order = service.get(&format!("/orders/{id}")).await.body;
        assert_ne!(order["state"], "needs_attention", "{what}");
        backend.recover();
        service.reaches(&id, "completed").await;
        assert_eq!(backend.effects(&id).len(), 6, "{what}");
        let steps = backend
            .asked("POST")
            .into_iter()
            .filter_map(|asked| asked.key);
        let mut steps: Vec<_> = steps.filter(|key| key.starts_with(&id)).collect();
        steps.sort();
        steps.dedup();
        assert_eq!(
            steps.len(),
            6,
            "{what}: the keys change between attempts: {steps:?}"
        );
    }
}

#[tokio::test]
async fn a_backend_that_answers_500_is_asked_again() {
    recovers_from(Trouble::Status(500)).await;
}

#[tokio::test]
async fn a_backend_that_answers_429_is_asked_again() {
    recovers_from(Trouble::Status(429)).await;
}

#[tokio::test]
async fn a_backend_that_hangs_is_asked_again() {
    recovers_from(Trouble::Hangs).await;
}

#[tokio::test]
async fn a_backend_that_never_finishes_its_answer_is_asked_again() {
    recovers_from(Trouble::Trickles).await;
}

#[tokio::test]
async fn g6_a_backend_that_does_it_and_says_it_failed_is_asked_again_and_does_it_once() {
    recovers_from(Trouble::FailsAfterwards).await;
}

#[tokio::test]
async fn garbage_and_endless_answers_are_not_taken() {
    for trouble in [
        Trouble::Garbage,
        Trouble::Endless,
        Trouble::Answers(json!({})),
        Trouble::Answers(json!({"id": ""})),
        Trouble::Answers(json!({"id": "../../customers"})),
        Trouble::Answers(json!({"id": 7})),
        Trouble::Answers(json!(["INV-1"])),
        Trouble::Answers(json!(null)),
    ] {
        let backend = Backend::start(0, 0.0, &[]).await;
        let backends = Backends::http(&backend.url, CALL_TIMEOUT).unwrap();
        backend.trouble("POST", trouble.clone());
        let payment = NewPayment {
            invoice_id: "INV-1".into(),
            method_id: "C".into(),
            amount: 1,
        };
        let answer = backends.pay("k", &payment).await;
        // An id with slashes is an id all the same; it is encoded where it is used.
        if matches!(&trouble, Trouble::Answers(value) if value["id"] == "../../customers") {
            assert_eq!(answer, Ok(Payment::Made("../../customers".to_owned())));
            continue;
        }
        let Err(Failure::Retry(reason)) = answer else {
            panic!("{trouble:?}: {answer:?}")
        };
        assert!(
            reason.starts_with("POST /payments") && reason.len() < 600,
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_price_or_discount_that_cannot_be_is_not_taken() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let backends = Backends::http(&backend.url, CALL_TIMEOUT).unwrap();
    for (path, body) in [
        (
            "GET /products",
            json!({"id": "P", "name": "n", "price": -1}),
        ),
        (
            "GET /products",
            json!({"id": "P", "name": "n", "price": 1.5}),
        ),
        (
            "GET /products",
            json!({"id": "P", "name": "n".repeat(2_000), "price": 1}),
        ),
        (
            "GET /promotions",
            json!({"id": "P", "name": "n", "discount": 101}),
        ),
        (
            "GET /promotions",
            json!({"id": "P", "name": "n", "discount": -1}),
        ),
    ] {
        backend.recover();
        backend.trouble(path, Trouble::Answers(body.clone()));
        let refused = match path {
            "GET /products" => backends.product("P").await.map(|_| ()),
            _ => backends.promotion("P").await.map(|_| ()),
        };
        assert!(
            matches!(refused, Err(Failure::Retry(_))),
            "{body}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_reason_that_quotes_a_long_answer_is_cut() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &backend, impatient()).await;
    let long = json!({"id": "P", "name": "n", "price": "ü".repeat(20_000)});
    backend.trouble("GET /products", Trouble::Answers(long));
    let id = service.placed(&order()).await;
    let stuck = service.reaches(&id, "needs_attention").await;
    let reason = stuck["reason"].as_str().unwrap();
    assert!(reason.contains("garbage") && reason.len() < 600, "{reason}");
}

#[tokio::test]
async fn a_backend_that_refuses_connections_is_asked_again_and_says_so() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let backends = Backends::http(&backend.url, CALL_TIMEOUT).unwrap();
    backend.go_away();
    until("it is gone", || async {
        backends.customer("C").await.is_err()
    })
    .await;
    let Err(Failure::Retry(reason)) = backends.customer("C").await else {
        panic!("an answer")
    };
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_backend_that_answers_twice_is_believed_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let first =
                        "HTTP/1.1 201 Created\r\ncontent-length: 14\r\n\r\n{\"id\":\"INV-1\"}";
                    let second = first.replace("INV-1", "INV-2");
                    let both = format!("{first}{second}");
                    if stream.write_all(both.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let backends = Backends::http(&url, CALL_TIMEOUT).unwrap();
    let invoice = NewInvoice {
        order: "o".into(),
        customer: "c".into(),
        promo: None,
        subtotal: 1,
        discount: 0,
        total: 1,
    };
    for _ in 0..20 {
        match backends.create_invoice("o/invoice", &invoice).await {
            Ok(id) => assert_eq!(id, "INV-1"),
            Err(failure) => assert!(matches!(failure, Failure::Retry(_)), "{failure:?}"),
        }
    }
    server.abort();
}

#[tokio::test]
async fn a_failing_backend_does_not_hold_up_the_others() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut calls = config().calls;
    calls.concurrency_max = 4;
    let service = Service::start(
        directory.path(),
        &backend,
        OrdersConfig { calls, ..config() },
    )
    .await;
    backend.trouble("GET /promotions", Trouble::Hangs);
    for _ in 0..20 {
        service.placed(&order()).await;
    }
    let mut without = order();
    without.as_object_mut().unwrap().remove("promo");
    assert_eq!(service.ended(&without).await["state"], "completed");
}

#[tokio::test]
async fn g6_with_backends_that_fail_in_every_way_every_order_ends_and_nothing_is_done_twice() {
    let backend = Backend::start(2, 0.3, &["CARD-BAD"]).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &backend, config()).await;
    let mut ids = Vec::new();
    for number in 0..60 {
        let mut order = order();
        if number % 3 == 0 {
            order["payment"] = json!("CARD-BAD");
        }
        ids.push((service.placed(&order).await, number % 3 == 0));
    }
    for (id, declined) in ids {
        let (state, effects) = if declined {
            ("cancelled", 0)
        } else {
            ("completed", 6)
        };
        service.reaches(&id, state).await;
        let path = format!("/orders/{id}/cancel");
        if declined {
            // Waits until the invoice is void and the customer told.
            let headers = [("prefer", "wait=60")];
            let ended = service
                .ask(axum::http::Method::POST, &path, &headers, "")
                .await;
            assert_eq!(ended.status, 200);
            let effects = backend.effects(&id);
            for step in ["invoice", "void", "customer/order_cancelled"] {
                assert!(effects.contains(&step.to_owned()), "{effects:?}");
            }
        } else {
            assert_eq!(backend.effects(&id).len(), effects);
        }
        service.history(&id).await;
    }
}
