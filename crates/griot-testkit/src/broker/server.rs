//! Server: what survives a server that is killed and started anew.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;

use super::bench::Bench;
use crate::BrokerServer;

/// All that was confirmed arrives, in the order of its key.
pub async fn it_reconnects_after_the_server_restarts_twice_under_load(factory: &impl BrokerServer) {
    let bench = Arc::new(Bench::open(factory).await);
    let (_consuming, seen) = bench.watch("orders", "g").await;
    let publisher = Arc::clone(&bench);
    let publishing = tokio::spawn(async move {
        for number in 0..300 {
            publisher.publish("orders", "k", [number]).await;
        }
    });
    for enough in [50, 150] {
        seen.until_different(enough).await;
        factory.restart().await;
    }
    publishing.await.unwrap();
    seen.until_different(300).await;
    assert_eq!(seen.first_numbers("k"), (0..300).collect::<Vec<_>>());
}

/// It is done, or handled again; the next of its key comes behind it.
pub async fn g8_a_message_whose_handler_ran_while_the_server_died_is_not_lost(
    factory: &impl BrokerServer,
) {
    let bench = Bench::open(factory).await;
    let subscription = bench.subscription("orders", "g");
    let (_consuming, seen, open) = bench.stall(subscription).await;
    bench.publish("orders", "k", 0..3).await;
    seen.until_different(1).await;
    factory.restart().await;
    open.add_permits(1);
    seen.until_different(3).await;
    assert_eq!(seen.first_numbers("k"), [0, 1, 2]);
}
