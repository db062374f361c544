//! What a consumer counts. Names begin with `griot_consumer_`; the label `group` is its group.

use metrics::{Counter, Gauge, counter, gauge};

/// What became of a message in this consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Acked,
    Published,
    DeadLettered,
    GivenBack,
    /// The broker did not hear of it: it gives the message again.
    Unheard,
}

/// The counters of one consumer, looked up once.
pub(super) struct Metrics {
    acked: Counter,
    published: Counter,
    dead_lettered: Counter,
    given_back: Counter,
    unheard: Counter,
    in_flight: Gauge,
    redelivered: Counter,
    retried: Counter,
    panicked: Counter,
    source_failures: Counter,
    batches: Counter,
    batches_apart: Counter,
}

impl Metrics {
    pub(super) fn new(group: &str) -> Self {
        let settled = |outcome: &'static str| counter!("griot_consumer_settled_total", "group" => group.to_owned(), "outcome" => outcome);
        let count = |name: &'static str| counter!(name, "group" => group.to_owned());
        let batches = |outcome: &'static str| counter!("griot_consumer_batches_total", "group" => group.to_owned(), "outcome" => outcome);
        Self {
            acked: settled("acked"),
            published: settled("published"),
            dead_lettered: settled("dead_lettered"),
            given_back: settled("given_back"),
            unheard: settled("unheard"),
            in_flight: gauge!("griot_consumer_in_flight", "group" => group.to_owned()),
            redelivered: count("griot_consumer_redelivered_total"),
            retried: count("griot_consumer_retries_total"),
            panicked: count("griot_consumer_panics_total"),
            source_failures: count("griot_consumer_source_failures_total"),
            batches: batches("whole"),
            batches_apart: batches("apart"),
        }
    }

    pub(super) fn settled(&self, settled: Settled) {
        match settled {
            Settled::Acked => self.acked.increment(1),
            Settled::Published => self.published.increment(1),
            Settled::DeadLettered => self.dead_lettered.increment(1),
            Settled::GivenBack => self.given_back.increment(1),
            Settled::Unheard => self.unheard.increment(1),
        }
    }

    pub(super) fn in_flight(&self, count: usize) {
        self.in_flight
            .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }

    pub(super) fn redelivered(&self) {
        self.redelivered.increment(1);
    }

    pub(super) fn retried(&self) {
        self.retried.increment(1);
    }

    pub(super) fn panicked(&self) {
        self.panicked.increment(1);
    }

    pub(super) fn source_failed(&self) {
        self.source_failures.increment(1);
    }

    pub(super) fn batch_settled(&self) {
        self.batches.increment(1);
    }

    pub(super) fn batch_fell_apart(&self) {
        self.batches_apart.increment(1);
    }
}
