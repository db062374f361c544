//! Waiting for those who were answered: whoever is answered mostly has more to give at once.
//!
//! What they give goes with the next batch then. Otherwise two halves take turns, and each waits for the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Of the time that the last batch took, what is waited at most.
const SHARE: u32 = 16;

/// However slow the journal is, since the wait keeps a processor busy.
const WAIT_MAX: Duration = Duration::from_micros(500);

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
            until: Instant::now() + WAIT_MAX.min(took / SHARE),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A wait that ends for no other reason than the one looked at.
    fn long() -> Gathering {
        Gathering {
            until: Instant::now() + Duration::from_hours(1),
            turns: 0,
        }
    }

    #[test]
    fn a_wait_goes_on_until_as_many_came_as_were_answered() {
        let away = Away::default();
        away.answered(2);
        let mut gathering = long();
        away.came(1);
        for _ in 0..1_000 {
            assert!(gathering.goes_on(&away));
        }
        away.came(1);
        assert!(!gathering.goes_on(&away));
    }

    #[test]
    fn others_have_their_turn_though_nobody_is_away() {
        let away = Away::default();
        let mut gathering = long();
        for _ in 0..TURNS_MIN {
            assert!(gathering.goes_on(&away));
        }
        assert!(!gathering.goes_on(&away));
    }

    #[test]
    fn who_stays_away_is_waited_for_once_and_for_a_share_of_the_time() {
        let away = Away::default();
        away.answered(3);
        assert!(!Gathering::after(Duration::ZERO).goes_on(&away));
        assert!(away.nobody());
        let longest = Gathering::after(Duration::from_secs(30)).until;
        assert!(longest <= Instant::now() + WAIT_MAX);
    }

    #[test]
    fn more_may_come_than_were_answered() {
        let away = Away::default();
        away.came(5);
        away.answered(1);
        assert!(!away.nobody());
    }
}
