//! What is counted of events.

use std::sync::Arc;
use std::time::Instant;

use metrics::{
    SharedString, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::{Around, Next};
use crate::{Answer, Event};

const EVENTS: &str = "events_total";
const EVENT_SECONDS: &str = "event_duration_seconds";
const EVENTS_IN_FLIGHT: &str = "events_in_flight";

/// Counts and times every event, as the program does its HTTP requests:
///
/// | metric | labels | |
/// | --- | --- | --- |
/// | `events_total` | `topic`, `outcome` | events answered |
/// | `event_duration_seconds` | `topic`, `outcome` | time to an answer, with all attempts inside of it |
/// | `events_in_flight` | | events that wait for an answer |
///
/// The outcome is `ack`, `publish`, `retry` or `dead_letter`. The topic is the one, or the pattern,
/// that a router has for it, and `none` where it has none: topics can be many, a label must not grow
/// with them.
#[derive(Clone, Copy, Debug)]
pub struct Metrics(());

impl Metrics {
    /// Describes the metrics to the recorder that stands ready.
    pub fn new() -> Self {
        describe_counter!(EVENTS, "Events answered, by topic and outcome");
        describe_histogram!(EVENT_SECONDS, "Time to an answer, by topic and outcome");
        describe_gauge!(EVENTS_IN_FLIGHT, "Events that wait for an answer");
        Self(())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Around for Metrics {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let topic = event.route().map(Arc::clone);
        let topic = topic.map_or(SharedString::const_str("none"), SharedString::from_shared);
        let in_flight = InFlight::enter();
        let start = Instant::now();
        let answer = next.run(event).await;
        let seconds = start.elapsed().as_secs_f64();
        drop(in_flight);
        let labels = [
            ("topic", topic),
            ("outcome", SharedString::const_str(answer.outcome())),
        ];
        counter!(EVENTS, &labels).increment(1);
        histogram!(EVENT_SECONDS, &labels).record(seconds);
        answer
    }
}

/// An event in flight, also while its consumer goes away and the future is dropped.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        gauge!(EVENTS_IN_FLIGHT).increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(EVENTS_IN_FLIGHT).decrement(1.0);
    }
}

impl Answer {
    /// Its name in metrics and spans.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Publish(_) => "publish",
            Self::Retry { .. } => "retry",
            Self::DeadLetter { .. } => "dead_letter",
        }
    }
}
