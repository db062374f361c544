//! `griot read-model`: the lists that services keep are looked at, paused, and made anew, beside a running server
//! where its journal can be read.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::looking::{done, printed};
use crate::ordering::{Customer, customer_of, order};
use crate::process::{Griot, until};
use crate::rows::Tables;
use crate::server::Server;
use rustix::process::Signal;

const ORDERS: u64 = 12;

/// Places orders and waits for their ends; gives them as the service shows them then.
async fn filled(customer: &mut Customer) -> Vec<Value> {
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        let key = format!("key-{}", fastrand::u64(..));
        let placed = customer.place(key, order(number), Some(10)).await;
        orders.push(customer.ended(&placed.id).await);
    }
    orders
}

/// The line of a table that begins with this, as its words.
fn words<'t>(table: &'t str, first: &str) -> Vec<&'t str> {
    let line = table.lines().find(|line| line.starts_with(first));
    line.unwrap_or_else(|| panic!("no line {first} in {table}"))
        .split_whitespace()
        .collect()
}

fn read_model<'a>(data: &'a Path, what: &[&'a str]) -> Vec<&'a str> {
    let place = ["--data-dir", data.to_str().unwrap()];
    [&["read-model"], what, &place].concat()
}

async fn drained(mut griot: Griot) {
    griot.signal(Signal::TERM);
    assert!(griot.end().await.success());
}

#[tokio::test]
async fn a_list_that_lost_rows_is_made_anew_of_the_journal_and_what_differed_is_told() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
    let url = griot.ready().await;
    let orders = filled(&mut customer_of(&url)).await;
    let tables = Tables::in_directory(data.path());
    tables.hold_just(&orders).await;
    let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted = format!("orders_events_total{{event=\"OrderPlaced\"}} {ORDERS}\n");
    assert!(metrics.contains(&counted), "{metrics}");

    let rebuild = read_model(data.path(), &["rebuild", "orders-list"]);
    let (_, said, code) = printed(&rebuild);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stop the server"), "{said}");
    drained(griot).await;

    let unasked = done(&read_model(data.path(), &["status", "orders-list"]));
    assert_eq!(words(&unasked, "orders-list")[7..], ["-", "-"], "{unasked}");
    let status = ["status", "orders-list", "--journal", "embedded"];
    let status = done(&read_model(data.path(), &status));
    assert_eq!(words(&status, "orders-list")[7..], ["0", "0.0"], "{status}");
    tables
        .run("UPDATE griot_projections SET journal_offset = journal_offset + 1000000")
        .await;
    let (other, said, code) = printed(&read_model(
        data.path(),
        &["status", "orders-list", "--journal", "embedded"],
    ));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(words(&other, "orders-list")[7..], ["-", "-"], "{other}");
    assert!(said.contains("of another journal"), "{said}");
    tables
        .run("UPDATE griot_projections SET journal_offset = journal_offset - 1000000")
        .await;
    let dry = [&rebuild[..], &["--dry-run"]].concat();
    tables
        .run("UPDATE orders SET state = 'priced' WHERE seq = (SELECT max(seq) FROM orders)")
        .await;
    tables
        .run("DELETE FROM orders WHERE state = 'rejected'")
        .await;
    let damaged = tables.orders().await;
    let lost = usize::try_from(ORDERS).unwrap() - damaged.len();
    assert!(lost > 0);
    for (arguments, ended) in [(&dry, "thrown away"), (&rebuild, "swapped")] {
        assert_eq!(tables.orders().await, damaged);
        let table = done(arguments);
        let [_, before, after, only_before, only_after] = words(&table, "orders")[..] else {
            panic!("{table}");
        };
        let number = |text: &str| text.parse::<usize>().unwrap();
        assert_eq!(
            (number(before), number(after)),
            (damaged.len(), orders.len())
        );
        let changed = number(only_before);
        assert!(
            changed > 0 && number(only_after) == changed + lost,
            "{table}"
        );
        assert!(
            table.contains(ended) && table.contains("events/s"),
            "{table}"
        );
    }
    tables.hold_just(&orders).await;
    let table = done(&rebuild);
    assert_eq!(words(&table, "orders")[3..], ["0", "0"], "{table}");

    let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
    let mut customer = customer_of(&griot.ready().await);
    let more = filled(&mut customer).await;
    tables.hold_just(&[orders, more].concat()).await;
}

