//! Groups: the events or messages that a handler is called with at once, one or a batch.

use std::sync::Arc;

use griot_events::{Content, EVENT_NAME, Event, Failure, Headers, Partition, Router};
use griot_journal::RecordedEvent;

use crate::reading::Readings;

/// Events for one call of a handler, in the journal's order.
pub(crate) struct Group {
    /// Where the first and the last of them stand among those that were to be handled.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// As the journal has them; none for those of a topic.
    pub(crate) events: Vec<Arc<RecordedEvent>>,
    pub(crate) messages: Vec<Event>,
    /// Why the event, which is then the only one, cannot be read in today's shape.
    unreadable: Option<Failure>,
}

impl Group {
    /// An event by itself.
    pub(crate) fn of(readings: &Readings, event: &Arc<RecordedEvent>) -> Self {
        match message(readings, event) {
            Ok(message) => Self::begin(0, Some(event), message),
            Err(failure) => Self::unreadable(0, Some(event), failure),
        }
    }

    fn begin(index: usize, event: Option<&Arc<RecordedEvent>>, message: Event) -> Self {
        Self {
            first: index,
            last: index,
            events: event.into_iter().cloned().collect(),
            messages: vec![message],
            unreadable: None,
        }
    }

    fn unreadable(index: usize, event: Option<&Arc<RecordedEvent>>, failure: Failure) -> Self {
        Self {
            first: index,
            last: index,
            events: event.into_iter().cloned().collect(),
            messages: Vec::new(),
            unreadable: Some(failure),
        }
    }

    /// The events as one message, which is what the handlers take; `None` where there is none.
    pub(crate) fn message(&self) -> Result<Option<Event>, Failure> {
        match &self.unreadable {
            Some(failure) => Err(failure.clone()),
            None => Ok(Event::batch(self.messages.iter().cloned())),
        }
    }
}

/// Deals events to handlers: each by itself, save those that follow each other to the same handler of
/// batches. Events that no route asks for are left out, and part nobody. So every event is handled behind
/// all that stand before it.
///
/// Each comes with where it stands, as the journal has it, if it is a journal's, and as a message. One that
/// cannot be read in today's shape stands by itself as well: who would have got it is not known.
pub(crate) fn grouped<'e, S: Clone + Send + Sync + 'static>(
    router: &Router<S>,
    events: impl Iterator<
        Item = (
            usize,
            Option<&'e Arc<RecordedEvent>>,
            Result<Event, Failure>,
        ),
    >,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // The route of the last group, where it takes more.
    let mut open: Option<(Arc<str>, usize)> = None;
    for (index, event, message) in events {
        let message = match message {
            Ok(message) => message,
            Err(failure) => {
                open = None;
                groups.push(Group::unreadable(index, event, failure));
                continue;
            }
        };
        let Some((route, batch)) = router.handled_by(&message) else {
            continue;
        };
        if let (Some((taken, events_max)), Some(group)) = (&open, groups.last_mut())
            && Arc::ptr_eq(taken, route)
            && group.messages.len() < *events_max
        {
            group.last = index;
            group.events.extend(event.cloned());
            group.messages.push(message);
            continue;
        }
        open = batch.map(|batch| (Arc::clone(route), batch.events_max));
        groups.push(Group::begin(index, event, message));
    }
    groups
}

/// The event as a message, in today's shape where its kind has a reading.
pub(crate) fn message(readings: &Readings, event: &RecordedEvent) -> Result<Event, Failure> {
    let (name, payload) = readings.read(event)?;
    let mut headers = Headers::default();
    headers.push(EVENT_NAME, name);
    headers.push("event-seq", event.seq.to_string());
    for (name, value) in &event.metadata {
        headers.push(name.clone(), value.clone());
    }
    Ok(Event::new(Content {
        topic: event.entity.kind().to_owned(),
        key: Some(event.entity.id().to_owned().into()),
        headers,
        payload,
        partition: Partition(0),
        offset: event.offset.get(),
        published_at: Some(event.at),
        redelivered: 0,
    }))
}
