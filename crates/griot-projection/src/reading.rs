//! Events in today's shape: recorded ones on their way to handlers, by way of [`Event::upcast`].

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use griot_core::{CoreError, Event, read_event, upcast_event};
use griot_events::{DeadLetter, Failure, FromEvent};
use griot_journal::{EventRecord, RecordedEvent};

use crate::caller::text;
use crate::{Recorded, Scope, Target};

/// The event as its type, in today's shape whatever it was recorded as: what an entity would read.
///
/// ```
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum Ledger { Paid { cents: i64 } }
/// # impl griot_core::Event for Ledger {}
/// use griot_events::{Failure, Key, Router};
/// use griot_projection::{Happened, Scope, Target, Tx};
///
/// async fn keep<T: Target>(tx: Tx<T>, Key(account): Key<String>, Happened(event): Happened<Ledger>) -> Result<(), Failure> {
///     let Ledger::Paid { cents } = event;
///     // sqlx::query("UPDATE accounts SET balance = balance + ? WHERE id = ?") …
///     Ok(())
/// }
///
/// fn accounts<T: Target>() -> Router<Scope<T>> {
///     Router::new().on("account", keep::<T>)
/// }
/// ```
///
/// One that cannot be read is a dead letter. Which handler gets an event is a matter of the name it was recorded
/// with, unless the projection [reads](crate::Projection::reading) its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened<E>(pub E);

impl<T: Target, E: Event> FromEvent<Scope<T>> for Happened<E> {
    fn from_event(event: &griot_events::Event, scope: &Scope<T>) -> Result<Self, Failure> {
        let Recorded(recorded) = Recorded::from_event(event, scope)?;
        let EventRecord {
            name,
            version,
            payload,
            ..
        } = &recorded.event;
        let read = read_event(name, *version, payload);
        Ok(Self(read.map_err(DeadLetter)?))
    }
}

/// The name and the payload of an event in today's shape.
type Reading = fn(&EventRecord) -> Result<(String, Bytes), CoreError>;

/// The types of events, by the kind of their entity.
#[derive(Clone, Default)]
pub(crate) struct Readings(Arc<HashMap<String, Reading>>);

impl Readings {
    /// These, and `kind` as `E`.
    pub(crate) fn with<E: Event>(&self, kind: &str) -> Self {
        let mut readings = HashMap::clone(&self.0);
        readings.insert(kind.to_owned(), today::<E>);
        Self(Arc::new(readings))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it was recorded, where its kind has no reading.
    pub(crate) fn read(&self, event: &RecordedEvent) -> Result<(String, Bytes), Failure> {
        let record = &event.event;
        match self.0.get(event.entity.kind()) {
            // What upcasts is the user's, and may panic.
            Some(reading) => match catch_unwind(AssertUnwindSafe(|| reading(record))) {
                Ok(read) => Ok(read.map_err(DeadLetter)?),
                Err(panic) => Err(Failure::DeadLetter {
                    reason: format!("upcasting panicked: {}", text(&*panic)),
                }),
            },
            None => Ok((record.name.to_string(), record.payload.clone())),
        }
    }
}

fn today<E: Event>(record: &EventRecord) -> Result<(String, Bytes), CoreError> {
    let upcast = upcast_event::<E>(&record.name, record.version, &record.payload)?;
    let is_recorded = upcast.payload() == record.payload;
    let payload = if is_recorded {
        record.payload.clone()
    } else {
        Bytes::copy_from_slice(upcast.payload())
    };
    Ok((upcast.name().to_owned(), payload))
}
