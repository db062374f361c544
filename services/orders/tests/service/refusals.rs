//! What bad input gets: a problem document that says what is wrong, and nothing happens.

use crate::backend::{Backend, Trouble};
use crate::service::{Answer, Service, config, fresh, order, order_with};
use axum::http::Method;
use griot::Limits;
use griot_orders::OrdersConfig;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

fn assert_problem(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{what}"
    );
    assert_eq!(answer.body["status"], status, "{what}");
    for member in ["type", "title", "detail"] {
        assert!(answer.body[member].is_string(), "{what}: {}", answer.body);
    }
}

async fn refused(
    service: &Service,
    body: impl Into<reqwest::Body>,
    status: u16,
    what: &str,
) -> Answer {
    let answer = service.ask(Method::POST, "/orders", &[], body).await;
    assert_problem(&answer, status, what);
    answer
}

#[tokio::test]
async fn broken_json_is_400() {
    let (service, _backend, _directory) = fresh().await;
    for body in [
        "",
        "{",
        "nonsense",
        "{\"customer\":}",
        "{} {}",
        &"[".repeat(30_000),
        "\u{feff}{}",
    ] {
        refused(
            &service,
            body.to_owned(),
            400,
            &body.chars().take(20).collect::<String>(),
        )
        .await;
    }
    refused(
        &service,
        b"{\"customer\":\"\xff\"}".to_vec(),
        400,
        "not UTF-8",
    )
    .await;
    assert_eq!(service.get("/orders").await.body, json!([]));
}

#[tokio::test]
async fn more_than_64_kib_is_413_and_64_kib_are_read() {
    let (service, _backend, _directory) = fresh().await;
    let mut order = order().to_string();
    order.push_str(&" ".repeat(64 * 1024 - order.len()));
    let answer = service
        .ask(Method::POST, "/orders", &[], order.clone())
        .await;
    assert_eq!(answer.status, 202);
    order.push(' ');
    refused(&service, order, 413, "one byte too many").await;
    refused(&service, "x".repeat(3 << 20), 413, "3 MiB").await;
}

#[tokio::test]
async fn wrong_types_and_values_are_422_and_name_the_field() {
    let (service, _backend, _directory) = fresh().await;
    let long = "x".repeat(256);
    let many = vec![json!({"id": "IT-1", "qty": 1}); 1_001];
    let cases = [
        ("/customer", json!(7), "customer"),
        ("/customer", json!(null), "customer"),
        ("/customer", json!(""), "customer"),
        ("/merchant", json!(".."), "merchant"),
        ("/merchant", json!(["M"]), "merchant"),
        ("/payment", json!(long), "payment"),
        ("/payment", json!("a\u{0}"), "payment"),
        ("/promo", json!(""), "promo"),
        ("/promo", json!({}), "promo"),
        ("/items", json!([]), "items"),
        ("/items", json!({}), "items"),
        ("/items", json!("IT-001"), "items"),
        ("/items", json!(many), "items"),
        ("/items/1", json!(["IT-001", 1]), "items[1]"),
        ("/items/1", json!({"qty": 1}), "items[1].id"),
        ("/items/1/id", json!(""), "items[1].id"),
        ("/items/0", json!({"id": "IT-001"}), "items[0].qty"),
        ("/items/0/qty", json!(0), "items[0].qty"),
        ("/items/0/qty", json!(-1), "items[0].qty"),
        ("/items/0/qty", json!(1.5), "items[0].qty"),
        ("/items/0/qty", json!("1"), "items[0].qty"),
        ("/items/0/qty", json!(1_000_001), "items[0].qty"),
        ("/items/0/qty", json!(u64::MAX), "items[0].qty"),
    ];
    for (pointer, value, field) in cases {
        let what = format!(
            "{pointer} = {}",
            value.to_string().chars().take(40).collect::<String>()
        );
        let body = order_with(pointer, value).to_string();
        let answer = refused(&service, body, 422, &what).await;
        assert_eq!(answer.body["field"], field, "{what}: {}", answer.body);
    }
    for (unknown, field) in [
        (json!({"promotion": "PROM-001"}), "promotion"),
        (
            json!({"items": [{"id": "IT-001", "qty": 1, "price": 0}]}),
            "items[0].price",
        ),
    ] {
        let mut body = order();
        let changed = body.as_object_mut().unwrap();
        changed.extend(unknown.as_object().unwrap().clone());
        let answer = refused(&service, body.to_string(), 422, field).await;
        assert_eq!(answer.body["field"], field, "{}", answer.body);
    }
    for body in ["[]", "null", "1", "\"order\""] {
        refused(&service, body, 422, body).await;
    }
    let missing = refused(&service, "{}", 422, "{}").await;
    assert_eq!(missing.body["field"], "customer");
    let highest = service
        .place(&order_with("/items/0/qty", json!(1_000_000)), &[])
        .await;
    assert_eq!(highest.status, 202);
}

