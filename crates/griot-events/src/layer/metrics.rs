//! What is counted of events.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use metrics::{
    Counter, Gauge, Histogram, SharedString, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
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
/// The outcome is `ack`, `publish`, `retry` or `dead_letter`, and `apart` of a [batch](crate::Batch)
/// that falls apart: its events are counted again, each with its own. A batch counts as its events, and
/// has one time. The topic is the one, or the pattern,
/// that a router has for it, and `none` where it has none: topics can be many, a label must not grow
/// with them.
///
/// They go to the recorder that stands ready when the first event comes.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
}

/// The series, looked up at the recorder once each.
#[derive(Debug)]
struct Shared {
    in_flight: OnceLock<Gauge>,
    /// As many as a router has patterns.
    by_topic: RwLock<HashMap<Arc<str>, Arc<Series>>>,
    /// Of events that no router has a pattern for.
    of_none: Series,
}

/// The series of a topic, by outcome.
#[derive(Debug)]
struct Series {
    topic: Arc<str>,
    outcomes: [OnceLock<(Counter, Histogram)>; 5],
}

impl Metrics {
    /// Describes the metrics to the recorder that stands ready.
    pub fn new() -> Self {
        describe_counter!(EVENTS, "Events answered, by topic and outcome");
        describe_histogram!(EVENT_SECONDS, "Time to an answer, by topic and outcome");
        describe_gauge!(EVENTS_IN_FLIGHT, "Events that wait for an answer");
        let shared = Arc::new(Shared {
            in_flight: OnceLock::new(),
            by_topic: RwLock::default(),
            of_none: Series::new("none".into()),
        });
        Self { shared }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Around for Metrics {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let route = event.route().map(Arc::clone);
        let events = event.all().len();
        let in_flight = self.shared.enter(events);
        let start = Instant::now();
        let answer = next.run(event).await;
        let took = start.elapsed();
        drop(in_flight);
        match route {
            Some(topic) => self.shared.series(&topic).record(&answer, events, took),
            None => self.shared.of_none.record(&answer, events, took),
        }
        answer
    }
}

impl Shared {
    fn enter(&self, events: usize) -> InFlight {
        let gauge = self.in_flight.get_or_init(|| gauge!(EVENTS_IN_FLIGHT));
        let events = f64::from(u32::try_from(events).unwrap_or(u32::MAX));
        gauge.increment(events);
        InFlight(gauge.clone(), events)
    }

    fn series(&self, topic: &Arc<str>) -> Arc<Series> {
        let known = self.by_topic.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(topic) {
            return Arc::clone(series);
        }
        drop(known);
        let all = self.by_topic.write();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        let series = all.entry(Arc::clone(topic));
        Arc::clone(series.or_insert_with(|| Arc::new(Series::new(Arc::clone(topic)))))
    }
}

impl Series {
    fn new(topic: Arc<str>) -> Self {
        Self {
            topic,
            outcomes: Default::default(),
        }
    }

    fn record(&self, answer: &Answer, events: usize, took: Duration) {
        let [ack, publish, retry, dead_letter, apart] = &self.outcomes;
        let series = match answer {
            Answer::Ack => ack,
            Answer::Publish(_) => publish,
            Answer::Retry { .. } => retry,
            Answer::DeadLetter { .. } if events > 1 => apart,
            Answer::DeadLetter { .. } => dead_letter,
        };
        let (count, seconds) = series.get_or_init(|| {
            let labels = [
                ("topic", SharedString::from_shared(Arc::clone(&self.topic))),
                ("outcome", SharedString::const_str(answer.outcome(events))),
            ];
            (
                counter!(EVENTS, &labels),
                histogram!(EVENT_SECONDS, &labels),
            )
        });
        count.increment(u64::try_from(events).unwrap_or(u64::MAX));
        seconds.record(took.as_secs_f64());
    }
}

/// So many events in flight, also while their consumer goes away and the future is dropped.
struct InFlight(Gauge, f64);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(self.1);
    }
}

impl Answer {
    /// Its name in metrics and spans, where it is one to so many events.
    pub(super) fn outcome(&self, events: usize) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Publish(_) => "publish",
            Self::Retry { .. } => "retry",
            Self::DeadLetter { .. } if events > 1 => "apart",
            Self::DeadLetter { .. } => "dead_letter",
        }
    }
}
