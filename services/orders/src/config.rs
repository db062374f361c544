//! What can be set about the service.

use griot::{CallPolicy, Limits};
use std::time::Duration;

/// How orders are run. The defaults suit one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersConfig {
    /// The limits of orders in memory and under way.
    pub limits: Limits,
    /// How each kind of call to a backend is made and retried, and when it is given up and the
    /// order needs attention.
    pub calls: CallPolicy,
    /// Where another instance keeps the list: for how long it must not have moved, though there is more to show,
    /// before this one takes it over.
    pub take_over_after: Duration,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        Self {
            limits: Limits {
                // An order in memory takes a few KiB, and a finished one is seldom asked for.
                entities_in_memory_max: 20_000,
                passivate_after: Duration::from_mins(1),
                // Some ten thousand orders under way; more are answered `Busy`.
                effects_max: 50_000,
                ..Limits::default()
            },
            calls: CallPolicy {
                concurrency_max: 1_024,
                ..CallPolicy::default()
            },
            take_over_after: Duration::from_secs(10),
        }
    }
}
