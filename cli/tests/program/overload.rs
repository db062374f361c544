//! More than the program can take: it answers "later", its memory stays bounded, and what it took it keeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ordering::{customer_of, end_of, order};
use crate::process::{Griot, until, whole_machine};

/// How many orders come at once, each over its own connection.
const ORDERS: u64 = 20_000;

/// The memory that the program may take, whatever comes.
const MEMORY_MAX: u64 = 512 * 1024 * 1024;

/// How long a client waits for any answer.
const ANSWER_MAX: Duration = Duration::from_mins(2);

/// What a client was told.
enum Answer {
    Acknowledged { number: u64, id: String },
    Later,
    Other(String),
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_twenty_thousand_orders_at_once_are_taken_or_put_off_and_none_taken_is_lost() {
    let _machine = whole_machine().await;
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &["--backend-latency", "10s"]);
    let url = griot.ready().await;

    let start = Instant::now();
    let address = url.trim_start_matches("http://").to_owned();
    let connections = Arc::new(Semaphore::new(connections_possible()));
    let mut clients = JoinSet::new();
    for number in 0..ORDERS {
        let (address, connections) = (address.clone(), Arc::clone(&connections));
        clients.spawn(async move {
            let _connection = connections.acquire_owned().await.unwrap();
            let sending = tokio::time::timeout(ANSWER_MAX, send(&address, number)).await;
            sending.unwrap_or_else(|_| Ok(Answer::Other("no answer".to_owned())))
        });
    }
    let (mut acknowledged, mut later) = (Vec::new(), 0);
    while let Some(answer) = clients.join_next().await {
        match answer
            .unwrap()
            .unwrap_or_else(|error| Answer::Other(error.to_string()))
        {
            Answer::Acknowledged { number, id } => acknowledged.push((number, id)),
            Answer::Later => later += 1,
            Answer::Other(what) => panic!(
                "neither taken nor put off after {:?}: {what}",
                start.elapsed()
            ),
        }
    }
    let peak = griot.memory_peak();
    println!(
        "{} taken, {later} put off in {:.1?}, memory at most {} MiB",
        acknowledged.len(),
        start.elapsed(),
        peak / 1024 / 1024
    );
    assert!(!acknowledged.is_empty(), "nothing was taken");
    assert!(later > 0, "nothing was put off, so this was no overload");
    assert!(peak < MEMORY_MAX, "it took {peak} bytes");

    griot.kill();
    let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
    let customer = customer_of(&griot.ready().await);
    for (number, id) in acknowledged {
        let order_ended = customer.ended(&id).await;
        // In process no card is declined.
        let expected = if end_of(&order(number)) == "rejected" {
            "rejected"
        } else {
            "completed"
        };
        assert_eq!(order_ended["state"], expected, "{order_ended}");
    }
}

/// Places an order over a connection of its own. By hand, because twenty thousand full clients would
/// take the machine away from the service that is to be overloaded.
async fn send(address: &str, number: u64) -> std::io::Result<Answer> {
    let mut connection = TcpStream::connect(address).await?;
    let body = order(number).to_string();
    let length = body.len();
    let request = format!(
        "POST /orders HTTP/1.1\r\nHost: griot\r\nConnection: close\r\nContent-Length: {length}\r\n\
         Idempotency-Key: overload-{number}\r\nPrefer: wait=5\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    Ok(match (head.get(..12), body["id"].as_str()) {
        (Some("HTTP/1.1 200" | "HTTP/1.1 202"), Some(id)) => Answer::Acknowledged {
            number,
            id: id.to_owned(),
        },
        (Some("HTTP/1.1 503"), _) if head.contains("retry-after: ") => Answer::Later,
        _ => Answer::Other(answer),
    })
}

/// Raises this process's limit on open files and gives how many connections it leaves room for.
fn connections_possible() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = maximum.unwrap_or(65_536).min(65_536);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            maximum,
        },
    )
    .unwrap();
    usize::try_from(raised).unwrap().saturating_sub(200)
}

#[tokio::test]
async fn g10_a_connection_beyond_the_limit_is_answered_503_and_told_when_to_come_again() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &["--connections-max", "2"]);
    let url = griot.ready().await;
    let address = url.trim_start_matches("http://");

    // An answer on each shows that both have their place before the third comes.
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    for connection in [&mut first, &mut second] {
        let head = exchange(connection, "GET /healthz HTTP/1.1\r\nHost: griot\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    let head = exchange(&mut third, "GET /healthz HTTP/1.1\r\nHost: griot\r\n\r\n")
        .await
        .to_lowercase();
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(
        head.contains("retry-after: ") && head.contains("application/problem+json"),
        "{head}"
    );

    drop(first);
    until("a place is free again", async || {
        let answer = reqwest::get(format!("{url}/healthz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

/// Sends a request as it stands and gives the first bytes of the answer.
async fn exchange(connection: &mut TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = connection.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}
