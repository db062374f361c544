//! A message as RabbitMQ carries it: key and headers as fields beside the payload, readable by anybody.

use bytes::Bytes;
use griot_core::{Publication, Timestamp};
use griot_events::{BrokerError, Content, Event, Headers, MESSAGE_ID, Partition};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;

/// The field with a message's key.
pub const KEY: &str = "griot-key";

/// The field that lists the headers in order, as JSON: a name, whose value is the field of that name, or
/// a name and its value, where RabbitMQ has no such field.
const HEADERS: &str = "griot-headers";

/// Where a message lies in its log, as RabbitMQ says it.
const OFFSET: &str = "x-stream-offset";

/// The header frame of a message must fit into one frame, of 128 KiB unless servers say otherwise.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// The largest payload: RabbitMQ 4 takes no more than this unless told otherwise.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// "Keep it on disk", as AMQP spells it.
const PERSISTENT: u8 = 2;

/// What goes with a publication.
pub(crate) fn encode(
    publication: &Publication,
    now: Timestamp,
) -> Result<BasicProperties, BrokerError> {
    if publication.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(refused(format!(
            "it has {} bytes, and {PAYLOAD_BYTES_MAX} is the most: send less, or where it lies",
            publication.payload.len()
        )));
    }
    let (headers, id) = identify(publication);
    let mut fields = FieldTable::default();
    let mut bytes = publication.key.as_ref().map_or(0, String::len);
    let mut listed = Vec::new();
    for (name, value) in headers {
        bytes += 2 * name.len() + value.len() + 16;
        if is_field(name) && !fields.contains_key(name) {
            insert(&mut fields, name, value);
            listed.push(Value::from(name.as_str()));
        } else {
            listed.push(Value::from(vec![name.as_str(), value.as_str()]));
        }
    }
    if bytes > HEADER_BYTES_MAX {
        return Err(refused(format!(
            "its key and headers have {bytes} bytes, and {HEADER_BYTES_MAX} is the most: move some into the payload"
        )));
    }
    if let Some(key) = &publication.key {
        insert(&mut fields, KEY, key);
    }
    if !comes_back(headers) {
        insert(&mut fields, HEADERS, &Value::from(listed).to_string());
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_timestamp(seconds(now))
        .with_headers(fields);
    Ok(match id {
        Some(id) => properties.with_message_id(id),
        None => properties,
    })
}

/// The headers to send as fields, and the id that RabbitMQ has a place of its own for. Where that is the
/// last header it takes no field: each costs the server and every reader.
fn identify(publication: &Publication) -> (&[(String, String)], Option<ShortString>) {
    let headers = publication.headers.as_slice();
    let is_id = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(MESSAGE_ID);
    let id = headers.iter().find(is_id);
    let id = id.and_then(|(_, id)| ShortString::try_new(id.as_str()).ok());
    match headers.split_last() {
        Some(((name, _), before))
            if name == MESSAGE_ID
                && id.is_some()
                && !before.iter().any(|header| is_id(&header)) =>
        {
            (before, id)
        }
        _ => (headers, id),
    }
}

/// Whether headers come back as they are without a list of them: fields come in the order of their names.
fn comes_back(headers: &[(String, String)]) -> bool {
    let are_fields = headers.iter().all(|(name, _)| is_field(name));
    are_fields && headers.is_sorted_by(|(one, _), (next, _)| one < next)
}

fn insert(fields: &mut FieldTable, name: &str, value: &str) {
    // Names were looked at before: none is too long.
    if let Ok(name) = ShortString::try_new(name) {
        fields.insert(name, AMQPValue::LongString(value.into()));
    }
}

