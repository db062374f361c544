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
        let mut json = serde_json::Deserializer::from_slice(event.payload());
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (path, error) = (error.path().to_string(), error.into_inner());
            DeadLetter(match path.as_str() {
                "." => format!("the payload is wrong: {error}"),
                field => format!("the payload is wrong at `{field}`: {error}"),
            })
        })?;
        json.end()
            .map_err(|error| DeadLetter(format!("the payload does not end: {error}")))?;
        Ok(Self(value))
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
