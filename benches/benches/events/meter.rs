//! What every handler counts with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;

use crate::sample::Order;

/// Counts the messages that were handled, and knows when the first and the last of them was.
#[derive(Debug)]
pub struct Meter {
    expected: u64,
    handled: AtomicU64,
    first: OnceLock<Instant>,
    last: OnceLock<Instant>,
    begun: Notify,
    done: Notify,
    ages: Option<Mutex<Histogram<u64>>>,
}

impl Meter {
    pub fn new(expected: u64) -> Self {
        Self {
            expected,
            handled: AtomicU64::new(0),
            first: OnceLock::new(),
            last: OnceLock::new(),
            begun: Notify::new(),
            done: Notify::new(),
            ages: None,
        }
    }

    /// One that also keeps how old each message but the first was when it was handled.
    pub fn of_ages(expected: u64) -> Self {
        Self {
            ages: Some(Mutex::new(microseconds())),
            ..Self::new(expected)
        }
    }

    /// A message was handled.
    pub fn handled(&self, order: &Order) {
        let before = self.handled.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            self.first.get_or_init(Instant::now);
            self.begun.notify_one();
        } else if let Some(ages) = &self.ages {
            record(&mut ages.lock().unwrap(), order.age());
        }
        if before + 1 == self.expected {
            self.last.get_or_init(Instant::now);
            self.done.notify_one();
        }
    }

    /// Waits until the first was handled.
    pub async fn begun(&self) {
        self.until(&self.begun).await;
    }

    /// Waits until as many as are expected were handled.
    pub async fn done(&self) {
        self.until(&self.done).await;
    }

    async fn until(&self, told: &Notify) {
        let done = tokio::time::timeout(Duration::from_mins(2), told.notified());
        let handled = || self.handled.load(Ordering::Relaxed);
        assert!(done.await.is_ok(), "stuck after {} messages", handled());
    }

    /// Messages handled per second, from the first to the last.
    pub fn rate(&self) -> f64 {
        let (first, last) = (self.first.get().unwrap(), self.last.get().unwrap());
        (self.expected - 1) as f64 / (*last - *first).as_secs_f64()
    }

    /// The age that 99 of 100 messages did not exceed, in milliseconds.
    pub fn age_p99(&self) -> f64 {
        p99(&self.ages.as_ref().unwrap().lock().unwrap())
    }
}

/// An empty histogram of microseconds.
pub fn microseconds() -> Histogram<u64> {
    Histogram::new(3).unwrap()
}

pub fn record(histogram: &mut Histogram<u64>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap();
    histogram.record(micros.max(1)).unwrap();
}

/// In milliseconds.
pub fn p99(histogram: &Histogram<u64>) -> f64 {
    histogram.value_at_quantile(0.99) as f64 / 1_000.0
}

/// So that a handler can be given one as its state.
pub type Shared = Arc<Meter>;
