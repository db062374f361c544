//! Events in the shapes of the past, brought to today's.

use std::borrow::Cow;

use serde_json::Value;

use crate::{CoreError, Event, codec};

/// Steps from the oldest shape of an event to today's, at most: more than that never end.
const STEPS_MAX: usize = 1_000;

/// A recorded event on its way to today's shape, as [`Event::upcast`] gets it: the name, version and
/// payload it was recorded with, or what the step before made of them.
#[derive(Clone, Debug)]
pub struct Upcast<'a> {
    name: Cow<'a, str>,
    version: u16,
    payload: Cow<'a, [u8]>,
    /// Why a step could not be taken.
    fault: Option<String>,
}

impl<'a> Upcast<'a> {
    /// An event as it was recorded.
    pub(crate) fn new(name: &'a str, version: u16, payload: &'a [u8]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            version,
            payload: Cow::Borrowed(payload),
            fault: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of its shape.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Its payload, as JSON.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// As version `to`, with its payload changed: `|_| ()` where only the meaning did, or a field came
    /// that serde has a default for.
    #[must_use]
    pub fn to(mut self, to: u16, change: impl FnOnce(&mut Value)) -> Self {
        let changed = serde_json::from_slice(&self.payload).and_then(|mut payload| {
            change(&mut payload);
            serde_json::to_vec(&payload)
        });
        match changed {
            Ok(payload) => self.payload = Cow::Owned(payload),
            Err(error) => self.fault = Some(error.to_string()),
        }
        self.version = to;
        self
    }

    /// Under another name, as `version` of that.
    #[must_use]
    pub fn renamed(self, name: &'static str, version: u16) -> Self {
        Self {
            name: Cow::Borrowed(name),
            version,
            ..self
        }
    }

    fn is_at(&self, name: &str, version: u16) -> bool {
        self.name == name && self.version == version
    }
}

/// Reads a recorded event in today's shape, by way of [`Event::upcast`] where it was recorded in
/// another.
///
/// # Errors
///
/// [`CoreError::Decode`] for a name that the type does not have, a payload that does not fit, a version
/// that is newer than today's, and one that is older and that no upcast leads on from.
pub fn read_event<E: Event>(name: &str, version: u16, payload: &[u8]) -> Result<E, CoreError> {
    lead(Upcast::new(name, version, payload)).map(|(event, _)| event)
}

/// The name, version and payload that a recorded event has in today's shape, which is what it was recorded
/// with unless [`Event::upcast`] says otherwise.
///
/// # Errors
///
/// As [`read_event`].
pub fn upcast_event<'a, E: Event>(
    name: &'a str,
    version: u16,
    payload: &'a [u8],
) -> Result<Upcast<'a>, CoreError> {
    lead::<E>(Upcast::new(name, version, payload)).map(|(_, upcast)| upcast)
}

/// Takes every step there is, and reads what comes of it.
fn lead<E: Event>(mut event: Upcast<'_>) -> Result<(E, Upcast<'_>), CoreError> {
    let recorded = event.name.clone();
    let fail = |reason: String| CoreError::Decode {
        name: recorded.clone().into_owned(),
        reason,
    };
    for _ in 0..STEPS_MAX {
        let (name, version) = (event.name.clone(), event.version);
        event = E::upcast(event);
        if let Some(reason) = event.fault.take() {
            return Err(fail(format!("it could not be upcast: {reason}")));
        }
        if event.is_at(&name, version) {
            let read: E = codec::decode_event(&event.name, &event.payload)?;
            return match read.version() {
                today if today == event.version => Ok((read, event)),
                today if today < event.version => Err(fail(format!(
                    "its version is {}, and this program knows {today}: it was recorded by a newer one",
                    event.version
                ))),
                today => Err(fail(format!(
                    "its version is {}, and today's is {today}: say in `Event::upcast` what leads there",
                    event.version
                ))),
            };
        }
    }
    Err(fail("its upcasts never end".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Ledger {
        Paid { cents: i64, currency: String },
        Closed {},
    }

    impl Event for Ledger {
        fn version(&self) -> u16 {
            match self {
                Self::Paid { .. } => 3,
                Self::Closed {} => 1,
            }
        }

        fn upcast(event: Upcast<'_>) -> Upcast<'_> {
            match (event.name(), event.version()) {
                ("Debited", 1) => event.renamed("Paid", 1),
                ("Paid", 1) => event.to(2, |paid| {
                    let euros = paid["euros"].as_i64().unwrap_or_default();
                    *paid = serde_json::json!({ "cents": euros * 100 });
                }),
                ("Paid", 2) => event.to(3, |paid| paid["currency"] = "EUR".into()),
                ("Looped", 1) => event.renamed("Looped", 2),
                ("Looped", 2) => event.renamed("Looped", 1),
                _ => event,
            }
        }
    }

    fn read(name: &str, version: u16, payload: &str) -> Result<Ledger, String> {
        read_event(name, version, payload.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_event_of_any_age_is_read_in_todays_shape() {
        let paid = Ledger::Paid {
            cents: 700,
            currency: "EUR".to_owned(),
        };
        for (name, version, payload) in [
            ("Debited", 1, r#"{"euros":7}"#),
            ("Paid", 1, r#"{"euros":7}"#),
            ("Paid", 2, r#"{"cents":700}"#),
            ("Paid", 3, r#"{"cents":700,"currency":"EUR"}"#),
        ] {
            assert_eq!(
                read(name, version, payload).as_ref(),
                Ok(&paid),
                "{name} {version}"
            );
        }
        assert_eq!(read("Closed", 1, "{}"), Ok(Ledger::Closed {}));
    }

    #[test]
    fn an_upcast_has_todays_name_version_and_payload() {
        let today = upcast_event::<Ledger>("Debited", 1, br#"{"euros":7}"#).unwrap();
        assert_eq!((today.name(), today.version()), ("Paid", 3));
        assert_eq!(today.payload(), br#"{"cents":700,"currency":"EUR"}"#);
        let recorded = br#" {"currency":"EUR", "cents":700} "#;
        let today = upcast_event::<Ledger>("Paid", 3, recorded).unwrap();
        assert_eq!(today.payload(), recorded);
    }

    #[test]
    fn what_cannot_be_upcast_says_why() {
        for (name, version, payload, why) in [
            ("Paid", 4, r#"{"cents":7,"currency":"EUR"}"#, "newer"),
            ("Closed", 0, "{}", "Event::upcast"),
            ("Paid", 1, "{", "upcast"),
            ("Looped", 1, "{}", "never end"),
            ("Opened", 1, "{}", "Opened"),
        ] {
            let error = read(name, version, payload).unwrap_err();
            assert!(error.contains(why), "{name} {version}: {error}");
        }
    }
}
