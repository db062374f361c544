//! Where events go that nobody could handle.

use std::fmt::Write;

use griot_core::Publication;

use super::{Around, Next};
use crate::router::is_dead;
use crate::{Answer, Event, MESSAGE_ID, Partition};

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
/// | `dead-letter-message-id` | its [`MESSAGE_ID`], where it had one |
/// | [`MESSAGE_ID`] | `dead/` and its id: its own would have a broker that drops repeated messages drop the dead letter |
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
                Answer::Publish(vec![dead_letter(&event, reason)])
            }
            answer => answer,
        }
    }
}

/// The message that tells of an event nobody could handle.
fn dead_letter(event: &Event, reason: String) -> Publication {
    let mut headers: Vec<(String, String)> = event
        .headers()
        .iter()
        .map(|(name, value)| match std::str::from_utf8(value) {
            Ok(text) if name.eq_ignore_ascii_case(MESSAGE_ID) => {
                ("dead-letter-message-id".to_owned(), text.to_owned())
            }
            Ok(text) => (name.to_owned(), text.to_owned()),
            Err(_) => (format!("{name}-hex"), hexadecimal(value)),
        })
        .collect();
    let key = event.key().map(|key| {
        String::from_utf8(key.to_vec()).unwrap_or_else(|_| {
            headers.push(("dead-letter-key".to_owned(), "hex".to_owned()));
            hexadecimal(key)
        })
    });
    let (Partition(partition), offset) = event.position();
    let facts = [
        ("reason", reason),
        ("attempts", event.attempts().to_string()),
        ("redelivered", event.redelivered().to_string()),
        ("topic", event.topic().to_owned()),
        ("partition", partition.to_string()),
        ("offset", offset.to_string()),
    ];
    headers.extend(facts.map(|(name, value)| (format!("dead-letter-{name}"), value)));
    headers.push((MESSAGE_ID.to_owned(), format!("dead/{}", event.id())));
    Publication {
        topic: format!("{}.{DEAD}", event.topic()),
        key,
        headers,
        payload: event.payload().clone(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // It cannot fail: a string takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
