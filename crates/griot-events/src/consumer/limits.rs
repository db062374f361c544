//! Every limit of a consumer, with its name.

use std::time::Duration;

use griot_actor::Backoff;

/// The limits of one consumer. How many messages are in flight is the subscription's
/// [`in_flight_max`](crate::Subscription::in_flight_max): at that many it asks for no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerLimits {
    /// Handlers that run at a time. One that waits to be tried again does not count.
    pub handlers_max: usize,
    /// Panics of one message's handler, at which it becomes a dead letter.
    pub panics_max: u32,
    /// Attempts at a [batch](crate::Batch) that is to be handled again, after which it falls apart: its
    /// messages are handled one by one.
    pub batch_attempts_max: u32,
    /// The wait before a message is handled again, before its publications are given to the broker
    /// again, and before a source that failed is asked again.
    pub backoff: Backoff,
    /// How long handlers of partitions that go to another member may take to finish.
    pub release_within: Duration,
}

impl Default for ConsumerLimits {
    fn default() -> Self {
        Self {
            handlers_max: 256,
            panics_max: 5,
            batch_attempts_max: 5,
            backoff: Backoff::default(),
            release_within: Duration::from_secs(20),
        }
    }
}

impl ConsumerLimits {
    /// Whether nothing could be handled under them.
    pub(super) fn has_zero(&self) -> bool {
        self.handlers_max == 0 || self.panics_max == 0 || self.batch_attempts_max == 0
    }
}
