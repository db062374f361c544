//! Messages of brokers that entities handle, and what entities publish.
#![cfg(feature = "events")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use griot::core::Publication;
use griot::events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot::events::layer::{DefaultStack, Retries};
use griot::events::{
    Answer, Attempt, Broker, Consumer, Content, Event as Message, Failure, Headers, Incoming, Json,
    Order, Partition, Retry, Router, Subscription, publisher,
};
use griot::journal::{EmbeddedLog, Journal, MemoryJournal, Options};
use griot::prelude::*;
use griot_testkit::SimDisk;
use serde::{Deserialize, Serialize};
use tower::ServiceExt;

type Meters = griot::events::Entity<Meter>;

#[derive(Default, Serialize, Deserialize)]
struct Meter {
    total: u64,
    readings: u64,
}

#[derive(Serialize, Deserialize)]
enum Reading {
    Read { units: u64 },
}

impl Event for Reading {}

impl Entity for Meter {
    const KIND: &'static str = "meter";
    type Event = Reading;
    fn evolve(&mut self, Reading::Read { units }: &Reading) {
        self.total += units;
        self.readings += 1;
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Read {
    units: u64,
}

impl Handle<Read> for Meter {
    type Reply = u64;
    type Error = String;
    fn decide(&self, Read { units }: Read, cx: &mut Cx<Self>) -> Result<u64, String> {
        if units == 0 {
            return Err("a meter never stands still".to_owned());
        }
        cx.emit(Reading::Read { units });
        cx.publish_message(Publication {
            topic: "totals".to_owned(),
            key: Some("of-the-house".to_owned()),
            headers: vec![("unit".to_owned(), "kWh".to_owned())],
            payload: self.total + units,
        });
        Ok(self.total + units)
    }
}

/// A message of `id` in the topic `readings`, as a broker would give it.
fn message(id: &str, units: u64) -> Message {
    Message::new(content(id, units))
}

fn content(id: &str, units: u64) -> Content {
    Content {
        topic: "readings".to_owned(),
        key: None,
        headers: Headers::from_iter([("message-id", id.to_owned())]),
        payload: serde_json::to_vec(&Read { units }).unwrap().into(),
        partition: Partition(0),
        offset: 0,
        published_at: None,
        redelivered: 0,
    }
}

async fn start(journal: Arc<dyn Journal>) -> (Griot, Arc<dyn Broker>) {
    let broker = EmbeddedBroker::open(Arc::clone(&journal), EmbeddedOptions::default());
    let broker: Arc<dyn Broker> = Arc::new(broker.await.unwrap());
    let builder = Griot::builder(journal, Arc::new(MemoryJournal::new()));
    let builder = builder.publisher(publisher(Arc::clone(&broker)));
    let entities = Entities::<Meter>::new();
    (builder.entity(entities).start().await.unwrap(), broker)
}

async fn readings(griot: &Griot) -> (u64, u64) {
    let cellar = griot.entity::<Meter>("cellar").unwrap();
    let read = cellar.read(|meter, _| (meter.total, meter.readings));
    read.await.unwrap()
}

/// Is done on its second attempt only, after the entity was asked.
async fn read(meters: Meters, Attempt(n): Attempt, Json(read): Json<Read>) -> Result<(), Failure> {
    meters.ask("cellar", read).await?;
    match n {
        1 => Err(Retry("the handler fails after its entity has decided").into()),
        _ => Ok(()),
    }
}

#[tokio::test]
async fn g3_a_message_that_is_handled_again_has_no_second_effect() {
    let (griot, _broker) = start(Arc::new(MemoryJournal::new())).await;
    let retries = Retries {
        wait_first: Duration::ZERO,
        ..Retries::default()
    };
    let router: Router = Router::new()
        .on("readings", read)
        .layer(DefaultStack {
            retries,
            ..DefaultStack::default()
        })
        .with_state(griot.clone());
    for _ in 0..3 {
        let answer = router.clone().oneshot(message("m1", 3)).await;
        assert_eq!(answer, Ok(Answer::Ack));
    }
    assert_eq!(readings(&griot).await, (3, 1));
    let answer = router.clone().oneshot(message("m2", 3)).await;
    assert_eq!(answer, Ok(Answer::Ack));
    assert_eq!(readings(&griot).await, (6, 2), "another message");
}

/// Asks two entities, one of them twice.
async fn read_thrice(meters: Meters, Json(read): Json<Read>) -> Result<(), Failure> {
    let (attic, cellar) = tokio::join!(
        meters.ask("attic", read.clone()),
        meters.ask("cellar", read.clone())
    );
    attic?;
    cellar?;
    let twice = Read {
        units: read.units * 2,
    };
    meters.ask("cellar", twice).await?;
    Ok(())
}

#[tokio::test]
async fn g3_several_commands_of_one_message_have_one_effect_each() {
    let (griot, _broker) = start(Arc::new(MemoryJournal::new())).await;
    let router: Router = Router::new()
        .on("readings", read_thrice)
        .with_state(griot.clone());
    for _ in 0..3 {
        let answer = router.clone().oneshot(message("m1", 5)).await;
        assert_eq!(answer, Ok(Answer::Ack));
    }
    assert_eq!(readings(&griot).await, (15, 2));
}

async fn read_once(meters: Meters, Json(read): Json<Read>) -> Result<(), Failure> {
    meters.ask("cellar", read).await?;
    Ok(())
}

async fn read_nowhere(meters: Meters, Json(read): Json<Read>) -> Result<(), Failure> {
    meters.ask("", read).await?;
    Ok(())
}

#[tokio::test]
async fn what_an_entity_refuses_is_a_dead_letter_that_says_why() {
    let (griot, _broker) = start(Arc::new(MemoryJournal::new())).await;
    let router: Router = Router::new()
        .on("readings", read_once)
        .with_state(griot.clone());
    let refused = async |router: &Router, message| match router.clone().oneshot(message).await {
        Ok(Answer::DeadLetter { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let reason = refused(&router, message("m1", 0)).await;
    assert_eq!(reason, "a meter never stands still");
    router.clone().oneshot(message("m2", 1)).await.unwrap();
    let reason = refused(&router, message("m2", 2)).await;
    assert!(reason.contains("message id"), "{reason}");
    let router: Router = Router::new()
        .on("readings", read_nowhere)
        .with_state(griot.clone());
    let reason = refused(&router, message("m3", 1)).await;
    assert!(reason.contains("id"), "{reason}");
}

#[tokio::test]
async fn an_outage_of_the_journal_makes_no_dead_letter_and_no_second_effect() {
    let disk = SimDisk::new(1);
    let options = Options {
        segment_bytes: 8_192,
        ..Options::default()
    };
    let journal = EmbeddedLog::open_on(Arc::new(disk.clone()), "/journal", options).unwrap();
    let (griot, _broker) = start(Arc::new(journal)).await;
    disk.set_space(Some(0));
    let cellar = griot.entity::<Meter>("cellar").unwrap();
    // Fills the segment there is.
    while cellar.ask(Read { units: 1 }).await.is_ok() {}
    let (before, _) = readings(&griot).await;
    let router: Router = Router::new()
        .on("readings", read_once)
        .layer(DefaultStack::default())
        .with_state(griot.clone());
    let handling = tokio::spawn(router.oneshot(message("m1", 1_000)));
    while griot.trouble().is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!handling.is_finished());
    disk.set_space(None);
    assert_eq!(handling.await.unwrap(), Ok(Answer::Ack));
    assert_eq!(readings(&griot).await.0, before + 1_000);
}

#[tokio::test]
async fn g6_what_an_entity_publishes_reaches_the_broker_in_order_under_a_stable_id() {
    let (griot, broker) = start(Arc::new(MemoryJournal::new())).await;
    let cellar = griot.entity::<Meter>("cellar").unwrap();
    for _ in 0..100 {
        cellar.ask(Read { units: 1 }).await.unwrap();
    }
    let totals = Subscription {
        topics: vec!["totals".to_owned()],
        group: "display".to_owned(),
        in_flight_max: 1_000,
        order: Order::PerKey,
    };
    let mut source = broker.subscribe(totals).await.unwrap();
    let mut ids = Vec::new();
    for total in 1..=100_u64 {
        let incoming = tokio::time::timeout(Duration::from_mins(1), source.next());
        let Some(Ok(Incoming::Delivery(delivery))) = incoming.await.unwrap() else {
            panic!("the broker is open")
        };
        let event = delivery.event;
        assert_eq!(event.payload(), total.to_string().as_bytes());
        assert_eq!(event.key().unwrap(), "of-the-house");
        assert_eq!(event.headers().get("unit"), Some("kWh"));
        ids.push(event.headers().get("message-id").unwrap().to_owned());
        delivery.receipt.ack().await.unwrap();
    }
    assert!(
        ids[0].starts_with("meter/cellar:"),
        "the effect has a name: {}",
        ids[0]
    );
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn what_an_entity_publishes_is_in_the_trace_of_the_message_it_was_asked_for() {
    let (griot, broker) = start(Arc::new(MemoryJournal::new())).await;
    let router: Router = Router::new()
        .on("readings", read_once)
        .layer(DefaultStack::default())
        .with_state(griot.clone());
    let mut content = content("m1", 3);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    content
        .headers
        .push("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    content.headers.push("tracestate", "vendor=1");
    content.headers.push("correlation-id", "c-7");
    let answer = router.oneshot(Message::new(content)).await;
    assert_eq!(answer, Ok(Answer::Ack));
    let totals = Subscription {
        topics: vec!["totals".to_owned()],
        group: "display".to_owned(),
        in_flight_max: 1,
        order: Order::PerKey,
    };
    let mut source = broker.subscribe(totals).await.unwrap();
    let incoming = tokio::time::timeout(Duration::from_mins(1), source.next());
    let Some(Ok(Incoming::Delivery(delivery))) = incoming.await.unwrap() else {
        panic!("the broker is open")
    };
    let headers = delivery.event.headers();
    let parent = headers.get("traceparent").unwrap();
    assert!(parent.contains(trace), "{parent}");
    assert_eq!(headers.get("tracestate"), Some("vendor=1"));
    assert_eq!(headers.get("correlation-id"), Some("c-7"));
    assert_eq!(headers.get("unit"), Some("kWh"), "its own");
}

#[tokio::test]
async fn g8_messages_of_a_broker_reach_their_entities_once_each_across_a_restart() {
    let journal = Arc::new(MemoryJournal::new());
    let mut published = 0;
    for round in 0..5 {
        let (griot, broker) = start(Arc::clone(&journal) as Arc<dyn Journal>).await;
        let router: Router = Router::new()
            .on("readings", read_once)
            .layer(DefaultStack::default())
            .with_state(griot.clone());
        let subscription = Subscription {
            topics: router.topics(),
            group: "meters".to_owned(),
            in_flight_max: 100,
            order: Order::PerKey,
        };
        let consumer = Consumer::new(Arc::clone(&broker), subscription, router);
        let consuming = consumer.start().await.unwrap();
        for number in 0..50_u64 {
            let reading = griot::events::Message::json("readings", &Read { units: 1 });
            let reading = reading.unwrap().id(format!("{round}-{number}"));
            let producer = griot::events::Producer::new(Arc::clone(&broker));
            producer.publish(reading).await.unwrap();
            published += 1;
        }
        if round < 4 {
            // Ends in the middle of its work, without a word.
            drop(consuming);
            drop(griot);
            drop(broker);
            continue;
        }
        let cellar = griot.entity::<Meter>("cellar").unwrap();
        let done = cellar.wait_until(Duration::from_mins(1), move |meter, _| {
            (meter.readings >= published).then_some(meter.readings)
        });
        assert_eq!(done.await.unwrap(), Some(published));
        assert_eq!(consuming.drain(Duration::from_secs(30)).await, 0);
        assert_eq!(readings(&griot).await, (published, published));
    }
}
