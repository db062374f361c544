//! The layers that nobody should be without.

use super::{Around, CatchPanic, DeadLetters, Metrics, Next, Retries, Trace};
use crate::{Answer, Event};

/// The layers that nobody should be without, as one. From the outside in:
///
/// 1. [`DeadLetters`], so that every dead letter goes out, whoever made it;
/// 2. [`Trace`] and [`Metrics`], which see an event once, with what became of it in the end;
/// 3. [`Retries`], five attempts, each of them behind
/// 4. [`CatchPanic`].
///
/// An event that goes well costs two allocations from router to answer, beside what its handler
/// needs: the handler's future, and the one around it, which all of these share.
#[derive(Clone, Debug, Default)]
pub struct DefaultStack {
    /// Where dead letters go.
    pub dead_letters: DeadLetters,
    /// The span around an event.
    pub trace: Trace,
    /// What is counted.
    pub metrics: Metrics,
    /// How often and when an event is handled again.
    pub retries: Retries,
}

impl Around for DefaultStack {
    fn around<N: Next>(
        self,
        event: Event,
        next: N,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let handling = (self.retries, CatchPanic);
        let watched = (self.trace, (self.metrics, handling));
        (self.dead_letters, watched).around(event, next)
    }
}
