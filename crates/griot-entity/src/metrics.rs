//! What a kind of entity counts. Names begin with `griot_`; the label `kind` is the entities' kind.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, gauge, histogram};

use crate::error::Failure;

/// The counters of one kind, looked up once.
pub(crate) struct Metrics {
    kind: &'static str,
    answered: Counter,
    busy: Counter,
    failed: Counter,
    batch_appends: Histogram,
    append_failures: Counter,
    panics: Counter,
    recoveries: Histogram,
    recovery_failures: Counter,
    passivated: Counter,
}

impl Metrics {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            answered: counter!("griot_commands_answered_total", "kind" => kind),
            busy: counter!("griot_commands_busy_total", "kind" => kind),
            failed: counter!("griot_commands_failed_total", "kind" => kind),
            batch_appends: histogram!("griot_batch_appends", "kind" => kind),
            append_failures: counter!("griot_append_failures_total", "kind" => kind),
            panics: counter!("griot_entity_panics_total", "kind" => kind),
            recoveries: histogram!("griot_recovery_seconds", "kind" => kind),
            recovery_failures: counter!("griot_recovery_failures_total", "kind" => kind),
            passivated: counter!("griot_entities_passivated_total", "kind" => kind),
        }
    }

    pub(crate) fn answered(&self, count: usize) {
        self.answered
            .increment(count.try_into().unwrap_or(u64::MAX));
    }

    pub(crate) fn turned_away(&self, failure: Failure) {
        match failure {
            Failure::Busy => self.busy.increment(1),
            _ => self.failed.increment(1),
        }
    }

    pub(crate) fn batch_appends(&self, count: usize) {
        self.batch_appends
            .record(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }

    pub(crate) fn append_failed(&self) {
        self.append_failures.increment(1);
    }

    pub(crate) fn panicked(&self) {
        self.panics.increment(1);
    }

    pub(crate) fn recovered(&self, took: Duration) {
        self.recoveries.record(took.as_secs_f64());
    }

    pub(crate) fn recovery_failed(&self) {
        self.recovery_failures.increment(1);
    }

    pub(crate) fn passivated(&self, count: usize) {
        self.passivated
            .increment(count.try_into().unwrap_or(u64::MAX));
    }

    pub(crate) fn in_memory(&self, shard: u32, count: usize) {
        gauge!("griot_entities_in_memory", "kind" => self.kind, "shard" => shard.to_string())
            .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }
}
