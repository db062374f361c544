//! Remembering which events were handled.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A store of the ids of events that were handled. Each consumer group needs one of its own.
pub trait Seen: Send + Sync + 'static {
    /// Why it could not be asked.
    type Error: Display + Send;

    /// Whether it remembers `id`.
    ///
    /// # Errors
    ///
    /// Where the store cannot tell; the event is then tried again.
    fn contains(&self, id: &str) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Remembers `id`, for as long as its window is.
    ///
    /// # Errors
    ///
    /// Where the store could not; a repeat is then handled again.
    fn remember(&self, id: String) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Remembers ids in memory, for a time and up to a number; then the oldest are forgotten. It knows
/// nothing of what was handled before the program started.
#[derive(Debug)]
pub struct SeenInMemory {
    ids_max: usize,
    window: Duration,
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    by_age: VecDeque<(Instant, Arc<str>)>,
    all: HashSet<Arc<str>>,
}

impl SeenInMemory {
    /// At most `ids_max` ids, each for the time `window`.
    pub fn new(ids_max: usize, window: Duration) -> Self {
        Self {
            ids_max,
            window,
            ids: Mutex::default(),
        }
    }

    /// The ids, without those that are too old.
    fn ids(&self) -> MutexGuard<'_, Ids> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while let Some((since, _)) = ids.by_age.front()
            && now.duration_since(*since) >= self.window
        {
            ids.forget_oldest();
        }
        ids
    }
}

impl Ids {
    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_front() {
            self.all.remove(&id);
        }
    }
}

impl Seen for SeenInMemory {
    type Error = Infallible;

    async fn contains(&self, id: &str) -> Result<bool, Infallible> {
        Ok(self.ids().all.contains(id))
    }

    async fn remember(&self, id: String) -> Result<(), Infallible> {
        let mut ids = self.ids();
        let id: Arc<str> = id.into();
        if ids.all.insert(Arc::clone(&id)) {
            ids.by_age.push_back((Instant::now(), id));
        }
        if ids.by_age.len() > self.ids_max {
            ids.forget_oldest();
        }
        Ok(())
    }
}
