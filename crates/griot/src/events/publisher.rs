//! What entities publish, on its way to a broker.

use std::sync::Arc;

use griot_entity::{Publish, PublishError};
use griot_events::{Broker, MESSAGE_ID};

/// Takes what entities publish to `broker`, for
/// [`GriotBuilder::publisher`](crate::GriotBuilder::publisher): in order for each entity, until the
/// broker has it durably. The effect's own name is the message's id ([`MESSAGE_ID`]), unless the
/// entity gave it one, so that a broker that knows ids stores it once.
pub fn publisher(broker: Arc<dyn Broker>) -> Publish {
    Arc::new(move |id, mut publication| {
        let broker = Arc::clone(&broker);
        let mut headers = publication.headers.iter();
        if !headers.any(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_ID)) {
            publication.headers.push((MESSAGE_ID.to_owned(), id));
        }
        Box::pin(async move {
            let mut outcomes = broker.publish(vec![publication]).await;
            match outcomes.pop() {
                Some(Ok(())) => Ok(()),
                Some(Err(error)) => Err(PublishError(error.in_full())),
                None => Err(PublishError("the broker gave no answer".to_owned())),
            }
        })
    })
}
