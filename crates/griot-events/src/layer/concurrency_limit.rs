//! A limit on how many events are handled at a time.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Around, Next};
use crate::{Answer, Event};

/// Lets so many events in at a time, over all routes it is put around; the others wait, in the order
/// in which they came. One that waits to be tried again inside of it counts.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    free: Arc<Semaphore>,
}

impl ConcurrencyLimit {
    /// At most `max` events at a time; at least one.
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(max)),
        }
    }
}

impl Around for ConcurrencyLimit {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        // It cannot fail: nobody closes the semaphore.
        let _permit = self.free.acquire().await;
        next.run(event).await
    }
}