/// Whether RabbitMQ carries a field of this name and does nothing else with it.
fn is_field(name: &str) -> bool {
    let starts = |with: &str| {
        let start = name.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let copies = name.eq_ignore_ascii_case("cc") || name.eq_ignore_ascii_case("bcc");
    let own = copies || starts("x-") || starts("griot-");
    !name.is_empty() && name.len() <= 128 && !own
}

/// Where a message lies in its log.
pub(crate) fn offset(delivery: &Delivery) -> Option<u64> {
    let fields = delivery.properties.headers().as_ref()?;
    match fields.inner().get(OFFSET)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        AMQPValue::LongInt(offset) => u64::try_from(*offset).ok(),
        AMQPValue::LongUInt(offset) => Some((*offset).into()),
        _ => None,
    }
}

/// The event in a message.
pub(crate) fn decode(delivery: Delivery, offset: u64) -> Event {
    let properties = &delivery.properties;
    let id = properties.message_id().as_ref();
    let at = properties.timestamp().as_ref();
    let (key, headers) = match properties.headers() {
        Some(fields) => read(fields, id.map(ShortString::as_str)),
        None => read(&FieldTable::default(), id.map(ShortString::as_str)),
    };
    Event::new(Content {
        topic: delivery.routing_key.to_string(),
        key,
        headers,
        published_at: at.and_then(|at| micros(*at)),
        payload: delivery.data.into(),
        partition: Partition(0),
        offset,
        redelivered: 0,
    })
}

fn read(fields: &FieldTable, id: Option<&str>) -> (Option<Bytes>, Headers) {
    let value = |name: &str| fields.inner().get(name).and_then(text);
    let listed =
        value(HEADERS).and_then(|listed| serde_json::from_slice::<Vec<Value>>(&listed).ok());
    let mut headers = Headers::default();
    match listed {
        Some(listed) => {
            for header in &listed {
                match header {
                    Value::String(name) => {
                        if let Some(value) = value(name) {
                            headers.push_named(name.as_str(), value);
                        }
                    }
                    header => {
                        if let (Some(name), Some(value)) = (header[0].as_str(), header[1].as_str())
                        {
                            headers.push_named(name, value.to_owned());
                        }
                    }
                }
            }
        }
        // As somebody else published it: fields have no order.
        None => {
            for (name, value) in fields {
                if let (true, Some(value)) = (is_field(name.as_str()), text(value)) {
                    headers.push_named(name.as_str(), value);
                }
            }
        }
    }
    if let (None, Some(id)) = (headers.get_bytes(MESSAGE_ID), id) {
        headers.push(MESSAGE_ID, id.to_owned());
    }
    (value(KEY), headers)
}

/// A field as the text that it is or that stands for it; none where it is of several parts.
fn text(value: &AMQPValue) -> Option<Bytes> {
    Some(match value {
        AMQPValue::LongString(text) => Bytes::copy_from_slice(text.as_bytes()),
        AMQPValue::ShortString(text) => text.to_string().into(),
        AMQPValue::ByteArray(bytes) => Bytes::copy_from_slice(bytes.as_slice()),
        AMQPValue::Boolean(value) => value.to_string().into(),
        AMQPValue::ShortShortInt(value) => value.to_string().into(),
        AMQPValue::ShortShortUInt(value) => value.to_string().into(),
        AMQPValue::ShortInt(value) => value.to_string().into(),
        AMQPValue::ShortUInt(value) => value.to_string().into(),
        AMQPValue::LongInt(value) => value.to_string().into(),
        AMQPValue::LongUInt(value) => value.to_string().into(),
        AMQPValue::LongLongInt(value) => value.to_string().into(),
        AMQPValue::Timestamp(value) => value.to_string().into(),
        AMQPValue::Float(value) => value.to_string().into(),
        AMQPValue::Double(value) => value.to_string().into(),
        _ => return None,
    })
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros() / 1_000_000).unwrap_or(0)
}

fn micros(seconds: u64) -> Option<Timestamp> {
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Some(Timestamp::from_micros(micros))
}

