//! The span of an event in the traces of OpenTelemetry.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{TRACESTATE, TraceContext};
use crate::{Answer, Event, Partition};

/// What a span is called that OpenTelemetry collects: names of the
/// [messaging conventions](https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).
const OPERATION: &str = "process";

/// Puts the span of `event` into the trace that its message came in, behind `parent`; says where that
/// is. `None` where nobody collects spans for OpenTelemetry.
pub(super) fn join(
    span: &Span,
    event: &Event,
    parent: Option<TraceContext>,
) -> Option<TraceContext> {
    let sent = parent.map(|parent| Context::new().with_remote_span_context(remote(parent, event)));
    span.set_parent(sent.unwrap_or_default()).ok()?;
    let route = event.route().map_or(event.topic(), |route| &**route);
    tracing::record_all!(
        span,
        otel.name = format!("{OPERATION} {route}"),
        otel.kind = "consumer"
    );
    span.set_attribute("messaging.operation.name", OPERATION);
    span.set_attribute("messaging.operation.type", OPERATION);
    span.set_attribute("messaging.destination.name", event.topic().to_owned());
    span.set_attribute("messaging.message.id", event.id());
    let (Partition(partition), _) = event.position();
    span.set_attribute("messaging.destination.partition.id", partition.to_string());
    let batch = event.all().len();
    if batch > 1 {
        let batch = i64::try_from(batch).unwrap_or(i64::MAX);
        span.set_attribute("messaging.batch.message_count", batch);
    }
    here(span)
}

/// Notes what became of the event, where that is no success.
pub(super) fn conclude(span: &Span, answer: &Answer, outcome: &'static str) {
    if !matches!(answer, Answer::Ack | Answer::Publish(_)) {
        span.set_attribute("error.type", outcome);
        span.set_status(Status::error(outcome));
    }
}

/// Where OpenTelemetry has `span` in which trace.
pub(super) fn here(span: &Span) -> Option<TraceContext> {
    let context = span.context();
    let span = context.span();
    let place = span.span_context();
    place.is_valid().then(|| TraceContext {
        trace: u128::from_be_bytes(place.trace_id().to_bytes()),
        span: u64::from_be_bytes(place.span_id().to_bytes()),
        flags: place.trace_flags().to_u8(),
    })
}

/// The place in a trace where the message of `event` was sent.
fn remote(parent: TraceContext, event: &Event) -> SpanContext {
    let state = event.headers().get(TRACESTATE);
    let state = state.and_then(|state| state.parse::<TraceState>().ok());
    SpanContext::new(
        TraceId::from(parent.trace),
        SpanId::from(parent.span),
        TraceFlags::new(parent.flags),
        true,
        state.unwrap_or_default(),
    )
}