#[tokio::test]
async fn an_idempotency_key_of_0_or_more_than_255_bytes_is_422() {
    let (service, _backend, _directory) = fresh().await;
    for key in ["", &"k".repeat(256)] {
        let answer = service.place(&order(), &[("idempotency-key", key)]).await;
        assert_problem(&answer, 422, key);
        assert_eq!(answer.body["field"], "Idempotency-Key");
    }
    let answer = service
        .place(&order(), &[("idempotency-key", &"k".repeat(255))])
        .await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn unknown_and_malformed_ids_and_routes_are_404() {
    let (service, _backend, _directory) = fresh().await;
    let unknown = "0190b5a4-7c3e-7a10-8f00-0123456789ab";
    for id in [
        unknown,
        "1",
        "..%2F..",
        "%00",
        "%FF",
        "ä",
        &"x".repeat(2_000),
        "order%2Fx",
    ] {
        for (method, path) in [
            (Method::GET, ""),
            (Method::GET, "?seq=1"),
            (Method::GET, "?at=2026-01-31T12:00:00Z"),
            (Method::GET, "/history"),
            (Method::POST, "/cancel"),
            (Method::POST, "/resume"),
        ] {
            let path = format!("/orders/{id}{path}");
            let answer = service.ask(method, &path, &[], "").await;
            assert_problem(&answer, 404, &path);
        }
    }
    for path in ["/order", "/orders/", "/nothing/here", "/index.html"] {
        assert_problem(&service.get(path).await, 404, path);
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_take_is_405() {
    let (service, _backend, _directory) = fresh().await;
    let answer = service.ask(Method::DELETE, "/orders", &[], "").await;
    assert_problem(&answer, 405, "DELETE /orders");
    assert!(answer.header("allow").unwrap().contains("POST"));
}

#[tokio::test]
async fn wrong_parameters_are_422_and_named() {
    let (service, _backend, _directory) = fresh().await;
    let id = service.placed(&order()).await;
    let one = format!("/orders/{id}");
    for (path, field) in [
        ("/orders?limit=0".to_owned(), "limit"),
        ("/orders?limit=1001".to_owned(), "limit"),
        ("/orders?limit=many".to_owned(), "limit"),
        ("/orders?state=done".to_owned(), "state"),
        ("/orders?after=1".to_owned(), "after"),
        (
            "/orders?after=0190b5a4-7c3e-7a10-8f00-0123456789ab".to_owned(),
            "after",
        ),
        (format!("{one}?seq=-1"), "seq"),
        (format!("{one}?seq=x"), "seq"),
        (format!("{one}?at=yesterday"), "at"),
        (format!("{one}?seq=1&at=2026-01-31T12:00:00Z"), "at"),
    ] {
        let answer = service.get(&path).await;
        assert_problem(&answer, 422, &path);
        assert_eq!(answer.body["field"], field, "{path}");
    }
}

#[tokio::test]
async fn g10_too_many_orders_under_way_are_503_with_retry_after_and_none_is_lost() {
    let backend = Backend::start(0, 0.0, &[]).await;
    let gate = Arc::new(Semaphore::new(0));
    backend.trouble("GET", Trouble::Waits(Arc::clone(&gate)));
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits {
        effects_max: 50,
        ..config().limits
    };
    let service = Service::start(
        directory.path(),
        &backend,
        OrdersConfig { limits, ..config() },
    )
    .await;
    let mut accepted = Vec::new();
    for _ in 0..30 {
        let answer = service.place(&order(), &[]).await;
        if answer.status == 202 {
            accepted.push(answer.id().to_owned());
        } else {
            assert_problem(&answer, 503, "busy");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
    assert!(
        (5..25).contains(&accepted.len()),
        "{} were accepted",
        accepted.len()
    );
    backend.recover();
    gate.add_permits(1_000);
    for id in accepted {
        service.reaches(&id, "completed").await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_harm_nobody() {
    let (service, _backend, _directory) = fresh().await;
    let address = service.url.strip_prefix("http://").unwrap();
    for bytes in [
        "\0\u{1}\u{2}\r\n\r\n",
        "POST /orders HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let ended: Value = service.ended(&order()).await;
    assert_eq!(ended["state"], "completed");
}
