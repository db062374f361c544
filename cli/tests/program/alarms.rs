//! The alarms' kill -9 loop: whatever dies between a change of status and its digest, the service, its
//! broker or both, no alarm is lost and none is told twice.

mod audit;
mod book;
mod stand;
mod user;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::process::{Griot, kills, quiet_address, whole_machine};
use crate::server::Server;
use stand::Stand;
use user::User;

/// How many users have alarms all the while.
const USERS: usize = 8;

/// How long a process lives, in milliseconds: one in four from its start, which mostly ends in the
/// middle of recovery, the others from when it is ready; one of these until a digest has come, too. A
/// digest waits for 200 ms, so that many lives end before one and many after it.
const LIFE_MS: std::ops::Range<u64> = 20..800;

#[tokio::test(flavor = "multi_thread")]
async fn g1_g6_no_alarm_is_lost_or_told_twice_across_kill_nine() {
    killed_again_and_again(Beside::Nothing, kills(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_g6_no_alarm_is_lost_or_told_twice_when_nats_dies_too() {
    let Some(server) = Server::named("nats", "lease_seconds=2") else {
        return;
    };
    killed_again_and_again(Beside::Broker(server), kills(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_g6_no_alarm_is_lost_or_told_twice_when_rabbitmq_dies_too() {
    let Some(server) = Server::named("rabbitmq", "") else {
        return;
    };
    killed_again_and_again(Beside::Broker(server), kills(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_g6_no_alarm_is_lost_or_told_twice_when_kafka_dies_too() {
    let Some(server) = Server::named("kafka", "partitions=4&session_seconds=6") else {
        return;
    };
    killed_again_and_again(Beside::Broker(server), kills(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_g6_no_alarm_is_lost_or_told_twice_when_the_journal_on_postgres_dies_too() {
    let Some(server) = Server::database("postgres") else {
        return;
    };
    killed_again_and_again(Beside::Journal(server), kills(30)).await;
}

/// What is killed beside the service.
enum Beside {
    Nothing,
    /// The server of its broker.
    Broker(Server),
    /// The server of its journal, which the embedded broker is on, too.
    Journal(Server),
}

/// Kills the service, and the server `beside` it, while users raise alarms and ask for digests; then
/// looks at what was told.
async fn killed_again_and_again(beside: Beside, kills: u32) {
    let _machine = whole_machine().await;
    let data = TempDir::new().unwrap();
    let address = quiet_address();
    let path = data.path().to_str().unwrap();
    let service = format!("http://{address}");
    let (server, journal, broker, reached_at) = match &beside {
        Beside::Nothing => (None, "embedded", "embedded", &service),
        Beside::Broker(server) => (Some(server), "embedded", &*server.url, &server.url),
        Beside::Journal(server) => (Some(server), &*server.url, "embedded", &service),
    };
    let serve = || {
        let arguments = ["serve", "alarms", "--listen", &address, "--data-dir", path];
        let urls = ["--broker", broker, "--journal", journal];
        Griot::start(&[&arguments[..], &urls].concat())
    };

    let mut griot = serve();
    griot.ready().await;
    let stand = Stand::at(&service, reached_at).await;
    let stopping = Arc::new(AtomicBool::new(false));
    let mut raising = JoinSet::new();
    for number in 0..USERS {
        let user = User::new(number, &stand);
        raising.spawn(user.raise_and_ask(Arc::clone(&stopping)));
    }
    stand.book.next_digest().await;
    if let Some(server) = server {
        server.grow_up().await;
    }

    let start = Instant::now();
    let (mut before_a_digest, mut killed_servers) = (0, 0);
    for kill in 0..kills {
        let life = Duration::from_millis(fastrand::u64(LIFE_MS));
        if kill % 4 != 0 {
            griot.ready().await;
        }
        let _ = tokio::time::timeout(life, std::future::pending::<()>()).await;
        if kill % 4 == 3 {
            stand.book.next_digest().await;
        }
        if stand.book.untold() > 0 {
            before_a_digest += 1;
        }
        // The service, the server, both, in turn.
        let (service_dies, server_dies) = (kill % 3 != 1, kill % 3 != 0);
        if let Some(server) = server.filter(|_| server_dies) {
            server.kill().await;
            killed_servers += 1;
        }
        if service_dies || server.is_none() {
            griot.kill();
            griot = serve();
        }
        if let Some(server) = server {
            server.up().await;
        }
    }
    let killing = start.elapsed();
    griot.ready().await;
    stopping.store(true, Ordering::Relaxed);
    let mut users = Vec::new();
    while let Some(user) = raising.join_next().await {
        users.push(user.expect("a user whose messages the broker took"));
    }
    let told = audit::all_told_once(&stand, users).await;
    println!(
        "{kills} kills in {killing:.0?}, {killed_servers} of them of the server beside, {before_a_digest} while alarms \
         were not told yet; {told}"
    );
    assert!(
        before_a_digest >= kills / 8,
        "too few kills between a change and its digest to show anything"
    );
}
