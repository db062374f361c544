//! Handling an event once only.

use std::sync::Arc;

use super::{Around, Next, Seen};
use crate::{Answer, Event};

/// Passes over an event that was handled already: its topic and [id](Event::id) are remembered once
/// the handler says [`Answer::Ack`], for as long as the store keeps them.
///
/// What is answered otherwise is not remembered: whether a publication went out is not known here,
/// and with the repeat it goes out for certain. A repeat of the same key comes after the first, and
/// so is passed over; without a key it may come beside it, and is handled. To have an effect once and
/// only once, handle the event in an entity.
#[derive(Debug)]
pub struct Deduplicate<K> {
    seen: Arc<K>,
}

impl<K: Seen> Deduplicate<K> {
    /// Remembers in `seen`.
    pub fn new(seen: K) -> Self {
        Self {
            seen: Arc::new(seen),
        }
    }
}

impl<K> Clone for Deduplicate<K> {
    fn clone(&self) -> Self {
        Self {
            seen: Arc::clone(&self.seen),
        }
    }
}

impl<K: Seen> Around for Deduplicate<K> {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        // With the topic, since a message that is passed on to another may keep its headers.
        let id = format!("{}/{}", event.topic(), event.id());
        match self.seen.contains(&id).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::debug!(id, "a repeated event is passed over");
                return Answer::Ack;
            }
            Err(error) => {
                let reason = format!("whether it was handled already is not known: {error:#}");
                return Answer::Retry { reason };
            }
        }
        let answer = next.run(event).await;
        if answer == Answer::Ack
            && let Err(error) = self.seen.remember(id).await
        {
            let reason = format!("{error:#}");
            tracing::warn!(
                reason,
                "a handled event is not remembered, a repeat will be handled"
            );
        }
        answer
    }
}
