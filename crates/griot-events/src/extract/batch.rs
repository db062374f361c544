//! What a handler of batches can ask for.

use super::{Attempt, FromRef, State};
use crate::{Event, Failure, FromEvent};

/// What a handler of batches can ask for as a parameter.
///
/// | parameter | what it is |
/// | --- | --- |
/// | `Vec<T>` of any [extractor](FromEvent) | the part of each event, in order: `Vec<Event>`, `Vec<Json<T>>`, `Vec<Key<T>>`, … |
/// | [`State<T>`] | what [`Router::with_state`](crate::Router::with_state) gave, or a part of it |
/// | [`Attempt`] | the attempt at the batch, from 1 |
///
/// One event that does not have the part refuses its batch, which then [falls apart](crate::Batch): so
/// only that event becomes a dead letter. `Vec<Result<Json<T>, Failure>>` leaves it to the handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a batch of events",
    label = "not an extractor for batches",
    note = "a handler of batches asks for `Vec<Event>`, or a `Vec` of another extractor such as `Vec<Json<T>>`, and for `State<T>` and `Attempt`"
)]
pub trait FromBatch<S>: Sized {
    /// Takes it from the events, of which there is at least one, or from the router's state.
    ///
    /// # Errors
    ///
    /// What becomes of a batch that does not have it: the handler is not called.
    fn from_batch(batch: &[Event], state: &S) -> Result<Self, Failure>;
}

impl<S, T: FromEvent<S>> FromBatch<S> for Vec<T> {
    fn from_batch(batch: &[Event], state: &S) -> Result<Self, Failure> {
        let parts = batch.iter().map(|event| T::from_event(event, state));
        parts.collect()
    }
}

impl<S, T: FromRef<S>> FromBatch<S> for State<T> {
    fn from_batch(_: &[Event], state: &S) -> Result<Self, Failure> {
        Ok(Self(T::from_ref(state)))
    }
}

impl<S> FromBatch<S> for Attempt {
    fn from_batch(batch: &[Event], _: &S) -> Result<Self, Failure> {
        Ok(Self(batch.first().map_or(1, Event::attempt)))
    }
}
