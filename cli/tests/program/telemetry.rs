//! Spans of `griot serve`, as an OpenTelemetry collector gets them.

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use griot::events::{self, Message, Producer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::process::{Griot, ends, until};

const TRACE_ID: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const PARENT_ID: u64 = 0xb7ad_6b71_6920_3331;

/// Takes spans over OTLP: HTTP with Protocol Buffers.
struct Collector {
    url: String,
    came: mpsc::UnboundedReceiver<ResourceSpans>,
}

impl Collector {
    async fn start() -> Self {
        let (take, came) = mpsc::unbounded_channel();
        let traces = post(async move |body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            for spans in request.resource_spans {
                take.send(spans).unwrap();
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", traces);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, came }
    }
}

#[tokio::test]
async fn spans_go_to_a_collector_at_the_latest_when_the_program_ends() {
    let data = TempDir::new().unwrap();
    let mut collector = Collector::start().await;
    let serve = ["serve", "alarms", "--listen", "127.0.0.1:0", "--data-dir"];
    let arguments = [&serve[..], &[data.path().to_str().unwrap()]].concat();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ];
    let mut griot = Griot::start_in(&arguments, &environment);
    let url = griot.ready().await;
    let broker = events::connect(&url).await.unwrap();
    let change = json!({"AlarmID": "oven", "UserID": "ann", "Status": "WARNING", "ChangedAt": "2026-01-31T12:00:00Z"});
    let message = Message::json("AlarmStatusChanged", &change).unwrap();
    let sent = format!("00-{TRACE_ID:032x}-{PARENT_ID:016x}-01");
    let message = message.key("ann").header("traceparent", sent);
    Producer::new(broker).publish(message).await.unwrap();
    until("it is handled", async || {
        let answer = reqwest::get(format!("{url}/alarms/ann")).await.unwrap();
        answer.status().is_success().then_some(())
    })
    .await;
    griot.signal(Signal::TERM);
    assert_eq!(griot.end().await.code(), Some(0));

    let came = collector.came.try_recv();
    let came = came.expect("spans before the program has ended");
    let resource = came.resource.unwrap().attributes;
    let name = resource.iter().find(|about| about.key == "service.name");
    let name = name.and_then(|about| about.value.clone()?.value);
    assert_eq!(name, Some(Value::StringValue("griot".to_owned())));
    let spans = came.scope_spans.iter().flat_map(|scope| &scope.spans);
    let handled = spans
        .filter(|span| span.name == "process AlarmStatusChanged")
        .collect::<Vec<_>>();
    let [span] = handled[..] else {
        panic!("one event, one span: {:?}", came.scope_spans)
    };
    assert_eq!(span.trace_id, TRACE_ID.to_be_bytes());
    assert_eq!(span.parent_span_id, PARENT_ID.to_be_bytes());
}

#[tokio::test]
async fn a_collector_that_cannot_be_spoken_to_is_a_wrong_configuration() {
    let data = TempDir::new().unwrap();
    let arguments = ["serve", "--data-dir", data.path().to_str().unwrap()];
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector")];
    let (code, said) = ends(&arguments, &environment).await;
    assert_eq!(code, Some(2));
    for word in ["OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector"] {
        assert!(said.contains(word), "{said}");
    }
}
