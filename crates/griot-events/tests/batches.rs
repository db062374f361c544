//! Handlers of batches behind a consumer: what is gathered, and what becomes of it.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::layer::{Deduplicate, DefaultStack, SeenInMemory};
use griot_events::{
    Answer, Attempt, Batch, BatchHandler, Broker, ConsumerLimits, Consuming, DeadLetter, Event,
    Failure, Incoming, Json, MESSAGE_ID, Message, Publication, Retry, Router, State,
    dead_letter_topic,
};
use griot_journal::MemoryJournal;
use griot_testkit::BrokerFactory;
use griot_testkit::broker::{Bench, Seen};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

struct InMemory(EmbeddedOptions);

impl BrokerFactory for InMemory {
    async fn open(&self) -> Arc<dyn Broker> {
        let journal = Arc::new(MemoryJournal::new());
        let broker = EmbeddedBroker::open(journal, self.0.clone()).await;
        Arc::new(broker.unwrap())
    }
}

async fn bench() -> Bench {
    Bench::open(&InMemory(EmbeddedOptions::default())).await
}

/// Longer than any of this takes, and shorter than a case waits.
const LONG: Duration = Duration::from_secs(30);

fn of(events_max: usize) -> Batch {
    Batch {
        events_max,
        wait_max: LONG,
    }
}

/// The batches that a handler got, in order: keys and numbers.
#[derive(Clone)]
struct Batches {
    all: watch::Sender<Vec<Vec<String>>>,
    seen: Seen,
}

impl Batches {
    fn new() -> Self {
        let (all, seen) = (watch::Sender::default(), Seen::default());
        Self { all, seen }
    }

    fn add(&self, events: &[Event]) {
        let name = |event: &Event| {
            self.seen.add(event);
            let key = event.key().map(|key| String::from_utf8_lossy(key));
            let payload = String::from_utf8_lossy(event.payload());
            format!("{}{payload}", key.unwrap_or_default())
        };
        let names = events.iter().map(name).collect();
        self.all.send_modify(|all| all.push(names));
    }

    fn all(&self) -> Vec<Vec<String>> {
        self.all.borrow().clone()
    }

    fn sizes(&self) -> Vec<usize> {
        self.all().iter().map(Vec::len).collect()
    }

    async fn until(&self, count: usize) {
        let mut all = self.all.subscribe();
        let enough = all.wait_for(|all| all.len() >= count);
        let waited = tokio::time::timeout(2 * LONG, enough).await.is_ok();
        assert!(waited, "so far: {:?}", self.all());
    }
}

/// The numbers that are dead letters of `orders`, once there are so many.
async fn dead_letters(bench: &Bench, count: usize) -> Vec<String> {
    let mut group = bench.subscription("orders", "dead");
    group.topics = vec![dead_letter_topic(&bench.topic("orders"))];
    let seen = Batches::new();
    let by = seen.clone();
    let handler = move |event: Event| {
        by.add(&[event]);
        async { Answer::Ack }
    };
    let consuming = bench.consume(group, handler).await;
    seen.until(count).await;
    consuming.until_in_flight(0).await;
    seen.all().concat()
}

