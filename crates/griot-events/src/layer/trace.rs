//! A span around every event, in the trace that its message came in.

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::{Around, Next, TRACEPARENT, TRACESTATE, TraceContext, put_header};
use crate::{Answer, Event};

/// Puts a [span](tracing::Span) called `event` around every event: its topic, key, name and place, how
/// often it was delivered before, and at the end the outcome and the number of attempts; neither number
/// where it went well at once. Of a [batch](crate::Batch): those of its first event, and how many there
/// are.
///
/// It goes on with the trace in the headers [`TRACEPARENT`] and [`TRACESTATE`] (W3C Trace Context,
/// as OpenTelemetry writes them), or begins one, and puts both on what is published. Inside of it
/// [`TraceContext::current`] is what to send along with calls to others.
///
/// With the feature `opentelemetry`, and where `tracing-opentelemetry` collects spans, it is a span of
/// OpenTelemetry in that trace, with attributes by the conventions for messaging.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace;

impl Around for Trace {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let parent = event.headers().get(TRACEPARENT);
        let parent = parent.and_then(TraceContext::parse);
        let (span, context) = begin(&event, parent);
        let handled = next.run(event.clone());
        let handled = context.scope(handled).instrument(span.clone());
        let mut answer = handled.await;
        let outcome = answer.outcome(event.all().len());
        match event.attempts() {
            1 => tracing::record_all!(span, outcome = outcome),
            attempts => tracing::record_all!(span, outcome = outcome, attempts = attempts),
        }
        #[cfg(feature = "opentelemetry")]
        super::joined::conclude(&span, &answer, outcome);
        if let Answer::Publish(publications) = &mut answer {
            let state = parent.and(event.headers().get(TRACESTATE));
            for publication in publications {
                put_header(publication, TRACEPARENT, context);
                if let Some(state) = state {
                    put_header(publication, TRACESTATE, state);
                }
            }
        }
        answer
    }
}

/// Begins the span of an event, and says where in which trace it is.
#[cfg(not(feature = "opentelemetry"))]
fn begin(event: &Event, parent: Option<TraceContext>) -> (Span, TraceContext) {
    let context = parent.map_or_else(TraceContext::root, TraceContext::child);
    (span(event, parent, Some(context)), context)
}

/// Begins the span of an event, and says where in which trace it is: OpenTelemetry says so, where it
/// collects spans.
#[cfg(feature = "opentelemetry")]
fn begin(event: &Event, parent: Option<TraceContext>) -> (Span, TraceContext) {
    let span = span(event, parent, None);
    let context = super::joined::join(&span, event, parent);
    let own = || parent.map_or_else(TraceContext::root, TraceContext::child);
    let context = context.unwrap_or_else(own);
    tracing::record_all!(
        span,
        trace_id = debug(context.trace_id()),
        span_id = debug(context.span_id())
    );
    (span, context)
}

/// All that is known is said at once, and only what is worth a word: each costs the subscriber.
fn span(event: &Event, parent: Option<TraceContext>, context: Option<TraceContext>) -> Span {
    let (partition, offset) = event.position();
    // What stands here is evaluated only where somebody listens.
    tracing::info_span!(
        "event",
        topic = event.topic(),
        event = event.name(),
        key = event
            .key()
            .map(|key| String::from_utf8_lossy(key))
            .as_deref(),
        partition = partition.0,
        offset,
        redelivered = Some(event.redelivered()).filter(|times| *times > 0),
        events = event.is_batch().then(|| event.all().len()),
        trace_id = context.map(|context| debug(context.trace_id())),
        span_id = context.map(|context| debug(context.span_id())),
        parent_span_id = parent.map(|parent| debug(parent.span_id())),
        correlation_id = event.correlation_id(),
        outcome = Empty,
        attempts = Empty,
        otel.name = Empty,
        otel.kind = Empty,
    )
}
