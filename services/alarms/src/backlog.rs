//! Changes of status on their way: a digest waits for those that were published before it was asked for.
//!
//! Changes and digests come through topics of their own, which are in no order with each other. Nothing
//! is lost by that, since what a digest misses is in the next one. But whoever publishes changes and
//! then asks for a digest means those changes, also while there are many of them to be handled still.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use griot::core::Timestamp;
use tokio::time::{Instant, sleep_until};

/// What is known of the changes that reach this instance. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    state: Arc<Mutex<State>>,
    quiet: Duration,
    wait_max: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// How many changes are being handled, by when they were published.
    under_way: BTreeMap<Timestamp, usize>,
    /// Digests that wait, by when they were asked for and a number: when a change that was published
    /// before last began or ended to be handled.
    waiting: BTreeMap<(Timestamp, u64), Instant>,
    next: u64,
}

impl Backlog {
    /// Digests wait until no earlier change was under way for as long as `quiet`, and no longer than
    /// `wait_max`.
    pub(crate) fn new(quiet: Duration, wait_max: Duration) -> Self {
        Self {
            state: Arc::default(),
            quiet,
            wait_max,
        }
    }

    /// Notes that a change is being handled, until what is returned is dropped. `published_at` is
    /// what the broker says; a change of which it does not is taken for earlier than every digest.
    pub(crate) fn begin(&self, published_at: Option<Timestamp>) -> UnderWay {
        let published_at = published_at.unwrap_or(Timestamp::from_micros(i64::MIN));
        let mut state = self.state();
        state.moved(published_at);
        *state.under_way.entry(published_at).or_default() += 1;
        UnderWay {
            backlog: self.clone(),
            published_at,
        }
    }

    /// Waits until the changes that were published before `asked_at` are handled, as far as can be
    /// told.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub(crate) async fn pass(&self, asked_at: Option<Timestamp>) {
        let asked_at = asked_at.unwrap_or(Timestamp::from_micros(i64::MAX));
        let began = Instant::now();
        let place = Place::take(self, asked_at, began);
        let end = began + self.wait_max;
        loop {
            let now = Instant::now();
            let (is_busy, moved) = place.look();
            let quiet_at = moved + self.quiet;
            if now >= end || (!is_busy && now >= quiet_at) {
                return;
            }
            sleep_until(end.min(quiet_at.max(now + self.quiet / 4))).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn moved(&mut self, published_at: Timestamp) {
        let now = Instant::now();
        for (_, moved) in self.waiting.range_mut((published_at, 0)..) {
            *moved = now;
        }
    }
}

/// A change that is being handled.
#[derive(Debug)]
pub(crate) struct UnderWay {
    backlog: Backlog,
    published_at: Timestamp,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.backlog.state();
        state.moved(self.published_at);
        if let Some(count) = state.under_way.get_mut(&self.published_at) {
            *count -= 1;
            if *count == 0 {
                state.under_way.remove(&self.published_at);
            }
        }
    }
}

/// The place of a digest among those that wait.
struct Place<'a> {
    backlog: &'a Backlog,
    key: (Timestamp, u64),
}

impl<'a> Place<'a> {
    fn take(backlog: &'a Backlog, asked_at: Timestamp, moved: Instant) -> Self {
        let mut state = backlog.state();
        let key = (asked_at, state.next);
        state.next += 1;
        state.waiting.insert(key, moved);
        Self { backlog, key }
    }

    /// Whether an earlier change is under way, and when one last began or ended.
    fn look(&self) -> (bool, Instant) {
        let state = self.backlog.state();
        let (asked_at, _) = self.key;
        let is_busy = state.under_way.range(..=asked_at).next().is_some();
        let moved = state.waiting.get(&self.key).copied();
        (is_busy, moved.unwrap_or_else(Instant::now))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.backlog.state().waiting.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(200);
    const WAIT_MAX: Duration = Duration::from_secs(5);

    const ASKED: Option<Timestamp> = Some(Timestamp::from_micros(10));
    const EARLIER: Option<Timestamp> = Some(Timestamp::from_micros(9));
    const LATER: Option<Timestamp> = Some(Timestamp::from_micros(11));

    fn backlog() -> Backlog {
        Backlog::new(QUIET, WAIT_MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn a_digest_waits_for_a_quiet_moment_only_where_nothing_is_under_way() {
        let began = Instant::now();
        backlog().pass(ASKED).await;
        let waited = began.elapsed();
        assert!(waited >= QUIET && waited < 2 * QUIET, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_digest_waits_for_changes_that_were_published_before_it_and_for_no_others() {
        let backlog = backlog();
        let earlier = backlog.begin(EARLIER);
        let _later = backlog.begin(LATER);
        let mut passing = Box::pin(backlog.pass(ASKED));
        let waited = tokio::time::timeout(Duration::from_secs(1), &mut passing).await;
        assert!(waited.is_err(), "it is under way");
        drop(earlier);
        let began = Instant::now();
        passing.await;
        assert!(began.elapsed() <= QUIET + QUIET / 4);
        let state = backlog.state();
        assert!(state.waiting.is_empty() && state.under_way.len() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_digest_waits_while_earlier_changes_keep_coming() {
        let backlog = backlog();
        let mut passing = Box::pin(backlog.pass(ASKED));
        for _ in 0..10 {
            drop(backlog.begin(EARLIER));
            let waited = tokio::time::timeout(QUIET / 2, &mut passing).await;
            assert!(waited.is_err(), "an earlier one has just come");
        }
        passing.await;
    }

    #[tokio::test(start_paused = true)]
    async fn g10_a_digest_waits_no_longer_than_it_may() {
        let backlog = backlog();
        let _stuck = backlog.begin(None);
        let began = Instant::now();
        backlog.pass(ASKED).await;
        assert_eq!(began.elapsed(), WAIT_MAX);
    }
}
