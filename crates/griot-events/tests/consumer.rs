//! A consumer and a producer where things go wrong below them, on a broker whose disk is simulated.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::{
    Answer, BoxFuture, Broker, BrokerError, Consumer, ConsumerLimits, Event, Incoming, Message,
    Order, Producer, Publication, Source, Subscription,
};
use griot_journal::{EmbeddedLog, Journal, MemoryJournal, Options};
use griot_testkit::broker::handling::g10_a_stalled_handler_bounds_what_is_taken_in;
use griot_testkit::broker::{Bench, Seen};
use griot_testkit::{BrokerFactory, Fault, PowerCut, SimDisk, run};

struct OnDisk(SimDisk);

impl BrokerFactory for OnDisk {
    async fn open(&self) -> Arc<dyn Broker> {
        let storage = Arc::new(self.0.clone());
        let options = Options {
            segment_bytes: Options::SEGMENT_BYTES_MIN,
            ..Options::default()
        };
        let log = EmbeddedLog::open_on(storage, "/data", options).unwrap();
        open(Arc::new(log)).await
    }
}

async fn open(journal: Arc<dyn Journal>) -> Arc<dyn Broker> {
    let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await;
    Arc::new(broker.unwrap())
}

#[test]
fn an_answer_that_is_not_stored_is_published_again_and_its_handler_runs_once() {
    run(async {
        let disk = SimDisk::new(1);
        let bench = Bench::open(&OnDisk(disk.clone())).await;
        let (orders, bills) = (Seen::default(), bench.topic("bills"));
        let by = orders.clone();
        let handler = move |event: Event| {
            by.add(&event);
            for operation in 1..=3 {
                disk.fail_soon(operation, Fault::Full);
            }
            let bill = Publication {
                topic: bills.clone(),
                key: Some("k".to_owned()),
                headers: Vec::new(),
                payload: "7".into(),
            };
            async { Answer::Publish(vec![bill]) }
        };
        let orders_of_g = bench.subscription("orders", "g");
        let consuming = bench.consume(orders_of_g, handler).await;
        bench.publish("orders", "k", [1]).await;
        let (_bills, seen) = bench.watch("bills", "g").await;
        seen.until_different(1).await;
        consuming.until_in_flight(0).await;
        assert_eq!(orders.numbers("k"), [1]);
        assert_eq!(seen.numbers("k"), [7]);
    });
}

#[test]
fn a_producer_gives_a_message_up_at_its_deadline_and_publishes_once_there_is_space() {
    run(async {
        let disk = SimDisk::new(1);
        let bench = Bench::open(&OnDisk(disk.clone())).await;
        let producer = Producer::new(Arc::clone(&bench.broker));
        let producer = producer.with_deadline(Duration::from_millis(100));
        let topic = bench.topic("orders");
        let large = || Message::bytes(&topic, vec![b'x'; 200_000]).key("k");
        disk.set_space(Some(1_000_000));
        let refused = loop {
            if let Err(error) = producer.publish(large()).await {
                break error;
            }
        };
        assert!(matches!(refused, BrokerError::Unreachable(_)), "{refused}");
        disk.set_space(None);
        producer.publish(large()).await.unwrap();
    });
}

#[test]
fn a_key_that_is_tried_again_and_again_leaves_its_handler_to_others() {
    run(async {
        let bench = Bench::open(&OnDisk(SimDisk::new(1))).await;
        let seen = Seen::default();
        let by = seen.clone();
        let handler = tower::service_fn(move |event: Event| {
            by.add(&event);
            let reason = "never".to_owned();
            let answer = match event.key().map(AsRef::as_ref) {
                Some(b"bad") => Answer::Retry { reason },
                _ => Answer::Ack,
            };
            async { Ok::<_, Infallible>(answer) }
        });
        let limits = ConsumerLimits {
            handlers_max: 1,
            ..ConsumerLimits::default()
        };
        let orders = bench.subscription("orders", "g");
        let consumer = Consumer::new(Arc::clone(&bench.broker), orders, handler);
        let consuming = consumer.with_limits(limits).start().await.unwrap();
        bench.publish("orders", "bad", 0..3).await;
        bench.publish("orders", "good", 0..30).await;
        seen.until_different(31).await;
        // What waits to be tried again does not hold a drain up: it is given back.
        assert_eq!(consuming.drain(Duration::from_mins(1)).await, 0);
    });
}

