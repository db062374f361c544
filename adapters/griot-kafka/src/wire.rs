//! A message as Kafka carries it: key and headers are its own.

use bytes::Bytes;
use griot_core::{Publication, Timestamp};
use griot_events::{BrokerError, Content, Event, Headers, MESSAGE_ID, Partition};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};

/// The headers that go with a publication.
pub(crate) fn headers(publication: &Publication) -> Result<OwnedHeaders, BrokerError> {
    let mut headers = OwnedHeaders::new_with_capacity(publication.headers.len());
    for (name, value) in &publication.headers {
        if name.contains('\0') {
            return Err(BrokerError::Refused {
                what: "a header",
                reason: format!("{name:?} has a zero in its name: name it without"),
            });
        }
        headers = headers.insert(Header {
            key: name,
            value: Some(value),
        });
    }
    Ok(headers)
}

/// The message id of a publication.
pub(crate) fn id(publication: &Publication) -> Option<&str> {
    let mut headers = publication.headers.iter();
    let id = headers.find(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_ID));
    id.map(|(_, id)| id.as_str())
}

/// The event in a message.
pub(crate) fn event(message: &BorrowedMessage<'_>) -> Event {
    let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let sent = message.headers().into_iter();
    let mut headers = Headers::default();
    for header in sent.flat_map(|sent| sent.iter()) {
        headers.push_named(header.key, bytes(header.value).unwrap_or_default());
    }
    let published_at = message.timestamp().to_millis();
    Event::new(Content {
        topic: message.topic().to_owned(),
        key: bytes(message.key()),
        headers,
        payload: bytes(message.payload()).unwrap_or_default(),
        // Kafka counts both from 0.
        partition: Partition(message.partition().unsigned_abs()),
        offset: message.offset().unsigned_abs(),
        published_at: published_at
            .map(|millis| Timestamp::from_micros(millis.saturating_mul(1_000))),
        redelivered: 0,
    })
}
