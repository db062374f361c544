//! What can be set about the service.

use griot::Limits;
use std::time::Duration;

/// How alarms are run. The defaults suit one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmsConfig {
    /// The limits of users in memory.
    pub limits: Limits,
    /// The group of consumers that this service is a member of: its instances share the messages.
    pub group: String,
    /// Messages of each topic that are taken in and not done, at most.
    pub in_flight_max: usize,
    /// Whether a digest that has nothing to tell is sent all the same, without alarms.
    pub send_empty_digests: bool,
    /// A digest waits for the changes that were published before it was asked for: until none of
    /// them came for so long.
    pub digest_quiet: Duration,
    /// How long a digest waits for that at most; what it misses is in the next one.
    pub digest_wait_max: Duration,
}

impl Default for AlarmsConfig {
    fn default() -> Self {
        Self {
            limits: Limits {
                // A user takes a few KiB; with all the alarms there can be, and long ids, 10 MiB.
                entities_in_memory_max: 20_000,
                passivate_after: Duration::from_mins(1),
                ..Limits::default()
            },
            group: "alarms".to_owned(),
            in_flight_max: 1_000,
            send_empty_digests: false,
            digest_quiet: Duration::from_millis(200),
            digest_wait_max: Duration::from_secs(5),
        }
    }
}
