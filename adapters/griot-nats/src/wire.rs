//! A message as NATS carries it: key and headers as text beside the payload, readable by anybody.

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, HeaderValue};
use bytes::{Bytes, BytesMut};
use griot_core::{Publication, Timestamp};
use griot_events::{BrokerError, Content, Event, Headers, MESSAGE_ID, Partition};

/// The header with a message's key.
pub const KEY: &str = "griot-key";

/// Names of the other headers in order, which NATS does not keep. `name:` stands for one whose value
/// is hexadecimal, since NATS would not have carried it unchanged.
const NAMES: &str = "griot-headers";

/// Headers of the server itself begin so.
const SERVER: &str = "Nats-";

/// The server's own header with a message's id.
const SERVER_MESSAGE_ID: &str = "Nats-Msg-Id";

/// Where a message lies, from the subject by which it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) published_at: Timestamp,
    /// How often it was delivered before.
    pub(crate) redelivered: u32,
}

/// The headers that go with a publication: as few as bring it back, since every reader parses them all.
pub(crate) fn encode(publication: &Publication) -> Result<HeaderMap, BrokerError> {
    let (headers, id) = identify(publication);
    let key = publication.key.as_deref().map(|key| (KEY, key));
    let headers = headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<(&str, &str)> = key.into_iter().chain(headers).collect();
    if let Some((name, _)) = headers.iter().find(|(name, _)| !is_name(name)) {
        return Err(BrokerError::Refused {
            what: "a header",
            reason: format!(
                "{name:?} cannot be its name: use visible ASCII without colons and spaces, and not {NAMES:?} or {SERVER:?}…"
            ),
        });
    }
    let mut map = HeaderMap::new();
    if !comes_back(&headers) {
        let mark = |value| if survives(value) { "" } else { ":" };
        let names = headers.iter();
        let names = names.map(|(name, value)| format!("{name}{}", mark(value)));
        let names: Vec<String> = names.collect();
        map.insert(NAMES, names.join(" "));
    }
    for (name, value) in headers {
        if survives(value) {
            map.append(name, value);
        } else {
            map.append(name, to_hex(value.as_bytes()));
        }
    }
    if let Some(id) = id {
        map.insert(NATS_MESSAGE_ID, id);
    }
    Ok(map)
}

/// The headers to send, and by what the server knows the message. It drops the second one of an id in a
/// stream whatever the subject, and a message that moves to another topic, a dead letter for one, keeps
/// its id: so the topic is part of it.
fn identify(publication: &Publication) -> (&[(String, String)], Option<String>) {
    let headers = publication.headers.as_slice();
    let mut ids = headers.iter();
    let id = ids.position(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_ID));
    let Some((place, (_, id))) = id.and_then(|place| Some((place, headers.get(place)?))) else {
        return (headers, None);
    };
    let id = format!("{}/{id}", publication.topic);
    if !survives(&id) {
        return (headers, Some(to_hex(id.as_bytes())));
    }
    match headers.split_last() {
        // What the server knows it by is read as this header, behind the others.
        Some(((name, _), before)) if name == MESSAGE_ID && place == before.len() => {
            (before, Some(id))
        }
        _ => (headers, Some(id)),
    }
}

/// Whether headers come back as they are, without a word on their order.
fn comes_back(headers: &[(&str, &str)]) -> bool {
    let others = headers.iter().filter(|(name, _)| *name != KEY);
    others.is_sorted_by_key(|(name, _)| *name) && headers.iter().all(|(_, value)| survives(value))
}

/// The event in a message.
pub(crate) fn decode(message: async_nats::Message, place: Place) -> Event {
    let topic = message.subject.into_string();
    let (key, headers) = match &message.headers {
        Some(map) => read(map, &topic),
        None => (None, Headers::default()),
    };
    Event::new(Content {
        topic,
        key,
        headers,
        payload: message.payload,
        partition: Partition(0),
        offset: place.seq,
        published_at: Some(place.published_at),
        redelivered: place.redelivered,
    })
}

