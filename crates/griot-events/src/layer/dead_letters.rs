//! Where events go that nobody could handle.

use super::{Around, Next};
use crate::router::is_dead;
use crate::{Answer, Event, Partition, dead_letter};

/// The last word of a topic of dead letters: those of `orders` go to `orders.dead`.
pub const DEAD: &str = "dead";

/// Publishes a message that is a [dead letter](Answer::DeadLetter) to the topic `{topic}.dead`, with
/// its payload, its key and all of its headers. The cause stands in further headers:
///
/// | header | value |
/// | --- | --- |
/// | `dead-letter-reason` | why |
/// | `dead-letter-attempts` | how often it was tried within its last delivery |
/// | `dead-letter-redelivered` | how often it had been delivered before |
/// | `dead-letter-topic`, `dead-letter-partition`, `dead-letter-offset` | where it lay |
/// | `dead-letter-message-id` | its [`MESSAGE_ID`](crate::MESSAGE_ID), where it had one |
/// | [`MESSAGE_ID`](crate::MESSAGE_ID) | `dead/` and its id: its own would have a broker that drops repeated messages drop the dead letter |
///
/// A [batch](crate::Batch) makes none: its answer goes on to the consumer, which handles each of its
/// events by itself.
///
/// The event is acknowledged once the broker has the dead letter durably. A dead letter that cannot be
/// handled stays where it is: the answer is [`Answer::Retry`], and its key waits. A publication is text but
/// for its payload: a key or a header that is not goes out as hexadecimal digits, the header under
/// its name and `-hex`, the key marked by the header `dead-letter-key` with the value `hex`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLetters;

impl Around for DeadLetters {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        match next.run(event.clone()).await {
            Answer::DeadLetter { reason } if event.is_batch() => Answer::DeadLetter { reason },
            // Topics of the dead letters of dead letters would have no end.
            Answer::DeadLetter { reason } if is_dead(event.topic()) => Answer::Retry { reason },
            Answer::DeadLetter { reason } => {
                let (Partition(partition), offset) = event.position();
                let topic = event.topic();
                tracing::error!(
                    topic,
                    partition,
                    offset,
                    reason,
                    "an event is a dead letter"
                );
                Answer::Publish(vec![dead_letter(&event, &reason)])
            }
            answer => answer,
        }
    }
}
