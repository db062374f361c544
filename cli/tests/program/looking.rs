//! `griot journal`: what a journal holds, on the embedded log and on servers.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::ordering::{customer_of, order};
use crate::process::{Griot, command};
use crate::server::Server;

/// How many orders the journals hold.
const ORDERS: u8 = 12;

/// What `griot` printed, what it said on stderr, and its exit code.
pub(crate) fn printed(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = command(arguments).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

/// What it printed, having done what it was asked for.
pub(crate) fn done(arguments: &[&str]) -> String {
    let (out, said, code) = printed(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    out
}

/// Places orders until their ends, and stops the program; gives the last one as the service showed it.
pub(crate) async fn filled(data: &Path, journal: &str) -> Value {
    let mut griot = Griot::serve(data, &["--journal", journal, "--backend-latency", "1ms"]);
    let mut customer = customer_of(&griot.ready().await);
    let mut last = Value::Null;
    for number in 0..ORDERS {
        let placed = customer
            .place(format!("key-{number}"), order(number.into()), Some(10))
            .await;
        last = customer.ended(&placed.id).await;
    }
    griot.signal(rustix::process::Signal::TERM);
    assert!(griot.end().await.success());
    last
}

async fn everything_is_shown(data: &Path, journal: &str) {
    let shown = filled(data, journal).await;
    let which = ["--data-dir", data.to_str().unwrap(), "--journal", journal];
    let say = |what: &[&str]| done(&[&["journal"], what, &which].concat());
    let id = format!("order/{}", shown["id"].as_str().unwrap());

    let streams = say(&["streams", "--kind", "order"]);
    assert_eq!(streams.lines().count(), usize::from(ORDERS));
    assert!(streams.lines().any(|line| line == id), "{streams}");
    assert_eq!(say(&["streams", "--limit", "3"]).lines().count(), 3);
    assert_eq!(say(&["streams", "--kind", "nothing"]), "");

    let events = say(&["events", &id]);
    let first = events.lines().next().unwrap();
    assert!(
        first.contains("OrderPlaced") && first.contains("CUST-"),
        "{first}"
    );
    let lines = say(&["events", &id, "--json"]);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len() as u64, shown["seq"].as_u64().unwrap());
    for (line, seq) in lines.iter().zip(1..) {
        assert_eq!(
            (line["entity"].as_str(), line["seq"].as_u64()),
            (Some(&*id), Some(seq))
        );
        assert!(
            line["data"].is_object() || line["data"].is_string(),
            "{line}"
        );
    }

    let state: Value = serde_json::from_str(&say(&["state", &id])).unwrap();
    assert_eq!(state["seq"], shown["seq"]);
    let first: Value = serde_json::from_str(&say(&["state", &id, "--seq", "1"])).unwrap();
    assert_eq!(first["seq"], 1);
    assert_ne!(first["state"], state["state"]);
    let at = lines[0]["at"].as_str().unwrap();
    let then: Value = serde_json::from_str(&say(&["state", &id, "--at", at])).unwrap();
    assert_eq!(then["seq"], 1);

    let verified = say(&["verify"]);
    assert!(verified.contains("all sound"), "{verified}");
    let table = say(&["stats"]);
    let orders = table
        .lines()
        .find(|line| line.starts_with("order "))
        .unwrap();
    assert_eq!(
        orders.split_whitespace().nth(1),
        Some(&*ORDERS.to_string()),
        "{table}"
    );
}

#[tokio::test]
async fn a_journal_shows_what_it_holds() {
    let data = TempDir::new().unwrap();
    everything_is_shown(data.path(), "embedded").await;
}

#[tokio::test]
async fn a_journal_on_a_server_shows_what_it_holds_as_the_one_that_dies_too() {
    for name in ["postgres", "mysql", "cassandra"] {
        let Some(server) = Server::database(name) else {
            continue;
        };
        let _machine = crate::process::whole_machine().await;
        let data = TempDir::new().unwrap();
        everything_is_shown(data.path(), &server.url).await;
    }
}

#[tokio::test]
async fn what_is_not_there_or_in_use_is_said() {
    let data = TempDir::new().unwrap();
    let directory = data.path().to_str().unwrap();
    let say = |what: &[&str]| {
        let (out, said, code) = printed(&[&["journal"], what, &["--data-dir", directory]].concat());
        assert_eq!(out, "", "{said}");
        (said, code)
    };
    let (said, code) = say(&["stats"]);
    assert!(
        said.contains("no journal in") && said.contains(directory),
        "{said}"
    );
    assert_eq!(
        (code, fs::read_dir(directory).unwrap().count()),
        (Some(1), 0)
    );
    for (what, named) in [
        (["state", "nobody"], "KIND/ID"),
        (["state", "parcel/1"], "`order`"),
    ] {
        let (said, code) = say(&what);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
    let mut griot = Griot::serve(data.path(), &[]);
    griot.ready().await;
    let (said, code) = say(&["streams"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("in use by another process: stop it"),
        "{said}"
    );
    griot.kill();
    let (said, code) = say(&["state", "order/0190b5a4-7c3e-7a10-8f00-0123456789ab"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing had happened"), "{said}");
}

#[tokio::test]
async fn a_flipped_bit_is_found_with_its_place() {
    let data = TempDir::new().unwrap();
    filled(data.path(), "embedded").await;
    let log = data.path().join("journal/00000000000000000001.log");
    let path = fs::read_dir(data.path().join("journal")).unwrap();
    let mut logs: Vec<_> = path.map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|kind| kind == "log"));
    logs.sort();
    let path = logs.first().unwrap_or(&log);
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(400)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(400)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    drop(file);
    let (_, said, code) = printed(&[
        "journal",
        "verify",
        "--data-dir",
        data.path().to_str().unwrap(),
    ]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("damaged at byte") && said.contains(".log"),
        "{said}"
    );
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_it_quietly() {
    let data = TempDir::new().unwrap();
    filled(data.path(), "embedded").await;
    let directory = data.path().to_str().unwrap();
    for what in [&["streams"][..], &["stats"], &["verify"]] {
        let mut griot = command(&[&["journal"], what, &["--data-dir", directory]].concat())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(griot.stdout.take());
        let ended = griot.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "", "{what:?}");
        assert!(ended.status.success(), "{what:?}");
    }
}
