//! Somebody who records notes in notebooks.

use std::sync::LazyLock;

use griot_core::Event;
use griot_events::BoxFuture;
use serde::{Deserialize, Serialize};

const PAYLOAD_BYTES: usize = 256;

/// What is recorded: the same by everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Noted {
    Noted { text: String },
}
impl Event for Noted {}

/// A text that makes the event's payload `PAYLOAD_BYTES` long.
pub fn text() -> String {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| "x".repeat(PAYLOAD_BYTES - r#"{"text":""}"#.len()));
    TEXT.clone()
}

/// Records notes, each durable before it says so.
pub trait Contender: Send + Sync {
    fn name(&self) -> String;
    /// Adds a note to a notebook: one command, whose decision needs the notebook's state.
    fn note(&self, notebook: usize) -> BoxFuture<'_, ()>;
}
