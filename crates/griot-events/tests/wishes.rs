//! What was wished for at first, each wish a test: events handled like HTTP requests. `docs/events.md`
//! says which other tests show which wish.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::layer::{DefaultStack, TraceContext};
use griot_events::{Broker, Consumer, Consuming, Json, Message, Publication, Router};
use griot_journal::MemoryJournal;
use griot_testkit::BrokerFactory;
use griot_testkit::broker::Bench;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

const SOON: Duration = Duration::from_mins(1);

struct InMemory;

impl BrokerFactory for InMemory {
    async fn open(&self) -> Arc<dyn Broker> {
        let journal = Arc::new(MemoryJournal::new());
        let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await;
        Arc::new(broker.unwrap())
    }
}

/// Begins a service: a router as a member of the group that is named for the topic.
async fn serve(bench: &Bench, topic: &str, router: Router) -> Consuming {
    let subscription = bench.subscription(topic, topic);
    let broker = Arc::clone(&bench.broker);
    let consumer = Consumer::new(broker, subscription, router);
    consumer.start().await.unwrap()
}

async fn publish(bench: &Bench, topic: &str, number: u64, headers: &[(&str, &str)]) {
    let message = Message::json(&bench.topic(topic), &number)
        .unwrap()
        .key("k");
    let header = |message: Message, (name, value): &(&str, &str)| message.header(*name, *value);
    let message = headers.iter().fold(message, header);
    bench.producer.publish(message).await.unwrap();
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(SOON, receiver.recv()).await.unwrap().unwrap()
}

/// As `griot serve` counts requests by route and status, times them by the same labels, and says how
/// many wait for an answer: events are, by route and outcome.
#[tokio::test]
async fn an_event_has_the_same_metrics_as_an_http_request() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let bench = Bench::open(&InMemory).await;
    let (began, mut beginning) = mpsc::unbounded_channel();
    let (topic, go_on) = (bench.topic("orders"), Arc::new(Semaphore::new(0)));
    let wait = Arc::clone(&go_on);
    let handler = move || {
        let (began, wait) = (began.clone(), Arc::clone(&wait));
        async move {
            began.send(()).unwrap();
            let _go_on = wait.acquire().await;
        }
    };
    let router = Router::new().on(&topic, handler);
    let service = serve(&bench, "orders", router.layer(DefaultStack::default())).await;
    publish(&bench, "orders", 1, &[]).await;
    next(&mut beginning).await;
    let has = |line: &str| {
        let text = metrics.render();
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    };
    has("events_in_flight 1");
    go_on.add_permits(1);
    assert_eq!(service.drain(SOON).await, 0);
    let labels = format!(r#"{{topic="{topic}",outcome="ack"}}"#);
    has(&format!("events_total{labels} 1"));
    has(&format!("event_duration_seconds_count{labels} 1"));
    has("events_in_flight 0");
}

/// The first service is told of a trace, and publishes; the second, behind the broker, is in that trace,
/// with the first as its parent.
#[tokio::test]
async fn a_trace_goes_on_from_one_service_to_the_next() {
    const BEGAN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let bench = Bench::open(&InMemory).await;
    let (seen, mut traces) = mpsc::unbounded_channel();
    let by = seen.clone();
    let bills = bench.topic("bills");
    let order = move || {
        seen.send(TraceContext::current().unwrap()).unwrap();
        let bill = Publication {
            topic: bills.clone(),
            key: None,
            headers: Vec::new(),
            payload: "1".into(),
        };
        async { bill }
    };
    let bill = move || {
        by.send(TraceContext::current().unwrap()).unwrap();
        async {}
    };
    let orders = Router::new().on(&bench.topic("orders"), order);
    let bills = Router::new().on(&bench.topic("bills"), bill);
    let _orders = serve(&bench, "orders", orders.layer(DefaultStack::default())).await;
    let _bills = serve(&bench, "bills", bills.layer(DefaultStack::default())).await;
    publish(&bench, "orders", 1, &[("traceparent", BEGAN)]).await;
    let (first, second) = (next(&mut traces).await, next(&mut traces).await);
    let began = TraceContext::parse(BEGAN).unwrap();
    for context in [first, second] {
        let (trace, expected) = (context.trace_id(), began.trace_id());
        assert_eq!(format!("{trace:?}"), format!("{expected:?}"));
    }
    assert!(first != began && second != first, "each a place of its own");
}

/// What is being handled is finished and acknowledged; what comes later waits for the next one.
#[tokio::test]
async fn a_service_that_is_stopped_finishes_what_it_does_and_takes_nothing_more() {
    let bench = Bench::open(&InMemory).await;
    let (began, mut beginning) = mpsc::unbounded_channel();
    let go_on = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&go_on);
    let handler = move |Json(number): Json<u64>| {
        let (began, wait) = (began.clone(), Arc::clone(&wait));
        async move {
            began.send(number).unwrap();
            let _go_on = wait.acquire().await;
        }
    };
    let router = Router::new().on(&bench.topic("orders"), handler);
    let service = serve(&bench, "orders", router.clone()).await;
    publish(&bench, "orders", 1, &[]).await;
    assert_eq!(next(&mut beginning).await, 1);
    let stopped = tokio::spawn(service.drain(SOON));
    publish(&bench, "orders", 2, &[]).await;
    go_on.add_permits(1);
    assert_eq!(stopped.await.unwrap(), 0);
    assert!(beginning.try_recv().is_err(), "it took one more");
    let _next = serve(&bench, "orders", router).await;
    assert_eq!(next(&mut beginning).await, 2, "not the first again");
}