fn refused(reason: String) -> BrokerError {
    BrokerError::Refused {
        what: "the publication",
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_001);

    fn publication(key: Option<&str>, headers: &[(&str, &str)]) -> Publication {
        let headers = headers.iter();
        Publication {
            topic: "orders".to_owned(),
            key: key.map(str::to_owned),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn came_back(publication: &Publication) -> Event {
        let properties = encode(publication, NOW).unwrap();
        let mut delivery =
            Delivery::mock(1, "griot".into(), "orders".into(), false, b"{}".to_vec());
        delivery.properties = properties;
        decode(delivery, 7)
    }

    #[test]
    fn key_and_headers_come_back_in_order_and_unchanged() {
        let long = "n".repeat(300);
        let sent = [
            ("b", "2"),
            ("message-id", "m-1"),
            ("a", " two\r\nlines "),
            ("b", "again"),
            ("x-death", "mine"),
            ("CC", "somebody"),
            ("griot-key", "not the key"),
            (long.as_str(), "ü"),
            ("empty", ""),
        ];
        let event = came_back(&publication(Some("käy"), &sent));
        assert_eq!(event.key().unwrap(), "käy".as_bytes());
        let sent = sent.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(event.headers(), &sent.into_iter().collect());
        assert_eq!((event.topic(), event.position().1), ("orders", 7));
        assert_eq!(
            event.published_at(),
            Some(Timestamp::from_micros(1_700_000_000_000_000))
        );
    }

    #[test]
    fn what_most_messages_have_takes_no_field_of_its_own() {
        let sent = [("event-name", "OrderPlaced"), ("message-id", "m-1")];
        let publication = publication(Some("7"), &sent);
        let properties = encode(&publication, Timestamp::from_micros(0)).unwrap();
        let fields = properties.headers().as_ref().unwrap().inner();
        let names: Vec<&str> = fields.keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["event-name", KEY]);
        let event = came_back(&publication);
        assert_eq!(event.key().unwrap(), "7".as_bytes());
        assert_eq!(event.headers(), &sent.into_iter().collect());
    }

    #[test]
    fn an_id_comes_back_from_wherever_it_stood() {
        for sent in [
            vec![("message-id", "m-1"), ("a", "1")],
            vec![("a", "1"), ("Message-Id", "m-1")],
            vec![("message-id", "m-1"), ("message-id", "m-2")],
            vec![("b", "1"), ("a", "2"), ("message-id", "")],
        ] {
            let event = came_back(&publication(None, &sent));
            assert_eq!(event.headers(), &sent.into_iter().collect());
        }
    }

    #[test]
    fn a_bare_message_has_neither_key_nor_headers() {
        let event = came_back(&publication(None, &[]));
        assert_eq!((event.key(), event.headers()), (None, &Headers::default()));
    }

    #[test]
    fn a_message_of_another_client_has_its_fields_for_headers() {
        let mut fields = FieldTable::default();
        fields.insert("tenant".into(), AMQPValue::LongLongInt(7));
        fields.insert("x-stream-offset".into(), AMQPValue::LongLongInt(9));
        fields.insert("list".into(), AMQPValue::FieldArray(Vec::new().into()));
        fields.insert(KEY.into(), AMQPValue::LongString("k".into()));
        let mut delivery = Delivery::mock(1, "griot".into(), "orders".into(), false, Vec::new());
        delivery.properties = BasicProperties::default()
            .with_headers(fields)
            .with_message_id("m-1".into());
        assert_eq!(offset(&delivery), Some(9));
        let event = decode(delivery, 9);
        assert_eq!(event.key().unwrap(), "k");
        let expected = [("tenant", "7"), (MESSAGE_ID, "m-1")];
        assert_eq!(event.headers(), &expected.into_iter().collect());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let header = "x".repeat(HEADER_BYTES_MAX);
        let mut large = publication(None, &[("large", &header)]);
        let said = |publication: &Publication| encode(publication, NOW).unwrap_err().to_string();
        assert!(said(&large).contains("headers"));
        large.headers.clear();
        large.payload = vec![0; PAYLOAD_BYTES_MAX + 1].into();
        assert!(said(&large).contains("bytes"));
    }
}
