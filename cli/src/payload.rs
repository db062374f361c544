//! Payloads as people and machines get to see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

/// JSON as it was written, on one line; else text; else bytes in base64.
#[derive(Serialize)]
pub(crate) struct Payload<'a> {
    #[serde(rename = "payload", skip_serializing_if = "Option::is_none")]
    json: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl<'a> Payload<'a> {
    /// What these bytes are.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        let json = text.and_then(json_of);
        Self {
            text: text.filter(|_| json.is_none()),
            base64: text.is_none().then(|| STANDARD.encode(bytes)),
            json,
        }
    }

    /// The JSON, if it is JSON.
    pub(crate) fn json(&self) -> Option<&RawValue> {
        self.json.as_deref()
    }

    /// The text, if it is text and no JSON.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text
    }

    /// The bytes in base64, if they are no text.
    pub(crate) fn base64(&self) -> Option<&str> {
        self.base64.as_deref()
    }

    /// For people: on one line, and without what a terminal would take for a command.
    pub(crate) fn one_line(&self) -> String {
        match (&self.json, self.text, &self.base64) {
            (Some(json), _, _) => json.get().to_owned(),
            (_, Some(text), _) => text.escape_debug().to_string(),
            (_, _, base64) => base64.clone().unwrap_or_default(),
        }
    }
}

/// The JSON in a text as it was written, on one line. A line break in JSON stands between its parts: in
/// a text it is written otherwise.
fn json_of(text: &str) -> Option<Box<RawValue>> {
    let one_line = text.replace(['\n', '\r'], " ");
    serde_json::from_str::<&RawValue>(text).ok()?;
    RawValue::from_string(one_line.trim().to_owned()).ok()
}
