//! What both sides say to each other: messages in Protocol Buffers, one in each binary frame. Pure.
//!
//! Fields may be added; what stands here keeps its number and its meaning within [`VERSION`].

mod translation;

use std::sync::Arc;

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

use crate::limits::{BATCH_MAX, HEADERS_MAX, TOPICS_MAX};

/// The version of what is said; a client names it when it connects: `/broker?version=1`.
pub const VERSION: u32 = 1;

/// What a client says.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    /// By which the answer is known; 0 where none is wanted.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(oneof = "Ask", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(crate) ask: Option<Ask>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Ask {
    #[prost(message, tag = "2")]
    Publish(Publish),
    #[prost(message, tag = "3")]
    Subscribe(Subscribe),
    #[prost(message, tag = "4")]
    Check(Nothing),
    /// The message of this delivery is done.
    #[prost(uint64, tag = "5")]
    Ack(u64),
    /// It comes back undone.
    #[prost(uint64, tag = "6")]
    GiveBack(u64),
    /// It is still being worked on.
    #[prost(uint64, tag = "7")]
    Extend(u64),
    /// Nothing is under way any more of what was revoked under this number.
    #[prost(uint64, tag = "8")]
    Released(u64),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Publish {
    #[prost(message, repeated, tag = "1")]
    pub(crate) publications: Vec<Publishing>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Publishing {
    #[prost(string, tag = "1")]
    pub(crate) topic: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) key: Option<String>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) headers: Vec<Text>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) payload: Bytes,
}

/// A header whose value is text.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Subscribe {
    #[prost(string, repeated, tag = "1")]
    pub(crate) topics: Vec<String>,
    #[prost(string, tag = "2")]
    pub(crate) group: String,
    #[prost(uint64, tag = "3")]
    pub(crate) in_flight_max: u64,
    #[prost(enumeration = "Ordering", tag = "4")]
    pub(crate) order: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum Ordering {
    PerKey = 0,
    None = 1,
}

/// What a server says.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Reply {
    #[prost(oneof = "Say", tags = "1, 2, 3, 4, 5")]
    pub(crate) say: Option<Say>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Say {
    #[prost(message, tag = "1")]
    Answer(Answer),
    #[prost(message, tag = "2")]
    Subscribed(Subscribed),
    #[prost(message, tag = "3")]
    Delivery(Delivered),
    #[prost(message, tag = "4")]
    Revoked(Revoked),
    /// The source failed; it is asked again.
    #[prost(message, tag = "5")]
    Trouble(Outcome),
}

/// The outcomes of what was asked, as many as it had parts.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answer {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Subscribed {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) lease_micros: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Delivered {
    /// By which it is settled.
    #[prost(uint64, tag = "1")]
    pub(crate) delivery: u64,
    #[prost(string, tag = "2")]
    pub(crate) topic: String,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) key: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) headers: Vec<Header>,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) payload: Bytes,
    #[prost(uint32, tag = "6")]
    pub(crate) partition: u32,
    #[prost(uint64, tag = "7")]
    pub(crate) offset: u64,
    #[prost(sint64, optional, tag = "8")]
    pub(crate) published_at_micros: Option<i64>,
    #[prost(uint32, tag = "9")]
    pub(crate) redelivered: u32,
}

/// A header whose value is any bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Revoked {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) partitions: Vec<Place>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Place {
    #[prost(string, tag = "1")]
    pub(crate) topic: String,
    #[prost(uint32, tag = "2")]
    pub(crate) partition: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcome {
    #[prost(enumeration = "Kind", tag = "1")]
    pub(crate) kind: i32,
    /// Why, and what to do.
    #[prost(string, tag = "2")]
    pub(crate) reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    Done = 0,
    Unreachable = 1,
    Unknown = 2,
    Refused = 3,
    Closed = 4,
}

impl Request {
    pub(crate) fn new(number: u64, ask: Ask) -> Self {
        Self {
            number,
            ask: Some(ask),
        }
    }

    /// What is in a frame of a client. A frame is bounded, and so is what it becomes here.
    pub(crate) fn read(frame: Bytes) -> Result<Self, String> {
        let request = Self::decode(frame).map_err(|error| format!("no request: {error}"))?;
        match &request.ask {
            Some(Ask::Publish(Publish { publications })) => {
                if publications.len() > BATCH_MAX {
                    return Err(format!("more than {BATCH_MAX} publications in one frame"));
                }
                let mut all = publications.iter();
                if all.any(|publication| publication.headers.len() > HEADERS_MAX) {
                    return Err(format!("more than {HEADERS_MAX} headers"));
                }
            }
            Some(Ask::Subscribe(Subscribe { topics, .. })) if topics.len() > TOPICS_MAX => {
                return Err(format!("more than {TOPICS_MAX} topics in one subscription"));
            }
            _ => {}
        }
        Ok(request)
    }

    pub(crate) fn write(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

impl Reply {
    /// What is in a frame of a server.
    pub(crate) fn read(frame: Bytes) -> Result<Option<Say>, String> {
        let reply = Self::decode(frame).map_err(|error| format!("no reply: {error}"))?;
        Ok(reply.say)
    }

    pub(crate) fn write(say: Say) -> Bytes {
        Self { say: Some(say) }.encode_to_vec().into()
    }
}

/// A text as the reason of an error.
pub(crate) fn cause(text: String) -> griot_events::Cause {
    Arc::new(std::io::Error::other(text))
}

#[cfg(test)]
mod tests {
    use griot_core::Publication;
    use griot_events::MESSAGE_ID;
    use proptest::prelude::*;

    use super::*;

    fn publication(headers: usize) -> Publication {
        Publication {
            topic: "orders".to_owned(),
            key: Some("käy".to_owned()),
            headers: vec![(MESSAGE_ID.to_owned(), "m-1".to_owned()); headers],
            payload: Bytes::from_static(&[0, 0xff, b'{']),
        }
    }

    fn publish(publications: Vec<Publication>) -> Bytes {
        let publications = publications.into_iter().map(Publishing::from).collect();
        Request::new(7, Ask::Publish(Publish { publications })).write()
    }

    #[test]
    fn a_publication_comes_through_unchanged() {
        let request = Request::read(publish(vec![publication(2)])).unwrap();
        assert_eq!(request.number, 7);
        let Some(Ask::Publish(Publish { publications })) = request.ask else {
            panic!("{request:?}");
        };
        let read: Vec<Publication> = publications.into_iter().map(Into::into).collect();
        assert_eq!(read, [publication(2)]);
    }

    #[test]
    fn too_much_in_one_frame_is_refused() {
        assert!(Request::read(publish(vec![publication(1); BATCH_MAX])).is_ok());
        let refused = Request::read(publish(vec![publication(1); BATCH_MAX + 1])).unwrap_err();
        assert!(refused.contains("1024 publications"), "{refused}");
        let refused = Request::read(publish(vec![publication(HEADERS_MAX + 1)])).unwrap_err();
        assert!(refused.contains("256 headers"), "{refused}");
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let bytes = Bytes::from(bytes);
            let _ = Request::read(bytes.clone());
            let _ = Reply::read(bytes);
        }

        #[test]
        fn a_bent_frame_is_an_error_or_another_request(
            place in any::<prop::sample::Index>(),
            bent in any::<u8>(),
        ) {
            let mut bytes = publish(vec![publication(3); 2]).to_vec();
            let place = place.index(bytes.len());
            bytes[place] = bent;
            let _ = Request::read(bytes.into());
        }
    }
}
