//! Extractors: the parts of an event that a handler asks for by type.

mod batch;
mod header;
mod json;
mod key;
#[cfg(feature = "protobuf")]
mod protobuf;
mod state;

use bytes::Bytes;

pub use batch::FromBatch;
pub use header::{Header, NamedHeader};
pub use json::Json;
pub use key::Key;
#[cfg(feature = "protobuf")]
pub use protobuf::Protobuf;
pub use state::{FromRef, State};

use crate::{Event, Failure, Headers};

/// What a handler can ask for as a parameter.
///
/// | parameter | what it is | refused, as a dead letter |
/// | --- | --- | --- |
/// | [`Json<T>`] | the payload as JSON | where it is not a `T`, naming the field |
/// | `Protobuf<T>` | the payload in Protocol Buffers (feature `protobuf`) | where it is not a `T` |
/// | [`Bytes`] | the payload as it came | |
/// | [`Key<T>`] | the key, parsed from text | where it is missing or no `T` |
/// | [`Header<T>`] | one header, parsed from text | where it is missing or no `T` |
/// | [`Headers`] | all headers, copied | |
/// | [`Topic`], [`Attempt`] | the topic, the attempt from 1 | |
/// | [`Event`] | all of it, cheaply | |
/// | [`State<T>`] | what [`Router::with_state`](crate::Router::with_state) gave, or a part of it | |
/// | `Option<T>` | `None` where a key, a header or a payload is missing | where it is there, and no `T` |
/// | `Result<T, Failure>` | the part, or why not; the handler decides | |
///
/// Taking a part never waits; what has to wait belongs into the handler. A part of one's own:
///
/// ```
/// use griot_events::{DeadLetter, Event, Failure, FromEvent};
///
/// struct Region(String);
///
/// impl<S> FromEvent<S> for Region {
///     fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
///         let (_, region) = event.topic().rsplit_once('.').ok_or(DeadLetter("the topic has no region"))?;
///         Ok(Self(region.to_owned()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from an event",
    label = "not an extractor",
    note = "extractors are `Json<T>`, `Key<T>`, `Header<T>`, `State<T>`, `Bytes`, `Headers`, `Topic`, `Attempt` and `Event`; `Option<T>` of a key, header or JSON; `Result<T, Failure>` of any"
)]
pub trait FromEvent<S>: Sized {
    /// Takes it from the event, or from the router's state.
    ///
    /// # Errors
    ///
    /// What becomes of an event that does not have it: the handler is not called.
    fn from_event(event: &Event, state: &S) -> Result<Self, Failure>;
}

/// A part that an event may be without: `Option<T>` can be asked for.
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` cannot be taken from an event",
    label = "not an extractor that may be missing",
    note = "`Option` can be put around `Key<T>`, `Header<T>` and `Json<T>`; around others, use `Result<T, Failure>`"
)]
pub trait OptionalFromEvent<S>: Sized {
    /// Takes it from the event; `None` where it is missing.
    ///
    /// # Errors
    ///
    /// What becomes of an event in which it is there, but wrong.
    fn optional_from_event(event: &Event, state: &S) -> Result<Option<Self>, Failure>;
}

/// The topic that the event was published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(pub String);

/// Which attempt at handling the event this is, from 1, within this delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(pub u32);

impl<S> FromEvent<S> for Event {
    fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
        Ok(event.clone())
    }
}

impl<S> FromEvent<S> for Bytes {
    fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
        Ok(event.payload().clone())
    }
}

impl<S> FromEvent<S> for Headers {
    fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
        Ok(event.headers().clone())
    }
}

impl<S> FromEvent<S> for Topic {
    fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
        Ok(Self(event.topic().to_owned()))
    }
}

impl<S> FromEvent<S> for Attempt {
    fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
        Ok(Self(event.attempt()))
    }
}

impl<S, T: OptionalFromEvent<S>> FromEvent<S> for Option<T> {
    fn from_event(event: &Event, state: &S) -> Result<Self, Failure> {
        T::optional_from_event(event, state)
    }
}

impl<S, T: FromEvent<S>> FromEvent<S> for Result<T, Failure> {
    fn from_event(event: &Event, state: &S) -> Result<Self, Failure> {
        Ok(T::from_event(event, state))
    }
}
