//! One id for all that comes of one message.

use super::{Around, Next, put_header};
use crate::{Answer, Event};

/// The header with the id that a message shares with all that come of it.
pub const CORRELATION_ID: &str = "correlation-id";

/// Puts the event's [`CORRELATION_ID`] on what is published for it. Where it has none it begins a
/// new chain, with [its own id](Event::id): the same one at every attempt and redelivery.
#[derive(Clone, Copy, Debug, Default)]
pub struct Correlation;

impl Around for Correlation {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let id = event.correlation_id();
        let mut answer = next.run(event).await;
        if let Answer::Publish(publications) = &mut answer {
            for publication in publications {
                put_header(publication, CORRELATION_ID, &id);
            }
        }
        answer
    }
}

impl Event {
    /// What connects it with all that came of the same message: its header [`CORRELATION_ID`], or
    /// else [its own id](Event::id), since then the chain begins with it.
    pub fn correlation_id(&self) -> String {
        let id = self.headers().get(CORRELATION_ID);
        id.map_or_else(|| self.id(), str::to_owned)
    }
}