/// Where a message lies, from the subject by which it is acknowledged.
pub(crate) fn place(message: &async_nats::Message) -> Option<Place> {
    let words: Vec<&str> = message.reply.as_ref()?.as_str().split('.').collect();
    // `$JS.ACK.[domain.account.]stream.consumer.delivered.seq.consumer-seq.nanoseconds.pending[.more]`
    let skip = if words.len() == 9 { 4 } else { 6 };
    let [delivered, seq, _, nanos, ..] = words.get(skip..)? else {
        return None;
    };
    let nanos: i64 = nanos.parse().ok()?;
    let delivered: u32 = delivered.parse().ok()?;
    Some(Place {
        seq: seq.parse().ok()?,
        published_at: Timestamp::from_micros(nanos / 1_000),
        redelivered: delivered.saturating_sub(1),
    })
}

/// Names with all of their values.
type Named<'a> = (&'a str, &'a [HeaderValue]);

fn read(map: &HeaderMap, topic: &str) -> (Option<Bytes>, Headers) {
    // There are few, so looking through all is faster than by name, which allocates it each time.
    let mut all: Vec<Named<'_>> = map
        .iter()
        .map(|(name, values)| (name.as_ref(), values.as_slice()))
        .collect();
    let mut headers = match text_of(&all, NAMES) {
        Some(names) => ordered(&all, names),
        None => sorted(&mut all),
    };
    if !headers.has_id
        && let Some(id) = text_of(&all, SERVER_MESSAGE_ID)
    {
        let own = id.strip_prefix(topic).and_then(|id| id.strip_prefix('/'));
        headers.add(MESSAGE_ID, own.unwrap_or(id));
    }
    (headers.key, headers.headers)
}

fn values_of<'a>(all: &[Named<'a>], name: &str) -> &'a [HeaderValue] {
    let found = all.iter().find(|(other, _)| *other == name);
    found.map_or(&[], |(_, values)| values)
}

fn text_of<'a>(all: &[Named<'a>], name: &str) -> Option<&'a str> {
    values_of(all, name).first().map(HeaderValue::as_str)
}

