//! `griot journal copy`: a service goes on, on another journal, where it was.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::audit;
use crate::backends::Backends;
use crate::looking::{done, printed};
use crate::ordering::{Acknowledged, customer_of, order};
use crate::process::{Griot, command, whole_machine};
use crate::server::Server;

/// How often a copy is killed before one may end.
const KILLS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn orders_under_way_go_on_after_their_journal_was_copied_from_server_to_server_and_back_as_none_dies_too()
 {
    let (Some(postgres), Some(mysql)) = (Server::database("postgres"), Server::database("mysql"))
    else {
        return;
    };
    goes_on_and_back(&[&postgres.url, &mysql.url]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_under_way_go_on_after_their_journal_was_copied_to_cassandra_and_back_as_it_dies_too()
 {
    if let Some(cassandra) = Server::database("cassandra") {
        goes_on_and_back(&[&cassandra.url]).await;
    }
}

/// Places orders on the embedded log, on each of the servers behind it, and on an embedded log again.
async fn goes_on_and_back(servers: &[&str]) {
    let _machine = whole_machine().await;
    let (first, last) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let backends = Backends::start("100ms", "0.03").await;
    let flags = ["--backends", &backends.url, "--backend-timeout", "1s"];
    let mut all: Vec<Acknowledged> = Vec::new();
    let mut before: Vec<Value> = Vec::new();

    let mut places = vec![("embedded", first.path())];
    places.extend(servers.iter().map(|&url| (url, first.path())));
    places.push(("embedded", last.path()));
    for (number, &(journal, data)) in places.iter().enumerate() {
        if number > 0 {
            let (from, from_data) = places[number - 1];
            copied(&place(from, from_data), &place(journal, data)).await;
        }
        let mut griot = Griot::serve(data, &[&flags[..], &["--journal", journal]].concat());
        let customer = customer_of(&griot.ready().await);
        // What was placed on the journal before has its answer here, and its end.
        for placed in &all {
            let (status, answer) = customer
                .send(&placed.key, &placed.body, None)
                .await
                .unwrap();
            assert_eq!(
                (status, answer["id"].as_str()),
                (StatusCode::ACCEPTED, Some(&*placed.id))
            );
            customer.ended(&placed.id).await;
        }
        if let Some(placed) = all.first() {
            let history = customer
                .get(&format!("/orders/{}/history", placed.id))
                .await;
            let now = history.as_array().unwrap();
            assert!(
                now.starts_with(&before),
                "{now:?} does not begin with {before:?}"
            );
        }
        let placing = (0..20).map(|order_number| {
            let mut customer = customer.clone();
            let key = format!("{number}-{order_number}");
            async move { customer.place(key, order(order_number), None).await }
        });
        let mut orders = tokio::task::JoinSet::new();
        placing.for_each(|placing| drop(orders.spawn(placing)));
        all.extend(orders.join_all().await);
        let history = customer
            .get(&format!("/orders/{}/history", all[0].id))
            .await;
        before = history.as_array().unwrap().clone();
        if number + 1 < places.len() {
            // In the middle of the last ones.
            griot.kill();
            continue;
        }
        let ends = audit::orders(&customer, &backends, &all).await;
        println!("ends: {ends:?}");
        audit::same_key_same_answer(&customer, &all).await;
        audit::books(&backends, &ends.orders).await;
    }
}

fn place(journal: &str, data: &std::path::Path) -> String {
    match journal {
        "embedded" => format!("embedded:{}", data.display()),
        url => url.to_owned(),
    }
}

/// Copies, killed again and again before it may end.
async fn copied(from: &str, to: &str) {
    let arguments = ["journal", "copy", "--from", from, "--to", to];
    for _ in 0..KILLS {
        let mut copying = command(&arguments).spawn().unwrap();
        let life = Duration::from_millis(fastrand::u64(1..60));
        let _ = tokio::time::timeout(life, std::future::pending::<()>()).await;
        copying.kill().unwrap();
        copying.wait().unwrap();
    }
    let said = done(&arguments);
    assert!(said.starts_with("copied "), "{said}");
    let again = done(&arguments);
    assert!(again.starts_with("copied 0 events in 0 appends"), "{again}");
}

#[tokio::test]
async fn what_cannot_be_copied_is_said() {
    let data = TempDir::new().unwrap();
    let directory = Arc::new(format!("embedded:{}", data.path().display()));
    let nothing = "embedded:/no/such/directory";
    for (from, to, named) in [
        ("embedded", &**directory, "embedded:DIR"),
        (&**directory, &**directory, "--to"),
        (nothing, &**directory, "/no/such/directory"),
        ("mongodb://me:secret@host", &**directory, "mongodb"),
    ] {
        let (_, said, code) = printed(&["journal", "copy", "--from", from, "--to", to]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(named) && !said.contains("secret"), "{said}");
    }
    crate::looking::filled(data.path(), "embedded").await;
    let other = TempDir::new().unwrap();
    crate::looking::filled(other.path(), "embedded").await;
    let to = format!("embedded:{}", other.path().display());
    let (_, said, code) = printed(&["journal", "copy", "--from", &directory, "--to", &to]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds what the source does not"), "{said}");
}
