//! Server: what survives a server that stops or is killed, and starts anew.

use griot_events::Order;

use super::bench::{Bench, Seen};
use super::flow::Flow;
use crate::{BrokerServer, End};

/// Numbers that flow before and after something happens.
const SOME: u64 = 50;

/// All that was confirmed arrives, in the order of its key.
pub async fn g8_a_stop_and_a_kill_under_load_lose_none_and_keep_the_order(
    factory: &impl BrokerServer,
) {
    let bench = Bench::open(factory).await;
    let mut flow = Flow::begin(&bench).await;
    for end in [End::Stopped, End::Killed] {
        flow.until_arrived(SOME).await;
        factory.restart(end).await;
    }
    flow.until_arrived(SOME).await;
    flow.end().await;
}

/// All that was confirmed arrives.
pub async fn g8_a_group_without_order_loses_none_when_the_server_is_killed_twice(
    factory: &impl BrokerServer,
) {
    let bench = Bench::open(factory).await;
    let mut subscription = bench.subscription("orders", "g");
    subscription.order = Order::None;
    let seen = Seen::default();
    let _consuming = bench.note(&seen, subscription).await;
    let publishing = async {
        for number in 0..300 {
            bench.publish("orders", "k", [number]).await;
        }
    };
    let killing = async {
        for enough in [50, 150] {
            seen.until_different(enough).await;
            factory.restart(End::Killed).await;
        }
    };
    tokio::join!(publishing, killing);
    seen.until_different(300).await;
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
    factory.restart(End::Killed).await;
    open.add_permits(1);
    seen.until_different(3).await;
    assert_eq!(seen.first_numbers("k"), [0, 1, 2]);
}
