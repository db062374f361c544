//! For tests: a clock that stands still until it is moved.

use std::time::Duration;

/// Stops the time of the current runtime, for every deadline, timer and backoff of every actor.
///
/// While nothing else is left to run, the clock moves by itself to the next timer, so that a test of
/// an hour takes no time; [`TestClock::advance`] moves it by hand. Needs the `test-clock` feature and
/// a current-thread runtime, such as that of `#[tokio::test]`.
#[derive(Debug)]
pub struct TestClock(());

impl TestClock {
    /// Stops the clock.
    ///
    /// # Panics
    ///
    /// If it is stopped already, or on another kind of runtime.
    pub fn stop() -> Self {
        tokio::time::pause();
        Self(())
    }

    /// Moves the clock and lets what is due happen.
    ///
    /// # Cancel safety
    ///
    /// The clock has moved when this was polled once.
    pub async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}
