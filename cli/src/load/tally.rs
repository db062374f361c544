//! The figures of a load: what became of the orders and how long they took.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::placing::{Placed, Stand};

/// Latencies are kept in microseconds, up to an hour, with this many significant digits.
const DIGITS: u8 = 3;

/// The longest latency that is told from longer ones.
const MICROS_MAX: u64 = 3_600_000_000;

/// A tally that many clients add to.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Tally>);

impl Shared {
    pub(super) fn new(tally: Tally) -> Self {
        Self(Mutex::new(tally))
    }

    /// Adding never leaves a tally half changed, so a client that panicked spoils nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of the orders.
#[derive(Debug)]
pub(super) struct Tally {
    wait: Duration,
    start: Instant,
    last_answer: Instant,
    latencies: Histogram<u64>,
    acknowledged: u64,
    retries: u64,
    states: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    pending: Vec<String>,
}

impl Tally {
    /// An empty tally of orders that are asked for with `Prefer: wait` of that length.
    pub(super) fn new(wait: Duration) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "3 digits are within the library's 0 to 5"
        )]
        let latencies = Histogram::new_with_max(MICROS_MAX, DIGITS).expect("an hour with 3 digits");
        let now = Instant::now();
        Self {
            wait,
            start: now,
            last_answer: now,
            latencies,
            acknowledged: 0,
            retries: 0,
            states: BTreeMap::new(),
            errors: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    /// The first request is about to be sent.
    pub(super) fn start(&mut self, now: Instant) {
        self.start = now;
        self.last_answer = now;
    }

    /// Counts one order in.
    pub(super) fn add(&mut self, placed: Placed) {
        self.last_answer = Instant::now();
        self.retries += placed.retries;
        match placed.answer {
            Ok((id, stand)) => {
                self.acknowledged += 1;
                self.latencies.saturating_record(
                    u64::try_from(placed.latency.as_micros()).unwrap_or(u64::MAX),
                );
                match stand {
                    Stand::Ended(state) => self.ended(state),
                    Stand::Underway(_) => self.pending.push(id),
                }
            }
            Err(reason) => *self.errors.entry(reason).or_default() += 1,
        }
    }

    /// An acknowledged order has ended in `state`.
    pub(super) fn ended(&mut self, state: String) {
        *self.states.entry(state).or_default() += 1;
    }

    /// The acknowledged orders that have not ended.
    pub(super) fn pending(&self) -> Vec<String> {
        self.pending.clone()
    }

    /// Only these acknowledged orders have not ended.
    pub(super) fn still_pending(&mut self, pending: Vec<String>) {
        self.pending = pending;
    }

    /// The orders that nobody acknowledged.
    pub(super) fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// From the first request to the last answer.
    pub(super) fn elapsed(&self) -> Duration {
        self.last_answer - self.start
    }

    /// Rate and latencies so far, for the bar.
    pub(super) fn in_short(&self) -> String {
        format!(
            "{:.0}/s, p50 {}, p99 {}",
            self.rate(),
            self.quantile(0.5),
            self.quantile(0.99)
        )
    }

    /// How many acknowledged orders have not ended, and one to look at.
    pub(super) fn unended(&self) -> Option<String> {
        let id = self.pending.first()?;
        Some(format!(
            "{} acknowledged orders did not end, among them {id}",
            self.pending.len()
        ))
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    fn rate(&self) -> f64 {
        let seconds = self.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.acknowledged as f64 / seconds
        } else {
            0.0
        }
    }

    fn quantile(&self, quantile: f64) -> String {
        milliseconds(self.latencies.value_at_quantile(quantile))
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn Display| writeln!(f, "{name:<28}{value:>14}");
        let completed = self.states.get("completed").copied().unwrap_or_default();
        row("acknowledged", &self.acknowledged)?;
        row("completed", &completed)?;
        for (state, count) in self
            .states
            .iter()
            .filter(|(state, _)| *state != "completed")
        {
            row(state, count)?;
        }
        row("not ended", &self.pending.len())?;
        row("errors", &self.errors())?;
        for (reason, count) in &self.errors {
            row(&format!("  {reason}"), count)?;
        }
        row("sent again", &self.retries)?;
        row(
            "first request to last answer",
            &format!("{:.3} s", self.elapsed().as_secs_f64()),
        )?;
        row("rate", &format!("{:.0} /s", self.rate()))?;
        let what = if self.wait.as_secs() == 0 {
            "to the 202"
        } else {
            "to the end"
        };
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            row(&format!("{name} {what}"), &self.quantile(quantile))?;
        }
        row(&format!("max {what}"), &milliseconds(self.latencies.max()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a latency for people to read")]
fn milliseconds(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}
