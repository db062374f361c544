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
    /// Messages that are taken in and not done, at most.
    pub in_flight_max: usize,
    /// Whether a digest that has nothing to tell is sent all the same, without alarms.
    pub send_empty_digests: bool,
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
        }
    }
}
