//! Waiting for those who were answered: whoever is answered mostly has more to give at once.
//!
//! What they give goes with the next batch then. Otherwise two halves take turns, and each waits for the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Of the time that the last batch took, what is waited at most.
const SHARE: u32 = 16;

/// How often others have their turn at least: the shards whose batches went to the journal with this one are answered
/// at the same moment.
const TURNS_MIN: usize = 8;

/// How many were answered by all shards of a kind, and are not back. It is a guess: somebody else may come in place of
/// one who stays away.
#[derive(Debug, Default)]
pub(crate) struct Away(AtomicUsize);

impl Away {
    pub(crate) fn answered(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn came(&self, count: usize) {
        let less = |away: usize| Some(away.saturating_sub(count));
        // It gives what was there before, and never fails.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn nobody(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Nobody is waited for any more.
    fn give_up(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A shard's wait.
#[derive(Debug)]
pub(crate) struct Gathering {
    until: Instant,
    turns: usize,
}

impl Gathering {
    /// After a batch that took so long.
    pub(crate) fn after(took: Duration) -> Self {
        Self {
            until: Instant::now() + took / SHARE,
            turns: 0,
        }
    }

    /// Whether it goes on; asked once a turn.
    pub(crate) fn goes_on(&mut self, away: &Away) -> bool {
        self.turns += 1;
        if self.turns > TURNS_MIN && away.nobody() {
            return false;
        }
        let goes_on = Instant::now() < self.until;
        if !goes_on {
            away.give_up();
        }
        goes_on
    }
}
