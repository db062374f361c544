//! What can go wrong when the service is set up.

use griot::events::BrokerError;

/// Why the alarms service cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlarmsError {
    /// The broker cannot be subscribed to.
    #[error("the messages about alarms cannot be had: {0}")]
    Broker(#[from] BrokerError),
}
