//! An event of an entity's history, as JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::core::Timestamp;
use crate::journal::RecordedEvent;

/// An event of a history, as people get to see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventView {
    /// Its place in the history: 1, 2, 3, … without a gap.
    seq: u64,
    /// When it was recorded, RFC 3339.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What happened.
    #[schema(example = "OrderPlaced")]
    event: String,
    /// The particulars, as they are recorded.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl From<RecordedEvent> for EventView {
    fn from(recorded: RecordedEvent) -> Self {
        Self {
            seq: recorded.seq.get(),
            at: recorded.at,
            event: recorded.event.name.into_owned(),
            // Payloads are JSON; bytes that are not would be somebody else's, and are shown as null.
            data: serde_json::from_slice(&recorded.event.payload).unwrap_or_default(),
        }
    }
}
