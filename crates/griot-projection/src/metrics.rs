//! What a slice counts. Names begin with `griot_projection_`; labels are `projection` and `slice`.

use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};

use crate::Slice;

/// The counters of one slice, looked up once.
pub(crate) struct Metrics {
    events: Counter,
    batches: Counter,
    failures: Counter,
    poison: Counter,
    repeats: Counter,
    lag_seconds: Gauge,
    parked: Gauge,
    labels: [(&'static str, String); 2],
}

impl Metrics {
    pub(crate) fn new(slice: &Slice) -> Self {
        let labels = [
            ("projection", slice.projection.to_string()),
            ("slice", slice.number.to_string()),
        ];
        Self {
            events: counter!("griot_projection_events_total", &labels),
            batches: counter!("griot_projection_batches_total", &labels),
            failures: counter!("griot_projection_failures_total", &labels),
            poison: counter!("griot_projection_poison_total", &labels),
            repeats: counter!("griot_projection_repeats_total", &labels),
            lag_seconds: gauge!("griot_projection_lag_seconds", &labels),
            parked: gauge!("griot_projection_parked_entities", &labels),
            labels,
        }
    }

    pub(crate) fn committed(&self, events: u64) {
        self.events.increment(events);
        self.batches.increment(1);
    }

    pub(crate) fn failed(&self) {
        self.failures.increment(1);
    }

    pub(crate) fn poisoned(&self) {
        self.poison.increment(1);
    }

    pub(crate) fn parked(&self, entities: usize) {
        self.parked
            .set(f64::from(u32::try_from(entities).unwrap_or(u32::MAX)));
    }

    pub(crate) fn lag(&self, events: u64, time: Duration) {
        // Not there where nobody can tell, as of topics.
        gauge!("griot_projection_lag_events", &self.labels)
            .set(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
        self.late(time);
    }

    pub(crate) fn late(&self, time: Duration) {
        self.lag_seconds.set(time.as_secs_f64());
    }

    /// So many messages came again that were handled.
    pub(crate) fn repeated(&self, messages: usize) {
        self.repeats.increment(messages as u64);
    }
}