#[tokio::test]
async fn a_list_is_paused_and_resumed_while_its_server_runs() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
    let url = griot.ready().await;
    let mut customer = customer_of(&url);
    let mut orders = filled(&mut customer).await;
    let say = |what: &[&str]| done(&read_model(data.path(), what));
    let listed = done(&["read-model", "list"]);
    assert_eq!(
        words(&listed, "orders-list"),
        ["orders-list", "orders", "orders"]
    );
    assert_eq!(
        words(&listed, "carts-items"),
        ["carts-items", "carts", "items"]
    );
    let status = say(&["status"]);
    assert_eq!(words(&status, "orders-list")[1..4], ["0", "running", "1"]);
    assert_eq!(words(&status, "carts-items")[2..4], ["never", "ran"]);
    // Its server has the log.
    assert_eq!(words(&status, "orders-list")[7..], ["-", "-"], "{status}");

    say(&["pause", "orders-list"]);
    let unready = until("it is not ready", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
        let is_ready = answer.status() != StatusCode::SERVICE_UNAVAILABLE;
        (!is_ready).then_some(answer.text().await.unwrap())
    });
    assert!(unready.await.contains("orders-list is paused"));
    let before = Tables::in_directory(data.path()).orders().await;
    orders.extend(filled(&mut customer).await);
    // A list that is behind is better than none.
    let list = customer.get("/orders?limit=1000").await;
    assert_eq!(list.as_array().unwrap().len(), before.len());
    assert_eq!(
        words(&say(&["status", "orders-list"]), "orders-list")[2],
        "paused"
    );
    say(&["resume", "orders-list"]);
    Tables::in_directory(data.path()).hold_just(&orders).await;

    for (what, named) in [
        (&["rebuild", "nothing"][..], "orders-list"),
        (&["retry", "orders-list", "nobody"], "KIND/ID"),
    ] {
        let (_, said, code) = printed(&read_model(data.path(), what));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
    let nowhere = TempDir::new().unwrap();
    let (_, said, code) = printed(&read_model(nowhere.path(), &["status"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no read model at"), "{said}");
}

#[tokio::test]
async fn a_command_that_looks_or_steers_makes_no_table_in_a_database() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("read-model.sqlite");
    std::fs::write(&file, "").unwrap();
    let status = done(&read_model(data.path(), &["status"]));
    assert_eq!(words(&status, "orders-list")[2..4], ["never", "ran"]);
    for what in ["pause", "resume", "retry"] {
        let (_, said, code) = printed(&read_model(data.path(), &[what, "orders-list"]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("run it once"), "{said}");
    }
    let tables = Tables::in_directory(data.path())
        .count("sqlite_master")
        .await;
    assert_eq!(tables, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_not_taken_for_one_whose_name_ends_with_a_space() {
    for name in ["postgres", "mysql"] {
        let Some(server) = Server::database(name) else {
            continue;
        };
        let _machine = crate::process::whole_machine().await;
        if name == "mysql" {
            Tables::make_database(&server.url).await;
        }
        let data = TempDir::new().unwrap();
        let mut griot = Griot::serve(data.path(), &["--read-model", &server.url]);
        let mut customer = customer_of(&griot.ready().await);
        for (key, of) in [("first", "ann"), ("second", "ann ")] {
            let mut body = order(0);
            body["customer"] = of.into();
            customer.place(key.to_owned(), body, None).await;
        }
        for of in ["ann", "ann "] {
            let query = of.replace(' ', "%20");
            let list = customer.get(&format!("/orders?customer={query}")).await;
            let list = list.as_array().unwrap();
            assert_eq!(list.len(), 1, "{of:?}: {list:?}");
            assert_eq!(list[0]["customer"]["id"], of);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g7_a_list_on_postgres_is_made_anew_beside_the_running_server_without_a_seam_as_the_one_that_dies_too()
 {
    let Some(server) = Server::database("postgres") else {
        return;
    };
    let _machine = crate::process::whole_machine().await;
    let data = TempDir::new().unwrap();
    let places = ["--journal", &server.url, "--read-model", &server.url];
    let mut griot = Griot::serve(
        data.path(),
        &[&["--backend-latency", "1ms"], &places[..]].concat(),
    );
    let mut customer = customer_of(&griot.ready().await);
    let mut orders = filled(&mut customer).await;
    let rebuild = read_model(data.path(), &["rebuild", "orders-list"]);
    let rebuild = [&rebuild[..], &places].concat();
    let rebuild: Vec<String> = rebuild.into_iter().map(str::to_owned).collect();
    for _ in 0..3 {
        let rebuild = rebuild.clone();
        let rebuilding = tokio::task::spawn_blocking(move || {
            done(&rebuild.iter().map(String::as_str).collect::<Vec<_>>())
        });
        orders.extend(filled(&mut customer).await);
        let table = rebuilding.await.unwrap();
        assert_eq!(words(&table, "orders")[3..], ["0", "0"], "{table}");
    }
    orders.extend(filled(&mut customer).await);
    Tables::at(&server.url).hold_just(&orders).await;
}
