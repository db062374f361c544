//! Handling an event again.

use std::time::Duration;

use super::{Around, Next};
use crate::{Answer, Event};

/// Handles an event again where the answer is [`Answer::Retry`], after a wait that doubles and is
/// jittered, up to a number of attempts; then it is a dead letter.
///
/// It waits where it is: in the lane of the event's key, which keeps its order, while others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often it is tried, the first time included; at least once.
    pub attempts_max: u32,
    /// How long to wait after the first attempt. Half of every wait is random.
    pub wait_first: Duration,
    /// How long to wait at most.
    pub wait_max: Duration,
}

impl Default for Retries {
    /// Five attempts within some 3 seconds at most: 200 ms, 400 ms, 800 ms and 1.6 s between them.
    fn default() -> Self {
        Self {
            attempts_max: 5,
            wait_first: Duration::from_millis(200),
            wait_max: Duration::from_secs(30),
        }
    }
}

impl Around for Retries {
    async fn around<N: Next>(self, mut event: Event, next: N) -> Answer {
        let mut attempt = 1;
        loop {
            let reason = match next.clone().run(event.clone()).await {
                Answer::Retry { reason } => reason,
                answer => return answer,
            };
            if attempt >= self.attempts_max {
                let reason = format!("gave up after {attempt} attempts: {reason}");
                return Answer::DeadLetter { reason };
            }
            let wait = self.wait(attempt);
            tracing::warn!(
                topic = event.topic(),
                attempt,
                ?wait,
                reason,
                "an event is tried again"
            );
            tokio::time::sleep(wait).await;
            event = event.next_attempt();
            attempt += 1;
        }
    }
}

impl Retries {
    /// Exponential backoff with equal jitter: half of it is fixed, half is random.
    fn wait(self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.wait_first.saturating_mul(1 << doublings);
        full.min(self.wait_max).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
