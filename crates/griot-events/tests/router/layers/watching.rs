//! Layers that look on: traces, metrics, correlation.

use griot_events::layer::{Correlation, DefaultStack, Metrics, Trace, TraceContext};
use griot_events::{Answer, Publication, Router};
use griot_testkit::Logs;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::Script;
use crate::sample::{
    Sample, answer, answer_any, dead_letter, header, publication, published, retry,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn publishes() -> Publication {
    publication("bills")
}

#[tokio::test]
async fn a_trace_goes_on_in_what_is_published() {
    let router = Router::new().on("orders", publishes).layer(Trace);
    let sample = Sample {
        headers: vec![("traceparent", PARENT.as_bytes()), ("tracestate", b"a=1")],
        ..Sample::default()
    };
    let out = published(answer(&router, sample).await);
    let sent = header(&out, "traceparent")
        .and_then(TraceContext::parse)
        .unwrap();
    let parent = TraceContext::parse(PARENT).unwrap();
    assert_eq!(
        format!("{:?}", sent.trace_id()),
        format!("{:?}", parent.trace_id())
    );
    assert_ne!(sent, parent, "a place of its own in the trace");
    assert_eq!(header(&out, "tracestate"), Some("a=1"));
}

#[tokio::test]
async fn a_message_without_a_trace_begins_one_and_a_stray_state_is_left_behind() {
    let router = Router::new().on("orders", publishes).layer(Trace);
    let sample = Sample {
        headers: vec![("traceparent", b"nonsense"), ("tracestate", b"a=1")],
        ..Sample::default()
    };
    let out = published(answer(&router, sample).await);
    assert!(
        header(&out, "traceparent")
            .and_then(TraceContext::parse)
            .is_some()
    );
    assert_eq!(header(&out, "tracestate"), None);
}

#[tokio::test]
async fn a_handler_knows_the_trace_it_is_in_and_what_it_says_itself_stays() {
    let handler = || async {
        let mut own = publication("own");
        own.headers
            .push(("traceparent".to_owned(), PARENT.to_owned()));
        let current = TraceContext::current().unwrap().to_string();
        vec![publication(&current), own]
    };
    let router = Router::new().on("orders", handler).layer(Trace);
    let Answer::Publish(out) = answer_any(&router).await else {
        panic!("nothing published")
    };
    assert_eq!(header(&out[0], "traceparent"), Some(&*out[0].topic));
    assert_eq!(header(&out[1], "traceparent"), Some(PARENT));
    assert_eq!(TraceContext::current(), None);
}

#[tokio::test]
async fn a_chain_keeps_its_correlation_id() {
    let router = Router::new().on("orders", publishes).layer(Correlation);
    let sample = Sample {
        headers: vec![("correlation-id", b"c1"), ("message-id", b"m1")],
        ..Sample::default()
    };
    let out = published(answer(&router, sample).await);
    assert_eq!(header(&out, "correlation-id"), Some("c1"));
    let sample = Sample {
        headers: vec![("message-id", b"m1")],
        ..Sample::default()
    };
    let out = published(answer(&router, sample).await);
    assert_eq!(
        header(&out, "correlation-id"),
        Some("m1"),
        "it begins with the message"
    );
}

#[tokio::test]
async fn every_event_is_counted_by_route_and_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let answers = [Answer::Ack, retry("a"), dead_letter("b"), Answer::Ack];
    let router = Router::new()
        .on("orders.*", Script::new(answers).handler())
        .layer(Metrics::new());
    for topic in ["orders.1", "orders.2", "orders.3", "orders.4", "nobodys"] {
        answer(
            &router,
            Sample {
                topic,
                ..Sample::default()
            },
        )
        .await;
    }
    let text = handle.render();
    for line in [
        r#"events_total{topic="orders.*",outcome="ack"} 2"#,
        r#"events_total{topic="orders.*",outcome="retry"} 1"#,
        r#"events_total{topic="orders.*",outcome="dead_letter"} 1"#,
        r#"events_total{topic="none",outcome="dead_letter"} 1"#,
        r#"event_duration_seconds_count{topic="orders.*",outcome="ack"} 2"#,
        "events_in_flight 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn an_event_that_is_dropped_on_its_way_is_no_longer_in_flight() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let router = Router::new()
        .on("orders", std::future::pending::<()>)
        .layer(Metrics::new());
    let mut slow = Box::pin(answer_any(&router));
    assert!(futures_util::poll!(slow.as_mut()).is_pending());
    assert!(handle.render().contains("events_in_flight 1"));
    drop(slow);
    assert!(handle.render().contains("events_in_flight 0"));
}

#[tokio::test(start_paused = true)]
async fn a_span_tells_what_the_event_was_and_what_became_of_it_in_the_end() {
    let logs = Logs::collect();
    let router = Router::new()
        .on(
            "orders",
            Script::new([retry("a"), retry("b"), Answer::Ack]).handler(),
        )
        .layer(DefaultStack::default());
    let sample = Sample {
        name: Some("OrderPlaced"),
        headers: vec![("traceparent", PARENT.as_bytes())],
        ..Sample::default()
    };
    assert_eq!(answer(&router, sample).await, Answer::Ack);
    let mut closed = logs.lines();
    closed.retain(|line| line.contains(r#""message":"close""#));
    let [closed] = &closed[..] else {
        panic!(
            "one span for an event and all its attempts: {:#?}",
            logs.lines()
        )
    };
    for field in [
        r#""name":"event""#,
        r#""topic":"orders""#,
        r#""event":"OrderPlaced""#,
        r#""key":"7""#,
        r#""partition":2"#,
        r#""offset":3"#,
        r#""trace_id":"0af7651916cd43dd8448eb211c80319c""#,
        r#""parent_span_id":"b7ad6b7169203331""#,
        r#""correlation_id":"orders/2/3""#,
        r#""outcome":"ack""#,
        r#""attempts":3"#,
    ] {
        assert!(closed.contains(field), "{field} in\n{closed}");
    }
}
