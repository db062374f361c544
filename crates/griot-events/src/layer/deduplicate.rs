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

impl<K: Seen> Deduplicate<K> {
    /// Those of the events that are not known to be handled, with their ids; or why that is not known.
    async fn new_ones(&self, events: &[Event]) -> Result<Vec<(Event, String)>, K::Error> {
        let mut new_ones = Vec::with_capacity(events.len());
        for event in events {
            // With the topic, since a message that is passed on to another may keep its headers.
            let id = format!("{}/{}", event.topic(), event.id());
            if self.seen.contains(&id).await? {
                tracing::debug!(id, "a repeated event is passed over");
            } else {
                new_ones.push((event.clone(), id));
            }
        }
        Ok(new_ones)
    }
}

impl<K: Seen> Around for Deduplicate<K> {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let new_ones = match self.new_ones(event.all()).await {
            Ok(new_ones) => new_ones,
            Err(error) => {
                let reason = format!("whether it was handled already is not known: {error:#}");
                return Answer::Retry { reason };
            }
        };
        let (events, ids): (Vec<_>, Vec<_>) = new_ones.into_iter().unzip();
        let Some(event) = Event::batch(events) else {
            return Answer::Ack;
        };
        let answer = next.run(event).await;
        if answer != Answer::Ack {
            return answer;
        }
        for id in ids {
            if let Err(error) = self.seen.remember(id).await {
                let reason = format!("{error:#}");
                tracing::warn!(
                    reason,
                    "a handled event is not remembered, a repeat will be handled"
                );
            }
        }
        answer
    }
}
