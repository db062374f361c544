//! A read model whose server starts later than the program: only the lists wait for it.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ordering::{customer_of, order};
use crate::process::{Griot, until, whole_machine};
use crate::rows::Tables;
use crate::server::Server;

/// What a server answers, and its text.
async fn asked(url: &str) -> (StatusCode, String) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn only_the_lists_wait_for(server: Server) {
    let _machine = whole_machine().await;
    if server.name() == "mysql" {
        Tables::make_database(&server.url).await;
    }
    server.kill().await;
    let data = TempDir::new().unwrap();
    let path = data.path().to_str().unwrap();
    let mut griot = Griot::start(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--backend-latency",
        "1ms",
        "--data-dir",
        path,
        "--read-model",
        &server.url,
    ]);
    let url = griot.ready().await;
    let mut customer = customer_of(&url);
    let placed = customer.place("early".to_owned(), order(0), None).await;
    let placed = customer.ended(&placed.id).await;
    let item = Client::new()
        .post(format!("{url}/carts/ann/items"))
        .json(&json!({ "name": "early" }));
    assert_eq!(item.send().await.unwrap().status(), StatusCode::OK);
    let user = asked(&format!("{url}/openapi.json")).await.1;
    assert!(user.contains("alarm"), "alarms are served");
    for list in ["orders", "items"] {
        let (status, text) = asked(&format!("{url}/{list}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("database is waited for"), "{text}");
    }
    let (status, text) = asked(&format!("{url}/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        text.contains("orders-list is not there yet") && text.contains("refused"),
        "{text}"
    );

    server.up().await;
    until("it is ready", async || {
        let (status, _) = asked(&format!("{url}/readyz")).await;
        (status == StatusCode::OK).then_some(())
    })
    .await;
    let list = customer.get("/orders").await;
    assert_eq!(list[0]["id"], placed["id"]);
    let (status, items) = asked(&format!("{url}/items?wait_for=ann:1")).await;
    assert_eq!(status, StatusCode::OK);
    let items: Value = serde_json::from_str(&items).unwrap();
    assert_eq!(items["total"], 1);
    Tables::at(&server.url).hold_just(&[placed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_lists_works_before_their_database_is_there() {
    for name in ["postgres", "mysql"] {
        if let Some(server) = Server::database(name) {
            only_the_lists_wait_for(server).await;
        }
    }
}
