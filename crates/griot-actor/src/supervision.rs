//! What happens when an actor fails: wait, make it anew, and know when to give up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// When and how often a failed actor is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supervision {
    /// At most this many restarts within `within`; one more failure and it has failed for good.
    pub restarts_max: u32,
    /// The span of time over which restarts are counted.
    pub within: Duration,
    /// The wait before each restart.
    pub backoff: Backoff,
    /// What follows when it has failed for good.
    pub at_limit: AtLimit,
}

impl Default for Supervision {
    /// Ten restarts a minute, then escalate.
    fn default() -> Self {
        Self {
            restarts_max: 10,
            within: Duration::from_mins(1),
            backoff: Backoff::default(),
            at_limit: AtLimit::Escalate,
        }
    }
}

impl Supervision {
    /// The first failure is final.
    pub const NEVER_RESTART: Self = Self {
        restarts_max: 0,
        within: Duration::MAX,
        backoff: Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
        },
        at_limit: AtLimit::Escalate,
    };
}

/// What follows when an actor has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtLimit {
    /// Only this actor ends.
    End,
    /// The parent fails too, and is restarted or given up by its own supervision. Without a parent,
    /// the same as [`AtLimit::End`].
    Escalate,
}

/// A wait that doubles from `first` up to `max`, of which a random half to whole is waited, so that
/// those who failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first restart.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Backoff {
    /// From 10 ms to 10 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            max: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The wait before restart number `restart`, counted from 0.
    pub fn delay(&self, restart: u32) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(restart));
        doubled.min(self.max).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// The restarts of one actor that still count.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    recent: VecDeque<Instant>,
}

impl Restarts {
    /// The wait before the next restart, or `None` if there were too many.
    pub(crate) fn next(&mut self, supervision: &Supervision) -> Option<Duration> {
        let now = Instant::now();
        while self
            .recent
            .front()
            .is_some_and(|at| now.duration_since(*at) > supervision.within)
        {
            self.recent.pop_front();
        }
        let restart = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if restart >= supervision.restarts_max {
            return None;
        }
        self.recent.push_back(now);
        Some(supervision.backoff.delay(restart))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_up_to_its_limit_and_is_jittered() {
        let backoff = Backoff {
            first: Duration::from_millis(10),
            max: Duration::from_millis(50),
        };
        for (restart, whole_ms) in [(0, 10), (1, 20), (2, 40), (3, 50), (40, 50), (u32::MAX, 50)] {
            let whole = Duration::from_millis(whole_ms);
            let delays: Vec<_> = (0..100).map(|_| backoff.delay(restart)).collect();
            assert!(
                delays
                    .iter()
                    .all(|delay| *delay >= whole / 2 && *delay <= whole)
            );
            assert!(
                delays.iter().any(|delay| *delay != delays[0]),
                "all the same: no jitter"
            );
        }
    }
}
