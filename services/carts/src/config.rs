//! What can be set about the service.

use griot::Limits;
use std::time::Duration;

/// How carts are run. The defaults suit one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CartsConfig {
    /// The limits of carts in memory.
    pub limits: Limits,
    /// Where another instance keeps the table of items: for how long it must not have moved, though there is more to
    /// show, before this one takes it over.
    pub take_over_after: Duration,
}

impl Default for CartsConfig {
    fn default() -> Self {
        Self {
            limits: Limits {
                // A cart takes a few KiB; a full one, with long names, 1 MiB.
                entities_in_memory_max: 20_000,
                passivate_after: Duration::from_mins(1),
                ..Limits::default()
            },
            take_over_after: Duration::from_secs(10),
        }
    }
}
