//! Payloads as JSON.

use bytes::Bytes;
use griot_core::Publication;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::OptionalFromEvent;
use crate::{DeadLetter, Event, Failure, FromEvent};

/// A payload as JSON. `Option<Json<T>>` is `None` where the payload is empty, as in the tombstones
/// of a topic that keeps the last message of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> Json<T> {
    /// A publication of it, without key and headers.
    ///
    /// ```
    /// use griot_events::{Failure, Json, Key, Publication};
    ///
    /// async fn receipt(Key(order): Key<String>) -> Result<Publication, Failure> {
    ///     let receipt = Json(["paid"]).publication("receipts")?;
    ///     Ok(Publication { key: Some(order), ..receipt })
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A dead letter where it has no form in JSON.
    pub fn publication(&self, topic: impl Into<String>) -> Result<Publication, Failure> {
        let payload = serde_json::to_vec(&self.0)
            .map_err(|error| DeadLetter(format!("what to publish is no JSON: {error}")))?;
        Ok(Publication {
            topic: topic.into(),
            key: None,
            headers: Vec::new(),
            payload: Bytes::from(payload),
        })
    }
}

impl<S, T: DeserializeOwned> FromEvent<S> for Json<T> {
    fn from_event(event: &Event, _: &S) -> Result<Self, Failure> {
        let value = serde_json::from_slice(event.payload());
        let value = value.map_err(|error| DeadLetter(explain::<T>(event.payload(), &error)))?;
        Ok(Self(value))
    }
}

/// Says which field is wrong. It is read a second time for that, so that what is right is read fast.
fn explain<T: DeserializeOwned>(payload: &[u8], error: &serde_json::Error) -> String {
    let mut json = serde_json::Deserializer::from_slice(payload);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(located) if located.path().iter().next().is_some() => {
            format!("the payload is wrong at `{}`: {error}", located.path())
        }
        _ => format!("the payload is wrong: {error}"),
    }
}

impl<S, T: DeserializeOwned> OptionalFromEvent<S> for Json<T> {
    fn optional_from_event(event: &Event, state: &S) -> Result<Option<Self>, Failure> {
        if event.payload().is_empty() {
            return Ok(None);
        }
        Self::from_event(event, state).map(Some)
    }
}