/// As it was published here.
fn ordered(all: &[Named<'_>], names: &str) -> Read {
    let mut read = Read::of(all);
    let mut before = Vec::with_capacity(all.len());
    for marked in names.split(' ') {
        let name = marked.trim_end_matches(':');
        let number = before.iter().filter(|other| **other == name).count();
        let Some(text) = values_of(all, name).get(number) else {
            continue;
        };
        before.push(name);
        let hex = (name != marked).then(|| from_hex(text.as_str())).flatten();
        match hex {
            Some(value) => read.take(name, value.into()),
            None => read.add(name, text.as_str()),
        }
    }
    read
}

/// By name: there is no word on the order.
fn sorted(all: &mut [Named<'_>]) -> Read {
    all.sort_unstable_by_key(|(name, _)| *name);
    let mut read = Read::of(all);
    for (name, values) in all.iter().filter(|(name, _)| !name.starts_with(SERVER)) {
        for value in *values {
            read.add(name, value.as_str());
        }
    }
    read
}

/// What is read so far.
struct Read {
    key: Option<Bytes>,
    headers: Headers,
    has_id: bool,
    /// What all values are copied to, one behind the other: one allocation for all.
    copies: BytesMut,
}

impl Read {
    fn of(all: &[Named<'_>]) -> Self {
        let values = all.iter().flat_map(|(_, values)| *values);
        Self {
            key: None,
            headers: Headers::default(),
            has_id: false,
            copies: BytesMut::with_capacity(values.map(|value| value.as_str().len()).sum()),
        }
    }

    fn add(&mut self, name: &str, text: &str) {
        self.copies.extend_from_slice(text.as_bytes());
        let value = self.copies.split().freeze();
        self.take(name, value);
    }

    fn take(&mut self, name: &str, value: Bytes) {
        if name == KEY && self.key.is_none() {
            self.key = Some(value);
            return;
        }
        self.has_id |= name.eq_ignore_ascii_case(MESSAGE_ID);
        self.headers.push_named(name, value);
    }
}

fn is_name(name: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    let own = name.eq_ignore_ascii_case(NAMES);
    let server = name
        .get(..SERVER.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SERVER));
    !name.is_empty() && name.bytes().all(visible) && !own && !server
}

/// Whether NATS carries a value unchanged: it ends at a line break and loses spaces around it.
fn survives(value: &str) -> bool {
    value.trim() == value && !value.contains(['\r', '\n'])
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(key: Option<&str>, headers: &[(&str, &str)]) -> Publication {
        let headers = headers.iter();
        Publication {
            topic: "orders".to_owned(),
            key: key.map(str::to_owned),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            payload: Bytes::new(),
        }
    }

    #[test]
    fn key_and_headers_come_back_in_order_and_unchanged() {
        let sent = [
            ("b", "2"),
            ("message-id", "m-1"),
            ("a", " spaces around "),
            ("b", "two\r\nlines"),
            ("empty", ""),
        ];
        let map = encode(&publication(Some("käy"), &sent)).unwrap();
        let (key, headers) = read(&map, "orders");
        assert_eq!(key.as_deref(), Some("käy".as_bytes()));
        let expected: Headers = sent.into_iter().collect();
        assert_eq!(headers, expected);
    }

    #[test]
    fn names_that_nobody_can_have_sent_are_passed_over() {
        let mut map = HeaderMap::new();
        map.insert("a", "1");
        map.insert(NAMES, "ä a a ::");
        let (_, headers) = read(&map, "orders");
        assert_eq!(headers, [("a", "1")].into_iter().collect());
    }

    #[test]
    fn what_most_messages_have_takes_no_header_of_its_own() {
        let sent = [("event-name", "OrderPlaced"), ("message-id", "m-1")];
        let map = encode(&publication(Some("7"), &sent)).unwrap();
        let mut names: Vec<&str> = map.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        assert_eq!(names, [SERVER_MESSAGE_ID, "event-name", KEY]);
        let (key, headers) = read(&map, "orders");
        assert_eq!(key.as_deref(), Some("7".as_bytes()));
        assert_eq!(headers, sent.into_iter().collect());
    }

    #[test]
    fn an_id_comes_back_from_wherever_it_stood() {
        for sent in [
            vec![("message-id", "m-1"), ("a", "1")],
            vec![("a", "1"), ("Message-Id", "m-1")],
            vec![("message-id", "m-1"), ("message-id", "m-2")],
            vec![("message-id", " m-1 ")],
            vec![("message-id", "")],
        ] {
            let map = encode(&publication(None, &sent)).unwrap();
            let (_, headers) = read(&map, "orders");
            assert_eq!(headers, sent.into_iter().collect());
        }
    }

    #[test]
    fn an_id_counts_within_its_topic() {
        let map = encode(&publication(None, &[("Message-Id", "m-1")])).unwrap();
        assert_eq!(map.get(NATS_MESSAGE_ID).unwrap().as_str(), "orders/m-1");
    }

    #[test]
    fn a_header_that_nats_cannot_name_is_refused() {
        for name in ["", "a b", "a:b", "ä", "nats-msg-id", "griot-headers"] {
            let error = encode(&publication(None, &[(name, "1")])).unwrap_err();
            assert!(matches!(error, BrokerError::Refused { .. }), "{error}");
        }
    }

    #[test]
    fn a_message_of_another_client_has_its_headers_by_name() {
        let mut map = HeaderMap::new();
        map.insert("b", "2");
        map.insert("a", "1");
        map.insert("Nats-Msg-Id", "m-1");
        let (key, headers) = read(&map, "orders");
        assert_eq!(key, None);
        let expected = [("a", "1"), ("b", "2"), (MESSAGE_ID, "m-1")];
        assert_eq!(headers, expected.into_iter().collect());
    }

    #[test]
    fn a_place_is_read_from_both_forms_of_an_acknowledgement() {
        for reply in [
            "$JS.ACK.orders.mail.3.100.7.1700000000000001000.42",
            "$JS.ACK._.hash.orders.mail.3.100.7.1700000000000001000.42",
            "$JS.ACK.hub.hash.orders.mail.3.100.7.1700000000000001000.42.more",
        ] {
            let message = async_nats::Message {
                subject: "orders".into(),
                reply: Some(reply.into()),
                payload: Bytes::new(),
                headers: None,
                status: None,
                description: None,
                length: 0,
            };
            let expected = Place {
                seq: 100,
                published_at: Timestamp::from_micros(1_700_000_000_000_001),
                redelivered: 2,
            };
            assert_eq!(place(&message), Some(expected), "{reply}");
        }
    }
}
