//! A consumer whose acknowledgements are slow or lost, and that is to let go of what it has.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions, REVOCATION_MAX};
use griot_events::{
    Answer, BoxFuture, Broker, BrokerError, Consuming, Delivery, Event, Incoming, Publication,
    Receipt, Source, Subscription,
};
use griot_journal::MemoryJournal;
use griot_testkit::BrokerFactory;
use griot_testkit::broker::{Bench, Handled, Seen};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// A broker that hears slowly, or not at all.
#[derive(Debug)]
struct Hesitant {
    broker: Arc<dyn Broker>,
    ear: Ear,
}

#[derive(Clone, Debug)]
struct Ear {
    /// An acknowledgement is heard once it has a permit.
    open: Arc<Semaphore>,
    /// So many are not heard: their messages come again.
    deaf_to: Arc<AtomicUsize>,
    /// So many panic.
    panics: Arc<AtomicUsize>,
}

impl Broker for Hesitant {
    fn publish(&self, all: Vec<Publication>) -> BoxFuture<'_, Vec<Result<(), BrokerError>>> {
        self.broker.publish(all)
    }

    fn subscribe(
        &self,
        subscription: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn Source>, BrokerError>> {
        Box::pin(async move {
            let source = self.broker.subscribe(subscription).await?;
            let ear = self.ear.clone();
            Ok(Box::new(HesitantSource { source, ear }) as Box<dyn Source>)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.broker.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.broker.close()
    }
}

struct HesitantSource {
    source: Box<dyn Source>,
    ear: Ear,
}

impl Source for HesitantSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(async move {
            let incoming = match self.source.next().await? {
                Ok(Incoming::Delivery(Delivery { event, receipt })) => {
                    let ear = self.ear.clone();
                    let receipt = Box::new(HesitantReceipt { receipt, ear });
                    Ok(Incoming::Delivery(Delivery { event, receipt }))
                }
                other => other,
            };
            Some(incoming)
        })
    }

    fn lease(&self) -> Option<Duration> {
        self.source.lease()
    }
}

#[derive(Debug)]
struct HesitantReceipt {
    receipt: Box<dyn Receipt>,
    ear: Ear,
}

impl Receipt for HesitantReceipt {
    fn ack(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        let Self { receipt, ear } = *self;
        Box::pin(async move {
            let one_less = |left: usize| left.checked_sub(1);
            let panics = ear.panics.fetch_update(Relaxed, Relaxed, one_less);
            assert!(panics.is_err(), "as the test asked for");
            let deaf = ear.deaf_to.fetch_update(Relaxed, Relaxed, one_less);
            if deaf.is_ok() {
                receipt.give_back().await?;
                let lost = std::io::Error::other("lost on its way");
                return Err(BrokerError::Unknown(Arc::new(lost)));
            }
            let _open = ear.open.acquire().await;
            receipt.ack().await
        })
    }

    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.receipt.give_back()
    }

    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.receipt.extend()
    }
}

struct InMemory;

impl BrokerFactory for InMemory {
    async fn open(&self) -> Arc<dyn Broker> {
        let journal = Arc::new(MemoryJournal::new());
        let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await;
        Arc::new(broker.unwrap())
    }
}

/// A broker, and a member of the group `g` of `orders` that acknowledges to an ear.
async fn with_ear(permits: usize, deaf_to: usize) -> (Bench, Ear, Seen, Consuming) {
    let mut bench = Bench::open(&InMemory).await;
    let ear = Ear {
        open: Arc::new(Semaphore::new(permits)),
        deaf_to: Arc::new(AtomicUsize::new(deaf_to)),
        panics: Arc::default(),
    };
    let seen = Seen::default();
    let broker = Arc::clone(&bench.broker);
    let hesitant = Arc::new(Hesitant {
        broker: Arc::clone(&broker),
        ear: ear.clone(),
    });
    bench.broker = hesitant;
    let consuming = bench.join(&seen, "orders", "g").await;
    bench.broker = broker;
    (bench, ear, seen, consuming)
}

fn keys() -> Vec<String> {
    (0..40).map(|key| format!("k{key}")).collect()
}

