//! The key, parsed from text.

use std::fmt::Display;
use std::str::FromStr;

use super::OptionalFromEvent;
use crate::{DeadLetter, Event, Failure, FromEvent};

/// The event's key, parsed from text. `Option<Key<T>>` is `None` where it has none; a key that is
/// not text is had from [`Event::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<T>(pub T);

impl<S, T: FromStr<Err: Display>> OptionalFromEvent<S> for Key<T> {
    fn optional_from_event(event: &Event, _: &S) -> Result<Option<Self>, Failure> {
        let Some(key) = event.key() else {
            return Ok(None);
        };
        let text = std::str::from_utf8(key).map_err(|_| DeadLetter("the key is not text"))?;
        let key = text
            .parse()
            .map_err(|error| DeadLetter(format!("the key is wrong, `{text}`: {error}")))?;
        Ok(Some(Self(key)))
    }
}

impl<S, T: FromStr<Err: Display>> FromEvent<S> for Key<T> {
    fn from_event(event: &Event, state: &S) -> Result<Self, Failure> {
        let key = Self::optional_from_event(event, state)?;
        key.ok_or_else(|| DeadLetter("the event has no key").into())
    }
}
