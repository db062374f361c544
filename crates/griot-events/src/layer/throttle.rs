//! A limit on how many events are handled in a time.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Around, Next};
use crate::{Answer, Event};

/// Lets so many events through in a time, evenly spaced, over all routes it is put around; the others
/// wait, in the order in which they came. Inside of [`Retries`](super::Retries) every attempt counts,
/// and of a [batch](crate::Batch) every event.
#[derive(Clone, Debug)]
pub struct Throttle {
    space: Duration,
    next_free: Arc<Mutex<Instant>>,
}

impl Throttle {
    /// At most `events` in `time`.
    pub fn new(events: NonZeroU32, time: Duration) -> Self {
        Self {
            space: time / events.get(),
            next_free: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Takes the next free moment, and as many behind it as there are further events.
    fn take(&self, events: usize) -> Instant {
        let next_free = self.next_free.lock();
        let mut next_free = next_free.unwrap_or_else(PoisonError::into_inner);
        let taken = Instant::now().max(*next_free);
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        *next_free = taken + self.space.saturating_mul(events);
        taken
    }
}

impl Around for Throttle {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        tokio::time::sleep_until(self.take(event.all().len())).await;
        next.run(event).await
    }
}
