//! How many allocations a message costs. The figures stand in the docs of `Router` and `Consumer`.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;

use allocation_counter::measure;
use bytes::Bytes;
use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::layer::DefaultStack;
use griot_events::{
    Broker, Consumer, Content, Event, Headers, Message, Order, Partition, Producer, Router,
    Subscription,
};
use griot_journal::MemoryJournal;
use tokio::runtime::{Builder, Runtime};
use tower::Service;
use tracing::subscriber::NoSubscriber;

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Allocations from an event to its answer.
fn of_router(mut router: Router) -> u64 {
    let event = Event::new(Content {
        topic: "orders".to_owned(),
        key: Some(Bytes::from_static(b"k")),
        headers: Headers::default(),
        payload: Bytes::from_static(b"{}"),
        partition: Partition(0),
        offset: 1,
        published_at: None,
        redelivered: 0,
    });
    // As in a program. Without any subscriber, spans go to `log` where another crate asks `tracing` for that.
    let _ = tracing::subscriber::set_global_default(NoSubscriber::new());
    let runtime = runtime();
    // The first looks series and routes up, which later ones find.
    let counts = (0..10).map(|_| {
        let event = event.clone();
        measure(|| {
            runtime.block_on(router.call(event)).unwrap();
        })
        .count_total
    });
    counts.min().unwrap()
}

async fn nothing() {}

#[test]
fn a_message_costs_one_allocation_in_a_router_and_two_with_the_default_stack() {
    let router = || Router::new().on("orders", nothing);
    assert_eq!(of_router(router()), 1);
    assert_eq!(of_router(router().layer(DefaultStack::default())), 2);
}

const MESSAGES: u32 = 2_000;

/// Allocations of a consumer for each message of the embedded broker, from reading it in the journal
/// to its acknowledgement there.
fn of_consumer() -> f64 {
    let runtime = runtime();
    let broker: Arc<dyn Broker> = runtime.block_on(async {
        let journal = Arc::new(MemoryJournal::new());
        let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await;
        let broker: Arc<dyn Broker> = Arc::new(broker.unwrap());
        let producer = Producer::new(Arc::clone(&broker));
        let message = |number: u32| Message::bytes("orders", "{}").key(number.to_string());
        for published in producer
            .publish_all((0..MESSAGES).map(message).collect())
            .await
        {
            published.unwrap();
        }
        broker
    });
    let counted = measure(|| {
        runtime.block_on(async {
            let orders = Subscription {
                topics: vec!["orders".to_owned()],
                group: "g".to_owned(),
                in_flight_max: 100,
                order: Order::PerKey,
            };
            let (all, mut done) = tokio::sync::watch::channel(0);
            let all = Arc::new(all);
            let count = async move || all.send_modify(|all| *all += 1);
            let router: Router = Router::new().on("orders", count);
            let consumer = Consumer::new(Arc::clone(&broker), orders, router);
            let consuming = consumer.start().await.unwrap();
            done.wait_for(|done| *done == MESSAGES).await.unwrap();
            consuming.until_in_flight(0).await;
        });
    });
    f64::from(u32::try_from(counted.count_total).unwrap()) / f64::from(MESSAGES)
}

#[test]
fn a_message_costs_a_consumer_and_the_embedded_broker_some_29_allocations() {
    let of_one = of_consumer();
    assert!(
        (20.0..32.0).contains(&of_one),
        "{of_one} allocations a message"
    );
}