/// Waits until so many messages are in flight, which takes no time on a clock that stands still.
async fn until_taken(consuming: &Consuming, count: usize) {
    for _ in 0..1_000_000 {
        if consuming.in_flight() >= count {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} in flight", consuming.in_flight());
}

async fn serve(bench: &Bench, router: Router) -> Consuming {
    bench.serve(bench.subscription("orders", "g"), router).await
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_events_of_many_keys_and_of_one_in_their_order() {
    let (bench, batches) = (bench().await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |events: Vec<Event>| noted.add(&events);
    let router = Router::new().on_batch(&topic, of(8), store);
    let start = Instant::now();
    let consuming = serve(&bench, router).await;
    bench.publish("orders", "a", 0..4).await;
    for key in ["b", "c", "d", "e"] {
        bench.publish("orders", key, [0]).await;
    }
    batches.until(1).await;
    consuming.until_in_flight(0).await;
    assert!(start.elapsed() < LONG, "it was full");
    assert_eq!(batches.sizes(), [8]);
    assert_eq!(batches.seen.numbers("a"), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_full_is_handled_when_its_time_is_up() {
    let (bench, batches) = (bench().await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |events: Vec<Event>| noted.add(&events);
    let router = Router::new().on_batch(&topic, of(8), store);
    let _consuming = serve(&bench, router).await;
    let start = Instant::now();
    bench.publish("orders", "a", 0..3).await;
    batches.until(1).await;
    assert_eq!(batches.sizes(), [3]);
    let took = start.elapsed();
    assert!(
        took >= LONG && took < LONG + Duration::from_secs(1),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn g8_the_next_of_a_key_waits_for_its_batch_and_others_are_handled_meanwhile() {
    let (bench, batches) = (bench().await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let open = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&open);
    let store = async move |events: Vec<Event>| {
        noted.add(&events);
        if events.iter().any(|event| event.payload() == "0") {
            let _open = waits.acquire().await;
        }
    };
    let router = Router::new().on_batch(&topic, of(2), store);
    let consuming = serve(&bench, router).await;
    bench.publish("orders", "a", 0..6).await;
    batches.until(1).await;
    bench.publish("orders", "b", 1..5).await;
    batches.until(3).await;
    assert_eq!(batches.all(), [["a0", "a1"], ["b1", "b2"], ["b3", "b4"]]);
    open.add_permits(1);
    batches.until(5).await;
    assert_eq!(batches.all()[3..], [["a2", "a3"], ["a4", "a5"]]);
    consuming.until_in_flight(0).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_has_the_whole_batch_handled_again_in_order() {
    let (bench, batches) = (bench().await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |Attempt(attempt): Attempt, events: Vec<Event>| {
        noted.add(&events);
        assert!(events.iter().all(|event| event.attempt() == attempt));
        match attempt {
            1 | 2 => Err("the table is locked"),
            _ => Ok(()),
        }
    };
    let router = Router::new().on_batch(&topic, of(3), store);
    let consuming = serve(&bench, router).await;
    bench.publish("orders", "a", 0..6).await;
    batches.until(6).await;
    let (first, second) = (["a0", "a1", "a2"], ["a3", "a4", "a5"]);
    assert_eq!(batches.all(), [first, first, first, second, second, second]);
    consuming.until_in_flight(0).await;
}

/// A handler that cannot do with `a1`, and says so as `failing` does.
fn fails_at_one(
    batches: &Batches,
    failing: fn() -> Result<(), Failure>,
) -> impl BatchHandler<(Vec<Event>,), ()> {
    let noted = batches.clone();
    async move |events: Vec<Event>| {
        noted.add(&events);
        let is_a = |event: &Event| event.key().is_some_and(|key| key == "a");
        let mut events = events.iter();
        if events.any(|event| is_a(event) && event.payload() == "1") {
            return failing();
        }
        Ok(())
    }
}

/// With or without layers, and however it fails: the others of its batch are done, and its key goes on.
#[tokio::test(start_paused = true)]
async fn only_the_message_that_fails_by_itself_becomes_a_dead_letter() {
    let says_so: fn() -> Result<(), Failure> = || Err(DeadLetter("it is bad").into());
    let fails: fn() -> Result<(), Failure> = || Err(Retry("no").into());
    let panics: fn() -> Result<(), Failure> = || panic!("no");
    for (failing, layers, whole) in [
        (says_so, false, 1),
        (says_so, true, 1),
        (fails, true, 5),
        (panics, false, 3),
        (panics, true, 5),
    ] {
        let (bench, batches) = (bench().await, Batches::new());
        let handler = fails_at_one(&batches, failing);
        let mut router = Router::new().on_batch(&bench.topic("orders"), of(5), handler);
        if layers {
            router = router.layer(DefaultStack::default());
        }
        let consuming = serve(&bench, router).await;
        bench.publish("orders", "a", 0..3).await;
        bench.publish("orders", "b", 0..2).await;
        let letters = dead_letters(&bench, 1).await;
        consuming.until_in_flight(0).await;
        assert_eq!(letters, ["a1"]);
        let all = batches.all();
        assert!(all[..whole].iter().all(|batch| batch.len() == 5), "{all:?}");
        let alone = &all[whole..];
        assert!(alone.iter().all(|batch| batch.len() == 1), "{all:?}");
        let of_a: Vec<_> = alone
            .iter()
            .flatten()
            .filter(|name| name.starts_with('a'))
            .collect();
        let [first, bad @ .., last] = &of_a[..] else {
            panic!("{of_a:?}")
        };
        assert_eq!((first.as_str(), last.as_str()), ("a0", "a2"));
        assert!(bad.iter().all(|name| *name == "a1"));
    }
}

/// It has no layer that would give it up.
#[tokio::test(start_paused = true)]
async fn a_message_that_fails_for_ever_holds_up_no_other_key() {
    let (bench, batches) = (bench().await, Batches::new());
    let handler = fails_at_one(&batches, || Err("not yet".into()));
    let router = Router::new().on_batch(&bench.topic("orders"), of(4), handler);
    let consuming = serve(&bench, router).await;
    bench.publish("orders", "a", 1..3).await;
    bench.publish("orders", "b", 0..2).await;
    consuming.until_in_flight(2).await;
    batches.until(12).await;
    let all = batches.all();
    let limits = ConsumerLimits::default();
    let whole = usize::try_from(limits.batch_attempts_max).unwrap();
    assert!(all[..whole].iter().all(|batch| batch.len() == 4));
    let alone = all[whole..].concat();
    assert!(alone.contains(&"b0".to_owned()) && alone.contains(&"b1".to_owned()));
    assert!(!alone.contains(&"a2".to_owned()), "it waits behind a1");
    let last = batches
        .seen
        .all()
        .into_iter()
        .rfind(|handled| handled.key == "a");
    assert!(
        last.unwrap().attempt > limits.batch_attempts_max,
        "it goes on counting"
    );
    assert_eq!(consuming.drain(LONG).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_cannot_be_read_is_a_dead_letter_by_itself() {
    let bench = bench().await;
    let topic = bench.topic("orders");
    let totals = watch::Sender::new(Vec::new());
    let of_totals = totals.subscribe();
    let store = async move |State(factor): State<u64>, orders: Vec<Json<u64>>| {
        let total: u64 = orders.iter().map(|Json(total)| total * factor).sum();
        totals.send_modify(|totals| totals.push(total));
    };
    let router = Router::new().on_batch(&topic, of(3), store).with_state(10);
    let consuming = serve(&bench, router).await;
    let message = |payload: &'static str| Message::bytes(&topic, payload).key("a");
    let messages = ["1", "no number", "2"].map(message);
    bench.producer.publish_all(messages.into()).await;
    assert_eq!(dead_letter_payloads(&bench, 1).await, ["no number"]);
    consuming.until_in_flight(0).await;
    assert_eq!(*of_totals.borrow(), [10, 20]);
}

async fn dead_letter_payloads(bench: &Bench, count: usize) -> Vec<String> {
    let mut group = bench.subscription("orders", "dead");
    group.topics = vec![dead_letter_topic(&bench.topic("orders"))];
    let mut source = bench.broker.subscribe(group).await.unwrap();
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let Some(Ok(Incoming::Delivery(delivery))) = source.next().await else {
            panic!("a message")
        };
        payloads.push(String::from_utf8_lossy(delivery.event.payload()).into_owned());
        delivery.receipt.ack().await.unwrap();
    }
    payloads
}

/// Once for all of them, under an id that says which those were.
#[tokio::test(start_paused = true)]
async fn g8_an_answer_is_out_before_any_message_of_its_batch_is_done() {
    let (bench, ids) = (bench().await, watch::Sender::new(Vec::new()));
    let (topic, bills) = (bench.topic("orders"), bench.topic("bills"));
    let of_ids = ids.subscribe();
    let bill = async move |events: Vec<Event>| Publication {
        topic: bills.clone(),
        key: None,
        headers: Vec::new(),
        payload: events.len().to_string().into(),
    };
    let router = Router::new().on_batch(&topic, of(4), bill);
    let consuming = serve(&bench, router).await;
    bench.publish("orders", "a", 0..4).await;
    bench.publish("orders", "b", 0..4).await;
    consuming.until_in_flight(0).await;
    let handler = move |event: Event| {
        let id = event
            .headers()
            .get(MESSAGE_ID)
            .unwrap_or_default()
            .to_owned();
        ids.send_modify(|ids| ids.push((id, event.payload().clone())));
        async { Answer::Ack }
    };
    let reading = bench
        .consume(bench.subscription("bills", "g"), handler)
        .await;
    let mut of_ids = of_ids;
    of_ids.wait_for(|ids| ids.len() == 2).await.unwrap();
    reading.until_in_flight(0).await;
    let ids = of_ids.borrow();
    assert!(
        ids.iter()
            .all(|(id, payload)| !id.is_empty() && payload == "4")
    );
    assert_ne!(ids[0].0, ids[1].0);
}

#[tokio::test(start_paused = true)]
async fn g9_a_drain_gives_a_batch_back_that_has_not_begun() {
    let (bench, batches) = (bench().await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |events: Vec<Event>| noted.add(&events);
    let router = Router::new().on_batch(&topic, of(8), store);
    let start = Instant::now();
    let consuming = serve(&bench, router).await;
    bench.publish("orders", "a", 0..5).await;
    until_taken(&consuming, 5).await;
    assert_eq!(consuming.drain(LONG).await, 0);
    assert!(start.elapsed() < LONG, "it did not wait for others");
    assert!(batches.all().is_empty());
    let (_other, seen) = bench.watch("orders", "g").await;
    seen.until_different(5).await;
    assert_eq!(seen.numbers("a"), [0, 1, 2, 3, 4]);
}

/// The slices that go to another member take their messages along; the rest of the batch is handled.
#[tokio::test(start_paused = true)]
async fn g8_a_batch_lets_go_of_what_goes_to_another_member() {
    let (bench, batches, other) = (bench().await, Batches::new(), Seen::default());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |events: Vec<Event>| noted.add(&events);
    let router = Router::new().on_batch(&topic, of(100), store);
    let consuming = serve(&bench, router).await;
    let keys: Vec<String> = (0..40).map(|key| format!("k{key}")).collect();
    for key in &keys {
        bench.publish("orders", key, 0..2).await;
    }
    until_taken(&consuming, 80).await;
    let start = Instant::now();
    let _other = bench.join(&other, "orders", "g").await;
    batches.until(1).await;
    assert!(start.elapsed() <= LONG);
    consuming.until_in_flight(0).await;
    other
        .until(|all| all.len() + batches.seen.all().len() >= 80)
        .await;
    assert!(!other.all().is_empty() && batches.sizes().len() == 1);
    for key in &keys {
        let by_both = [batches.seen.numbers(key), other.numbers(key)].concat();
        assert_eq!(by_both, [0, 1], "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn g10_a_batch_has_no_more_events_than_may_be_in_flight() {
    let (bench, batches) = (bench().await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |events: Vec<Event>| noted.add(&events);
    let router = Router::new().on_batch(&topic, of(1_000), store);
    let mut group = bench.subscription("orders", "g");
    group.in_flight_max = 7;
    let start = Instant::now();
    let consuming = bench.serve(group, router).await;
    bench.publish("orders", "a", 0..21).await;
    batches.until(3).await;
    consuming.until_in_flight(0).await;
    assert!(
        start.elapsed() < LONG,
        "nobody waited for what could not come"
    );
    assert_eq!(batches.sizes(), [7, 7, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_while_a_message_waits_for_others() {
    let options = EmbeddedOptions {
        lease: Some(LONG / 10),
        ..EmbeddedOptions::default()
    };
    let (bench, batches) = (Bench::open(&InMemory(options)).await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |events: Vec<Event>| noted.add(&events);
    let router = Router::new().on_batch(&topic, of(8), store);
    let consuming = serve(&bench, router).await;
    bench.publish("orders", "a", 0..3).await;
    batches.until(1).await;
    consuming.until_in_flight(0).await;
    assert_eq!(batches.sizes(), [3]);
    assert!(
        batches
            .seen
            .all()
            .iter()
            .all(|handled| handled.redelivered == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn every_route_has_batches_of_its_own_and_a_key_keeps_its_order_across_them() {
    let (bench, batches) = (bench().await, Batches::new());
    let topic = bench.topic("orders");
    let (one, two, single) = (batches.clone(), batches.clone(), batches.clone());
    let batch = Batch {
        events_max: 3,
        wait_max: Duration::from_secs(1),
    };
    let router = Router::new()
        .on_event_batch(&topic, "Placed", batch, async move |events: Vec<Event>| {
            one.add(&events);
        })
        .on_event_batch(&topic, "Paid", batch, async move |events: Vec<Event>| {
            two.add(&events);
        })
        .on(&topic, async move |event: Event| single.add(&[event]));
    let consuming = serve(&bench, router).await;
    let names = ["Placed", "Placed", "Paid", "Sent", "Paid", "Paid", "Placed"];
    let messages = names.iter().zip(0_u64..).map(|(name, number)| {
        let message = Message::json(&topic, &number).unwrap();
        message.key("a").name(*name)
    });
    bench.producer.publish_all(messages.collect()).await;
    batches.until(5).await;
    consuming.until_in_flight(0).await;
    let expected: [&[&str]; 5] = [&["a0", "a1"], &["a2"], &["a3"], &["a4", "a5"], &["a6"]];
    assert_eq!(batches.all(), expected);
}

#[tokio::test(start_paused = true)]
async fn layers_count_the_events_of_a_batch_and_leave_out_those_that_are_known() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (bench, batches) = (bench().await, Batches::new());
    let (topic, noted) = (bench.topic("orders"), batches.clone());
    let store = async move |events: Vec<Event>| noted.add(&events);
    let router = Router::new()
        .on_batch("*", of(3), store)
        .layer(Deduplicate::new(SeenInMemory::new(100, 10 * LONG)))
        .layer(DefaultStack::default());
    let consuming = serve(&bench, router).await;
    // The broker itself would know an id that comes twice: so the second comes under another key.
    let rounds = [
        [("a", 1), ("b", 2), ("c", 3)],
        [("d", 1), ("e", 4), ("f", 3)],
    ];
    for (round, batch) in (1..).zip(rounds) {
        let messages = batch.map(|(key, id): (_, u64)| {
            let message = Message::json(&topic, &id).unwrap();
            message.key(key).id(id.to_string())
        });
        for published in bench.producer.publish_all(messages.into()).await {
            published.unwrap();
        }
        batches.until(round).await;
        consuming.until_in_flight(0).await;
    }
    let mut all = batches.all();
    all[0].sort_unstable();
    assert_eq!(all, [vec!["a1", "b2", "c3"], vec!["e4"]]);
    let text = handle.render();
    assert!(
        text.contains(r#"events_total{topic="*",outcome="ack"} 6"#),
        "{text}"
    );
    assert!(text.contains("events_in_flight 0"), "{text}");
    assert!(
        text.contains(r#"event_duration_seconds_count{topic="*",outcome="ack"} 2"#),
        "{text}"
    );
}