/// A broker that gives more than it is asked for.
#[derive(Debug)]
struct Generous(Arc<dyn Broker>);

impl Broker for Generous {
    fn publish(&self, all: Vec<Publication>) -> BoxFuture<'_, Vec<Result<(), BrokerError>>> {
        self.0.publish(all)
    }

    fn subscribe(
        &self,
        mut subscription: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn Source>, BrokerError>> {
        subscription.in_flight_max *= 100;
        self.0.subscribe(subscription)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

struct MoreThanAsked;

impl BrokerFactory for MoreThanAsked {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(Generous(open(Arc::new(MemoryJournal::new())).await))
    }
}

#[test]
fn g10_a_consumer_takes_no_more_in_than_it_may_whatever_the_broker_gives() {
    run(g10_a_stalled_handler_bounds_what_is_taken_in(
        &MoreThanAsked,
    ));
}

#[test]
fn g1_messages_and_acknowledgements_that_were_confirmed_survive_a_power_cut() {
    run(async {
        let cuts = [PowerCut::Nothing, PowerCut::Beginnings, PowerCut::Sectors];
        for (seed, cut) in (0..).zip(cuts) {
            let factory = OnDisk(SimDisk::new(seed));
            let bench = Bench::open(&factory).await;
            bench.publish("orders", "k", 0..20).await;
            let mut source = bench.subscribe("orders", "g").await;
            for _ in 0..10 {
                let Some(Ok(Incoming::Delivery(delivery))) = source.next().await else {
                    panic!("a message")
                };
                delivery.receipt.ack().await.unwrap();
            }
            factory.0.reboot(cut);
            drop(source);
            let bench = bench.close_and_open(&factory).await;
            let (_consuming, seen) = bench.watch("orders", "g").await;
            seen.until_different(10).await;
            assert_eq!(seen.numbers("k"), (10..20).collect::<Vec<_>>(), "{cut:?}");
        }
    });
}

#[test]
fn g1_whenever_the_power_goes_every_confirmed_message_is_there_in_order() {
    run(async {
        for seed in 0..30 {
            let factory = OnDisk(SimDisk::new(seed));
            let bench = Bench::open(&factory).await;
            factory.0.fail_soon(1 + seed, Fault::PowerCut);
            let producer = Producer::new(Arc::clone(&bench.broker));
            let producer = producer.with_deadline(Duration::ZERO);
            let topic = bench.topic("orders");
            let mut confirmed = 0_u64;
            loop {
                let message = Message::json(&topic, &confirmed).unwrap().key("k");
                match producer.publish(message).await {
                    Ok(()) => confirmed += 1,
                    Err(_) => break,
                }
            }
            factory.0.reboot(PowerCut::Sectors);
            let bench = bench.close_and_open(&factory).await;
            bench.publish("orders", "k", [1_000]).await;
            let (_consuming, seen) = bench.watch("orders", "g").await;
            seen.until(|all| all.iter().any(|handled| handled.number == 1_000))
                .await;
            let mut stored = seen.numbers("k");
            assert_eq!(stored.pop(), Some(1_000));
            // The one whose outcome is unknown may be there.
            let count = u64::try_from(stored.len()).unwrap();
            assert!([confirmed, confirmed + 1].contains(&count), "seed {seed}");
            assert_eq!(stored, (0..count).collect::<Vec<_>>(), "seed {seed}");
        }
    });
}

#[test]
fn g4_two_brokers_on_one_journal_lose_nothing_and_go_on() {
    run(async {
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let one = Producer::new(open(Arc::clone(&journal)).await);
        let two = Producer::new(open(Arc::clone(&journal)).await);
        for number in 0..20 {
            for (producer, number) in [(&one, number * 2), (&two, number * 2 + 1)] {
                let message = Message::json("orders", &number).unwrap().key("k");
                producer.publish(message).await.unwrap();
            }
        }
        let broker = open(journal).await;
        let all = Subscription {
            topics: vec!["*".to_owned()],
            group: "g".to_owned(),
            in_flight_max: 100,
            order: Order::PerKey,
        };
        let mut source = broker.subscribe(all).await.unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < 40 {
            let Some(Ok(Incoming::Delivery(delivery))) = source.next().await else {
                panic!("a message")
            };
            seen.insert(delivery.event.payload().clone());
            delivery.receipt.ack().await.unwrap();
        }
    });
}