/// A member whose messages all wait to be tried again, and which can have no more.
async fn full(bench: &Bench) -> (Consuming, Seen) {
    let seen = Seen::default();
    let by = seen.clone();
    let handler = move |event: Event| {
        by.add(&event);
        let reason = "never".to_owned();
        async { Answer::Retry { reason } }
    };
    let mut group = bench.subscription("orders", "g");
    group.in_flight_max = 16;
    let consuming = bench.consume(group, handler).await;
    for key in keys() {
        bench.publish("orders", &key, [0]).await;
    }
    seen.until_different(16).await;
    (consuming, seen)
}

/// Waits until another member has a message that the first had, and says how long that took.
async fn taken_over(bench: &Bench, seen: &Seen) -> Duration {
    let (start, had) = (Instant::now(), seen.all());
    let had: HashSet<String> = had.into_iter().map(|handled| handled.key).collect();
    let (_other, taken) = bench.watch("orders", "g").await;
    let was_there = |all: &[Handled]| all.iter().any(|handled| had.contains(&handled.key));
    taken.until(was_there).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_full_consumer_lets_go_of_its_partitions() {
    let bench = Bench::open(&InMemory).await;
    let (_consuming, seen) = full(&bench).await;
    let took = taken_over(&bench, &seen).await;
    assert!(took < REVOCATION_MAX / 10, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_consumer_lets_go_of_its_partitions() {
    let bench = Bench::open(&InMemory).await;
    let (consuming, seen) = full(&bench).await;
    consuming.pause();
    let took = taken_over(&bench, &seen).await;
    assert!(took < REVOCATION_MAX / 10, "{took:?}");
}

/// And ends, since none comes any more.
#[tokio::test(start_paused = true)]
async fn a_paused_consumer_notices_that_its_broker_is_closed() {
    let bench = Bench::open(&InMemory).await;
    let (consuming, _) = bench.watch("orders", "g").await;
    consuming.pause();
    bench.broker.close().await;
    timeout(REVOCATION_MAX, consuming.ended()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn g8_a_partition_goes_once_what_was_done_of_it_is_acknowledged() {
    let (bench, ear, seen, consuming) = with_ear(0, 0).await;
    for key in keys() {
        bench.publish("orders", &key, [0]).await;
    }
    seen.until_different(40).await;
    let (_other, again) = bench.watch("orders", "g").await;
    // Where a partition went already, its messages are with the other long before that.
    let early = timeout(REVOCATION_MAX / 3, again.until(|all| !all.is_empty())).await;
    assert!(early.is_err(), "handled again: {:?}", again.all());
    ear.open.add_permits(1);
    consuming.until_in_flight(0).await;
    for key in keys() {
        bench.publish("orders", &key, [1]).await;
    }
    again.until(|all| !all.is_empty()).await;
    consuming.until_in_flight(0).await;
    assert!(again.all().iter().all(|handled| handled.number == 1));
}

#[tokio::test(start_paused = true)]
async fn g8_a_message_whose_acknowledgement_was_lost_is_not_handled_behind_later_ones() {
    let (bench, _, seen, consuming) = with_ear(1, 3).await;
    bench.publish("orders", "k", 0..10).await;
    seen.until_different(10).await;
    consuming.until_in_flight(0).await;
    assert_eq!(seen.numbers("k"), (0..10).collect::<Vec<_>>());
    // They were acknowledged when they came again: nobody else gets them.
    drop(consuming);
    let (_other, rest) = bench.watch("orders", "g").await;
    bench.publish("orders", "k", [10]).await;
    rest.until_different(1).await;
    assert_eq!(rest.numbers("k"), [10]);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_panics_takes_no_other_message_with_it() {
    let (bench, ear, seen, consuming) = with_ear(1, 0).await;
    ear.panics.store(1, Relaxed);
    for key in keys() {
        bench.publish("orders", &key, [0]).await;
    }
    // Its own comes again.
    seen.until(|all| all.len() == 41).await;
    seen.until_different(40).await;
    consuming.until_in_flight(0).await;
    drop(consuming);
    let (_other, rest) = bench.watch("orders", "g").await;
    bench.publish("orders", "k", [1]).await;
    rest.until_different(1).await;
    assert_eq!(rest.all().len(), 1, "{:?}", rest.all());
}
