//! How events are written: a name and a JSON payload, out of any plain serde enum.
//!
//! `OrderEvent::Placed { id: 7 }` is recorded under the name `Placed` with the payload `{"id":7}`:
//! the payload holds no tag, so programs in other languages can read it, and the name can be
//! filtered by without parsing. A newtype variant's payload is its content, a tuple variant's an
//! array, a unit variant's `null`; a struct is recorded under its own name.

/// The methods of a [`Serializer`](serde::Serializer) that takes some shapes only: what the others
/// give.
macro_rules! no_other_shape {
    ($other:expr; $($method:ident($($argument:ty),*) -> $made:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$made, Self::Error> {
            $other
        })*
    };
}

mod decode;
mod encode;
mod names;
mod text;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::CoreError;

/// Writes `event` as its name and its JSON payload.
///
/// # Errors
///
/// [`CoreError::Encode`] for a type that is neither an enum nor a struct, or that JSON cannot hold.
pub fn encode_event<T: Serialize>(event: &T) -> Result<(&'static str, Bytes), CoreError> {
    encode_event_into(event, &mut BytesMut::new())
}

/// As [`encode_event`], with the payload cut off the end of `buffer`, so that many of them share one
/// piece of memory, which is given back when the last of them is dropped.
///
/// # Errors
///
/// [`CoreError::Encode`] for a type that is neither an enum nor a struct, or that JSON cannot hold.
pub fn encode_event_into<T: Serialize>(
    event: &T,
    buffer: &mut BytesMut,
) -> Result<(&'static str, Bytes), CoreError> {
    buffer.clear();
    match encode::tagged(event, buffer) {
        Ok(name) => Ok((name, buffer.split().freeze())),
        Err(error) => Err(CoreError::Encode {
            what: "an event",
            reason: error.to_string(),
        }),
    }
}

/// Reads what [`encode_event`] wrote.
///
/// # Errors
///
/// [`CoreError::Decode`] for a name that the type does not have, or a payload that does not fit.
pub fn decode_event<T: DeserializeOwned>(name: &str, payload: &[u8]) -> Result<T, CoreError> {
    decode::tagged(name, payload).map_err(|error| CoreError::Decode {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

/// The names that events of an enum are recorded under; none of a type that is a struct, which has its own
/// name, or that reads itself by code of its own.
pub fn event_names<T: DeserializeOwned>() -> &'static [&'static str] {
    names::of::<T>()
}

/// Writes a value as JSON.
///
/// # Errors
///
/// [`CoreError::Encode`] for what JSON cannot hold, such as a map whose keys are not text.
pub fn encode_json<T: Serialize>(what: &'static str, value: &T) -> Result<Bytes, CoreError> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(CoreError::Encode {
            what,
            reason: error.to_string(),
        }),
    }
}

/// Reads JSON that was recorded under `name`.
///
/// # Errors
///
/// [`CoreError::Decode`] where it does not fit the type.
pub fn decode_json<T: DeserializeOwned>(name: &str, payload: &[u8]) -> Result<T, CoreError> {
    serde_json::from_slice(payload).map_err(|error| CoreError::Decode {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Happened {
        Opened,
        Named(String),
        Moved(i32, i32),
        Filled {
            by: u64,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            note: Option<String>,
        },
        #[serde(rename = "Shut")]
        Closed(Option<u8>),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Rang {
        times: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Dinged(u8);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Fell;

    #[test]
    fn the_names_of_an_enums_events_are_known_without_a_value() {
        let names = ["Opened", "Named", "Moved", "Filled", "Shut"];
        assert_eq!(event_names::<Happened>(), names);
        assert_eq!(event_names::<Rang>(), [] as [&str; 0]);
    }

    fn there_and_back<T>(event: T, name: &str, payload: &str)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let (written_name, written) = encode_event(&event).unwrap();
        assert_eq!(
            (written_name, std::str::from_utf8(&written).unwrap()),
            (name, payload)
        );
        assert_eq!(decode_event::<T>(name, &written).unwrap(), event);
    }

    #[test]
    fn every_shape_of_event_is_read_as_it_was_written() {
        there_and_back(Happened::Opened, "Opened", "null");
        there_and_back(Happened::Named("ä\n".into()), "Named", r#""ä\n""#);
        there_and_back(Happened::Moved(1, -2), "Moved", "[1,-2]");
        there_and_back(
            Happened::Filled { by: 3, note: None },
            "Filled",
            r#"{"by":3}"#,
        );
        there_and_back(
            Happened::Filled {
                by: u64::MAX,
                note: Some("x".into()),
            },
            "Filled",
            r#"{"by":18446744073709551615,"note":"x"}"#,
        );
        there_and_back(Happened::Closed(None), "Shut", "null");
        there_and_back(Happened::Closed(Some(1)), "Shut", "1");
        there_and_back(Dinged(3), "Dinged", "3");
        there_and_back(Fell, "Fell", "null");
        there_and_back(Rang { times: 2 }, "Rang", r#"{"times":2}"#);
    }

    #[test]
    fn a_field_is_written_as_serde_json_writes_it() {
        #[derive(Serialize)]
        struct Fields<'a> {
            text: &'a str,
            some: Option<&'a str>,
            none: Option<&'a str>,
            letter: char,
            unit: (),
            wrapped: Wrapped<'a>,
            more: Vec<&'a str>,
        }
        #[derive(Serialize)]
        struct Wrapped<'a>(&'a str);

        for length in [0, 1, 31, 32, 33, 64, 100] {
            for odd in [
                "", "\"", "\\", "\n", "\u{1f}", " ", "\u{7f}", "ä", "\u{2028}", "\0",
            ] {
                for place in [0, length / 2, length] {
                    let mut text = "x".repeat(length);
                    text.insert_str(place, odd);
                    let fields = Fields {
                        text: &text,
                        some: Some(&text),
                        none: None,
                        letter: '"',
                        unit: (),
                        wrapped: Wrapped(&text),
                        more: vec![&text],
                    };
                    let (_, written) = encode_event(&fields).unwrap();
                    assert_eq!(written, serde_json::to_vec(&fields).unwrap());
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_it() {
        for (name, payload) in [
            ("Burned", "null"),
            ("Moved", "[1]"),
            ("Moved", "[1,2,3]"),
            ("Named", "7"),
            ("Filled", "{\"by\":3}x"),
            ("Opened", "{"),
            ("", ""),
        ] {
            let error = decode_event::<Happened>(name, payload.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(encode_event(&7).is_err());
    }
}
