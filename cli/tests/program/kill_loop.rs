//! The kill -9 loop: whatever moment the process dies at, no acknowledged order is lost or done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::audit;
use crate::backends::Backends;
use crate::ordering::{Acknowledged, Customer, order};
use crate::places::Places;
use crate::process::{Griot, kills, whole_machine};

/// How many clients place orders all the while.
const CLIENTS: u64 = 8;

/// How long a process lives, in milliseconds: one in four from its start, which mostly ends in the
/// middle of recovery, the others from when it is ready, which ends in the middle of work.
const LIFE_MS: std::ops::Range<u64> = 20..800;

/// What the clients of one loop share.
struct Loop {
    stopping: AtomicBool,
    next: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_g2_g3_g6_no_acknowledged_order_is_lost_or_done_twice_across_kill_nine() {
    killed_again_and_again(Places::embedded(), kills(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_g2_g3_g6_no_acknowledged_order_is_lost_or_done_twice_when_the_servers_of_any_pair_die_too()
 {
    for places in Places::pairs() {
        killed_again_and_again(places, kills(15)).await;
    }
}

/// Kills the service, and now and then a server of its places, while clients place orders; then looks at how they ended.
async fn killed_again_and_again(places: Places, kills: u32) {
    println!("{}", places.names());
    let _machine = whole_machine().await;
    places.make().await;
    let backends = Backends::start("5ms", "0.03").await;
    let serve = || {
        let backends = ["--backends", &backends.url, "--backend-timeout", "1s"];
        Griot::serve(
            places.directory(),
            &[&backends[..], &places.flags()].concat(),
        )
    };

    let (found_at, service) = watch::channel(String::new());
    let clients = Arc::new(Loop {
        stopping: AtomicBool::new(false),
        next: AtomicU64::new(0),
    });
    let mut clients_running = JoinSet::new();
    for client in 0..CLIENTS {
        clients_running.spawn(order_on_and_on(
            client,
            Customer::of(service.clone()),
            Arc::clone(&clients),
        ));
    }

    let start = Instant::now();
    let (mut killed_before_ready, mut killed_servers) = (0, 0);
    for kill in 0..kills {
        let mut griot = serve();
        let life = Duration::from_millis(fastrand::u64(LIFE_MS));
        if kill % 4 == 0 {
            match tokio::time::timeout(life, griot.ready()).await {
                Ok(url) => drop(found_at.send_replace(url)),
                Err(_) => killed_before_ready += 1,
            }
        } else {
            found_at.send_replace(griot.ready().await);
            let _ = tokio::time::timeout(life, std::future::pending::<()>()).await;
        }
        // In one of two cases the server before the service, which then lives on until it is back.
        let dying = places.dying(kill);
        if let Some(server) = dying {
            server.kill().await;
            killed_servers += 1;
            if fastrand::bool() {
                server.up().await;
                let _ = tokio::time::timeout(life, std::future::pending::<()>()).await;
            }
        }
        griot.kill();
        if let Some(server) = dying {
            server.up().await;
        }
    }
    let killing = start.elapsed();

    let mut griot = serve();
    found_at.send_replace(griot.ready().await);
    clients.stopping.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    while let Some(client) = clients_running.join_next().await {
        acknowledged.extend(client.expect("a client that got only answers it understands"));
    }
    println!(
        "{kills} kills in {killing:.0?}, {killed_before_ready} of them before the service was ready, {killed_servers} of a \
         server, too; {} orders acknowledged",
        acknowledged.len()
    );
    assert!(
        acknowledged.len() > kills as usize,
        "too few orders to show anything"
    );

    let customer = Customer::of(service);
    let ends = audit::orders(&customer, &backends, &acknowledged).await;
    println!("ends: {ends:?}");
    places.tables().hold_just(&ends.orders).await;
    audit::same_key_same_answer(&customer, &acknowledged).await;
    let asked_again = audit::books(&backends, &ends.orders).await;
    println!(
        "the books are right; {asked_again} steps were asked for more than once and took effect once"
    );
}

/// Places order after order, each under its own key, until told to stop.
async fn order_on_and_on(
    client: u64,
    mut customer: Customer,
    shared: Arc<Loop>,
) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let wait = (!number.is_multiple_of(4)).then_some(1);
        let placed = customer
            .place(
                format!("client-{client}-order-{number}"),
                order(number),
                wait,
            )
            .await;
        acknowledged.push(placed);
    }
    acknowledged
}
