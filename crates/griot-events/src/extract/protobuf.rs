//! Payloads in Protocol Buffers.

use crate::{DeadLetter, Event, Failure, FromEvent};

/// A payload in Protocol Buffers, as a type that `prost` made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protobuf<T>(pub T);

impl<S, T: prost::Message + Default> FromEvent<S> for Protobuf<T> {
    fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
        // Its fields may then share the payload instead of copying it.
        let message = T::decode(event.payload().clone());
        let message =
            message.map_err(|error| DeadLetter(format!("the payload is wrong: {error}")))?;
        Ok(Self(message))
    }
}
