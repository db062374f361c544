//! A projection: which events go to which handlers, under which name.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use griot_core::Event;
use griot_events::{Answer, Broker, Router};
use griot_journal::Filter;

use crate::reading::Readings;
use crate::{ProjectionError, Scope, Target};

/// Which events go to which handlers, under which name and version.
///
/// A [`Runner`](crate::Runner) gives it the events of a journal, a [`Listener`](crate::Listener) the messages of a
/// broker's topics.
///
/// A handler is one of `griot-events`. An event of the journal comes to it with its entity's kind for a
/// topic and the entity's id for a key; the header `event-seq` has its sequence, and its metadata are
/// headers as well. It may ask for [`Tx`](crate::Tx), [`Recorded`](crate::Recorded),
/// [`Happened`](crate::Happened) and [`Phase`](crate::Phase) besides. Name and payload are as they were recorded,
/// unless the projection [reads](Projection::reading) the kind; [`Happened`](crate::Happened) is in today's shape anyway. Events that no route asks for are passed over.
///
/// - A handler of [batches](Router::on_batch) gets the events of a transaction that follow each other and go to
///   it, up to [`Batch::events_max`](griot_events::Batch): an event that goes to another handler ends the batch, so
///   that every handler sees an event behind all that stand before it in the journal; one that no route asks for
///   does not. Nothing is waited for. A batch that fails is halved until the one bad event is found.
/// - An answer of [`Answer::Retry`] and a panic are tried again, with a growing pause, up to
///   [`Limits::attempts_max`]; then, and at once after [`Answer::DeadLetter`], the event counts as
///   poison, and becomes what [`Poison`] says. No event is skipped silently.
/// - [`Answer::Publish`] goes out before the transaction is committed, under message ids that stay the
///   same when it is repeated, save those of a batch that is another one then; never while [rebuilding](crate::Phase::Rebuilding).
pub struct Projection<T: Target> {
    pub(crate) name: Arc<str>,
    pub(crate) version: u32,
    pub(crate) slices: u32,
    pub(crate) router: Router<Scope<T>>,
    pub(crate) readings: Readings,
    pub(crate) tables: Arc<[String]>,
    pub(crate) poison: Poison,
    pub(crate) limits: Limits,
    pub(crate) broker: Option<Arc<dyn Broker>>,
}

/// What becomes of an event that cannot be handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poison {
    /// The slice stops there, visibly, until somebody resumes it.
    #[default]
    Stop,
    /// The entity's events are parked from there on, visibly, until somebody asks for another try; the
    /// others go on. A message of a [topic](crate::Listener) goes to its
    /// [dead-letter topic](griot_events::dead_letter_topic), and all others go on, those of its key, too.
    Park,
}

/// What bounds a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events of the journal that are looked at for one transaction, or messages of a topic that are in one.
    pub batch_events_max: usize,
    /// How often a handler is tried with an event.
    pub attempts_max: u32,
    /// How long the first pause between two tries is, at most; each is twice as long as the one before.
    pub pause_first: Duration,
    /// How long the longest is.
    pub pause_max: Duration,
    /// How often it looks whether another process paused, resumed or asked for anything.
    pub look: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_events_max: 1_000,
            attempts_max: 5,
            pause_first: Duration::from_millis(50),
            pause_max: Duration::from_secs(5),
            look: Duration::from_millis(500),
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), ProjectionError> {
        if self.batch_events_max == 0 || self.attempts_max == 0 || self.look.is_zero() {
            return Err(ProjectionError::Refused {
                what: "a projection with a limit of zero",
                reason: "batch_events_max, attempts_max and look must be more than zero",
            });
        }
        Ok(())
    }

    /// The pause after so many failures, jittered.
    pub(crate) fn pause_after(&self, failures: u32) -> Duration {
        let doubled = self.pause_first.saturating_mul(1 << failures.min(16));
        doubled
            .min(self.pause_max)
            .mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

impl<T: Target> Projection<T> {
    /// A projection with one slice. The name is stored; the version is raised when the handlers write
    /// something else for the same events: then it must be [rebuilt](crate::Rebuild).
    pub fn new(name: &str, version: u32, router: Router<Scope<T>>) -> Self {
        Self {
            name: name.into(),
            version,
            slices: 1,
            router: router.fallback(async || Answer::Ack),
            readings: Readings::default(),
            tables: Arc::default(),
            poison: Poison::default(),
            limits: Limits::default(),
            broker: None,
        }
    }

    /// Reads the events of entities of `kind` as `E`: handlers are found by today's name, and get today's payload,
    /// whatever an event was recorded as; so a handler of `Json<T>` and a route for a name see what
    /// [`Event::upcast`](griot_core::Event::upcast) makes of it. One that is no `E` counts as poison.
    #[must_use]
    pub fn reading<E: Event>(self, kind: &str) -> Self {
        Self {
            readings: self.readings.with::<E>(kind),
            ..self
        }
    }

    /// With so many slices, each with a transaction of its own, side by side. Of topics, it is the number of
    /// transactions at a time.
    #[must_use]
    pub fn with_slices(self, slices: NonZeroU32) -> Self {
        Self {
            slices: slices.get(),
            ..self
        }
    }

    /// The tables that are its own alone: what a rebuild compares and swaps.
    #[must_use]
    pub fn with_tables<N: Into<String>>(self, tables: impl IntoIterator<Item = N>) -> Self {
        Self {
            tables: tables.into_iter().map(N::into).collect(),
            ..self
        }
    }

    /// What becomes of an event that cannot be handled.
    #[must_use]
    pub fn with_poison(self, poison: Poison) -> Self {
        Self { poison, ..self }
    }

    /// With these limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Where what the handlers publish goes.
    #[must_use]
    pub fn publishing_to(self, broker: Arc<dyn Broker>) -> Self {
        Self {
            broker: Some(broker),
            ..self
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tables that are its own alone.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// What to ask the journal for: one kind where there is only one.
    pub(crate) fn filter(&self) -> Filter {
        let topics = self.router.topics();
        let kind = match topics.as_slice() {
            [kind] if !kind.contains(['*', '>']) => Some(kind.clone()),
            _ => None,
        };
        Filter { kind, tag: None }
    }
}

impl<T: Target> Clone for Projection<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            router: self.router.clone(),
            readings: self.readings.clone(),
            tables: Arc::clone(&self.tables),
            broker: self.broker.clone(),
            ..*self
        }
    }
}

impl<T: Target> fmt::Debug for Projection<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Projection");
        debug.field("name", &self.name);
        debug.field("version", &self.version);
        debug.field("router", &self.router).finish_non_exhaustive()
    }
}
