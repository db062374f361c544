//! Events in the traces of OpenTelemetry, as its own SDK collects them.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::layer::{DefaultStack, TraceContext};
use griot_events::{
    Broker, Consumer, Consuming, DeadLetter, Message, Order, Producer, Publication, Router,
    Subscription,
};
use griot_journal::MemoryJournal;
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};
use tracing::subscriber::DefaultGuard;
use tracing::{Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const SOON: Duration = Duration::from_mins(1);

/// Collects the spans of this thread for as long as it lives.
struct Spans {
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _guard: DefaultGuard,
}

impl Spans {
    fn collect() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone());
        let provider = provider.build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        Self {
            exporter,
            _guard: tracing_subscriber::registry().with(layer).set_default(),
            _provider: provider,
        }
    }

    /// The span with this name, once it has ended.
    async fn named(&self, name: &str) -> SpanData {
        let end = Instant::now() + SOON;
        let mut looks = interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            let spans = self.exporter.get_finished_spans().unwrap();
            if let Some(span) = spans.iter().find(|span| span.name == name) {
                return span.clone();
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(Instant::now() < end, "no {name} among {names:?}");
        }
    }
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let attributes = span.attributes.iter();
    let mut named = attributes.filter(|attribute| attribute.key.as_str() == name);
    named.next().map(|attribute| attribute.value.to_string())
}

/// A publisher to a service on a broker of its own, in this task's thread.
async fn serve(router: Router) -> (Producer, Consuming) {
    let journal = Arc::new(MemoryJournal::new());
    let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default());
    let broker: Arc<dyn Broker> = Arc::new(broker.await.unwrap());
    let subscription = Subscription {
        topics: router.topics(),
        group: "billing".to_owned(),
        in_flight_max: 10,
        order: Order::PerKey,
    };
    let router = router.layer(DefaultStack::default());
    let consumer = Consumer::new(Arc::clone(&broker), subscription, router);
    (Producer::new(broker), consumer.start().await.unwrap())
}

/// Hands an order on to who sends the bills.
async fn bill() -> Publication {
    Publication {
        topic: "bills".to_owned(),
        key: Some("k".to_owned()),
        headers: Vec::new(),
        payload: "{}".into(),
    }
}

#[tokio::test]
async fn a_trace_goes_from_the_publisher_through_each_handler_to_the_next() {
    let spans = Spans::collect();
    let fail = || async { DeadLetter("no such bill") };
    let router = Router::new().on("orders", bill).on("bills", fail);
    let (producer, _serving) = serve(router).await;
    let order = Message::bytes("orders", "{}").key("k").id("order-1");
    let publishing = producer.publish(order);
    publishing.instrument(info_span!("ordering")).await.unwrap();

    let bills = spans.named("process bills").await;
    let orders = spans.named("process orders").await;
    let ordering = spans.named("ordering").await;
    assert_eq!(ordering.parent_span_id, SpanId::INVALID);
    for (span, parent) in [(&orders, &ordering), (&bills, &orders)] {
        let trace = ordering.span_context.trace_id();
        assert_eq!(span.span_context.trace_id(), trace);
        assert_eq!(span.parent_span_id, parent.span_context.span_id());
        assert!(span.parent_span_is_remote);
        assert_eq!(span.span_kind, SpanKind::Consumer);
        let said = attribute(span, "span_id");
        assert_eq!(said, Some(span.span_context.span_id().to_string()));
    }
    for (name, value) in [
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "orders"),
        ("messaging.message.id", "order-1"),
        ("outcome", "publish"),
    ] {
        assert_eq!(attribute(&orders, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(orders.status, Status::Unset);
    assert_eq!(bills.status, Status::error("dead_letter"));
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_is_not_recorded_here_and_the_next_is_told_so() {
    let spans = Spans::collect();
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = move || {
        let current = TraceContext::current().unwrap();
        told.send(current.to_string()).unwrap();
        async {}
    };
    let (producer, _serving) = serve(Router::new().on("orders", handler)).await;
    for flags in ["00", "01"] {
        let sent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        let message = Message::bytes("orders", flags).key("k");
        let message = message.id(flags).header("traceparent", &sent);
        producer.publish(message).await.unwrap();
        let told = timeout(SOON, tells.recv()).await.unwrap().unwrap();
        assert_eq!(told[..36], sent[..36], "the same trace");
        assert_ne!(told[36..52], sent[36..52], "a place of its own");
        assert_eq!(told[52..], sent[52..], "recorded or not, as before");
    }
    let recorded = spans.named("process orders").await;
    let id = attribute(&recorded, "messaging.message.id");
    assert_eq!(id.as_deref(), Some("01"));
}
