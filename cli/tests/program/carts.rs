//! Carts and their list across kill -9: what was acknowledged is there, to the row.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::places::Places;
use crate::process::{DEADLINE, Griot, kills, quiet_address, whole_machine};

/// How many clients fill carts, and what each puts in.
const CLIENTS: usize = 4;
const ITEMS: usize = 240;

/// Between two attempts of a client.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn g1_g3_g7_every_acknowledged_item_is_listed_once_across_kill_nine() {
    filled_and_killed(Places::embedded(), kills(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_g3_g7_every_acknowledged_item_is_listed_once_when_the_servers_of_any_pair_die_too() {
    for places in Places::pairs() {
        filled_and_killed(places, kills(15)).await;
    }
}

async fn filled_and_killed(places: Places, kills: u32) {
    println!("{}", places.names());
    let _machine = whole_machine().await;
    places.make().await;
    let address = quiet_address();
    let path = places.directory().to_str().unwrap();
    let serve = || {
        let arguments = ["serve", "carts", "--listen", &address, "--data-dir", path];
        Griot::start(&[&arguments[..], &places.flags()].concat())
    };
    let url = format!("http://{address}");
    let mut filling = JoinSet::new();
    for client in 0..CLIENTS {
        filling.spawn(fill(url.clone(), client));
    }
    for kill in 0..kills {
        let mut griot = serve();
        griot.ready().await;
        let life = Duration::from_millis(fastrand::u64(20..400));
        let _ = tokio::time::timeout(life, std::future::pending::<()>()).await;
        let dying = places.dying(kill);
        if let Some(server) = dying {
            server.kill().await;
        }
        griot.kill();
        if let Some(server) = dying {
            server.up().await;
        }
    }
    let mut griot = serve();
    griot.ready().await;
    let mut acknowledged = BTreeSet::new();
    while let Some(filled) = filling.join_next().await {
        acknowledged.extend(filled.unwrap());
    }
    assert_eq!(
        acknowledged.len(),
        CLIENTS * ITEMS,
        "each item has an id of its own"
    );
    let client = Client::new();
    for cart in 0..CLIENTS {
        let shown: Value = client
            .get(format!("{url}/carts/{cart}"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let wait = format!("{url}/items?limit=1&wait_for={cart}:{}", shown["seq"]);
        assert_eq!(
            client.get(wait).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
    let list: Value = client
        .get(format!("{url}/items?limit=1000"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let listed = list["_embedded"]["items"].as_array().unwrap().iter();
    let listed: Vec<_> = listed
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(list["total"], acknowledged.len());
    assert_eq!(listed, acknowledged.into_iter().collect::<Vec<_>>());
    assert_eq!(places.tables().items().await, listed);
    println!(
        "{kills} kills; {} items acknowledged, each listed once, and a row in SQL",
        listed.len()
    );
}

/// Puts item after item into a cart, each under its key until it is acknowledged.
async fn fill(url: String, cart: usize) -> Vec<String> {
    let client = Client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let mut ids = Vec::new();
    let mut attempts = tokio::time::interval(PAUSE);
    let end = Instant::now() + DEADLINE;
    for number in 0..ITEMS {
        let body = json!({ "name": format!("item {number}") });
        loop {
            attempts.tick().await;
            assert!(Instant::now() < end, "not acknowledged in time");
            let request = client
                .post(format!("{url}/carts/{cart}/items"))
                .header("Idempotency-Key", format!("key-{number}"))
                .json(&body);
            let Ok(answer) = request.send().await else {
                continue;
            };
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::SERVICE_UNAVAILABLE => continue,
                status => panic!("{status}: {:?}", answer.text().await),
            }
            if let Ok(added) = answer.json::<Value>().await {
                ids.push(added["item_id"].as_str().unwrap().to_owned());
                break;
            }
        }
    }
    ids
}
