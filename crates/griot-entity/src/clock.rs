//! What time it is.

use std::time::SystemTime;

use griot_core::Timestamp;
use tokio::time::Instant;

/// Where the runtime takes its time from.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Tokio { start: Timestamp, origin: Instant },
}

impl Clock {
    /// The machine's wall clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Tokio's own clock, counted from `start`: a test that pauses and advances it drives timers
    /// and backoffs without waiting.
    pub fn tokio(start: Timestamp) -> Self {
        Self(Source::Tokio {
            start,
            origin: Instant::now(),
        })
    }

    /// The moment it is.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => Timestamp::from_system(SystemTime::now()),
            Source::Tokio { start, origin } => start.after(origin.elapsed()),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}
