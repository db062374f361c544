//! What brokers over a server have in common, for those who write an [adapter](crate::Broker); whoever uses
//! a broker needs none of it.

mod bell;
mod gate;
mod shelf;

pub use bell::Bell;
pub use gate::{Gate, Stay};
pub use shelf::Shelf;

use crate::{BrokerError, Subscription};

/// The topics of a subscription, each once.
///
/// # Errors
///
/// [`BrokerError::Refused`] where nothing could ever come.
pub fn topics_of(subscription: &Subscription) -> Result<Vec<String>, BrokerError> {
    if subscription.topics.is_empty() || subscription.in_flight_max == 0 {
        return Err(BrokerError::Refused {
            what: "the subscription",
            reason: "name at least one topic, and let at least one message be in flight".to_owned(),
        });
    }
    let mut topics = subscription.topics.clone();
    topics.sort();
    topics.dedup();
    Ok(topics)
}
