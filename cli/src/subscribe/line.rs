//! A message as one line of JSON. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use griot::events::{Event, Headers, Partition};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::payload::Payload;

/// How a message is shown.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    key: Option<Value>,
    headers: Map<String, Value>,
    #[serde(flatten)]
    payload: Payload<'a>,
    position: Position,
    published_at: Option<String>,
    redelivered: u32,
}

#[derive(Serialize)]
struct Position {
    partition: u32,
    offset: u64,
}

/// The line, with its end.
pub(super) fn line(event: &Event) -> String {
    let (Partition(partition), offset) = event.position();
    let published_at = event.published_at();
    let published_at =
        published_at.and_then(|at| jiff::Timestamp::from_microsecond(at.as_micros()).ok());
    let shown = Line {
        topic: event.topic(),
        key: event.key().map(|key| value_of(key)),
        headers: headers_of(event.headers()),
        payload: Payload::of(event.payload()),
        position: Position { partition, offset },
        published_at: published_at.map(|at| at.to_string()),
        redelivered: event.redelivered(),
    };
    // Nothing in it can fail to be written; a message is never passed over in silence.
    let mut line = serde_json::to_string(&shown)
        .unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string());
    line.push('\n');
    line
}

/// Each name with its value, or its values where there are several.
fn headers_of(headers: &Headers) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in headers.iter() {
        let value = value_of(value);
        match shown.get_mut(name) {
            None => {
                shown.insert(name.to_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    shown
}

fn value_of(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use griot::core::Timestamp;
    use griot::events::Content;

    use super::*;

    fn shown(payload: &[u8], headers: &[(&'static str, &[u8])]) -> String {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (*name, value.to_vec()));
        let event = Event::new(Content {
            topic: "orders".to_owned(),
            key: Some(b"k".to_vec().into()),
            headers: headers.collect(),
            payload: payload.to_vec().into(),
            partition: Partition(3),
            offset: 7,
            published_at: Some(Timestamp::from_micros(1_700_000_000_000_001)),
            redelivered: 0,
        });
        line(&event)
    }

    #[test]
    fn json_is_shown_as_it_was_written_on_one_line() {
        let line = shown(
            b"{\"b\": 10000000000000000000000001,\r\n \"a\": \"\\n\"}\n",
            &[],
        );
        assert_eq!(
            line,
            "{\"topic\":\"orders\",\"key\":\"k\",\"headers\":{},\"payload\":{\"b\": 10000000000000000000000001,   \"a\": \"\\n\"},\"position\":{\"partition\":3,\"offset\":7},\"published_at\":\"2023-11-14T22:13:20.000001Z\",\"redelivered\":0}\n"
        );
    }

    #[test]
    fn text_and_other_bytes_are_told_from_json() {
        for (payload, name, value) in [
            (&b"hello"[..], "text", "hello"),
            (b"", "text", ""),
            (b"{\"a\"", "text", "{\"a\""),
            (&[0xff, 0], "base64", "/wA="),
        ] {
            let line: Value = serde_json::from_str(&shown(payload, &[])).unwrap();
            assert_eq!(line[name], value);
            assert!(line.get("payload").is_none());
        }
        let line: Value = serde_json::from_str(&shown(b"\"hello\"", &[])).unwrap();
        assert_eq!(line["payload"], "hello");
    }

    #[test]
    fn a_header_that_stands_there_twice_has_both_values() {
        let headers: [(&str, &[u8]); 4] = [("a", b"1"), ("b", b"2"), ("a", b"3"), ("a", &[0xff])];
        let line: Value = serde_json::from_str(&shown(b"1", &headers)).unwrap();
        assert_eq!(
            line["headers"],
            json!({ "a": ["1", "3", { "base64": "/w==" }], "b": "2" })
        );
    }
}
