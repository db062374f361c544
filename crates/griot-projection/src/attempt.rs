//! A batch of events in one transaction: all of it and the place it leads to, or nothing.

use std::any::Any;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use griot_core::{EntityId, Offset, Publication};
use griot_events::{Answer, Failure, MESSAGE_ID};
use griot_journal::RecordedEvent;
use tower::Service;

use crate::group::{Group, grouped};
use crate::worker::Worker;
use crate::{Asked, Fault, Phase, ProjectionError, Standing, State, Target};

/// Why a batch was not committed. Nothing of it is stored.
pub(crate) enum Interrupted {
    /// An event could not be handled, or several at once: from the first to the last of these.
    Unhandled {
        first: usize,
        last: usize,
        failure: Failure,
    },
    /// The slice is paused, or stopped.
    Held(State),
    /// The slice stands elsewhere than this worker thought.
    Moved,
    /// Something else than a handler failed.
    Error(ProjectionError),
}

/// Why an event was not handled.
pub(crate) enum Unhandled {
    /// The handler says so.
    Failed(Failure),
    /// The database could not, which is no fault of the event's.
    Database(ProjectionError),
}

impl Unhandled {
    fn of(self, group: &Group) -> Interrupted {
        match self {
            Self::Failed(failure) => Interrupted::Unhandled {
                first: group.first,
                last: group.last,
                failure,
            },
            Self::Database(error) => Interrupted::Error(error),
        }
    }
}

impl From<ProjectionError> for Interrupted {
    fn from(error: ProjectionError) -> Self {
        Self::Error(error)
    }
}

impl<T: Target> Worker<T> {
    /// Handles the events and moves to `next`, in one transaction.
    pub(crate) async fn attempt(
        &mut self,
        events: &[Arc<RecordedEvent>],
        next: Offset,
    ) -> Result<(), Interrupted> {
        let mut transaction = self.target.begin().await?;
        let mut standing = self.here(&mut transaction).await?;
        let parked = self.target.parked(&mut transaction, &self.slice).await?;
        self.retry_asked = parked.iter().any(|parked| parked.asked == Asked::Retry);
        self.metrics.parked(parked.len());
        let parked: HashSet<EntityId> = parked.into_iter().map(|parked| parked.entity).collect();
        let waits = |event: &RecordedEvent| !parked.is_empty() && parked.contains(&event.entity);
        let own = events.iter().enumerate().filter(|(_, event)| !waits(event));
        let (mut handled, mut out) = (0, Vec::new());
        for group in grouped(&self.router, &self.projection.readings, own) {
            let handling = self.handle(transaction, &group, &mut out).await;
            transaction = handling.map_err(|unhandled| unhandled.of(&group))?;
            handled += group.events.len() as u64;
        }
        self.publish(out).await?;
        standing.offset = next;
        standing.events += handled;
        self.commit(transaction, &standing).await?;
        self.metrics.committed(handled);
        Ok(())
    }

    /// Where the slice stands, if it is this worker's, gets on, and stands where the worker thinks.
    pub(crate) async fn here(
        &mut self,
        transaction: &mut T::Transaction,
    ) -> Result<Standing, Interrupted> {
        self.scope.begun();
        let standing = self.owned(transaction).await?;
        if standing.state != State::Running {
            return Err(Interrupted::Held(standing.state));
        }
        if standing.offset != self.offset {
            self.offset = standing.offset;
            return Err(Interrupted::Moved);
        }
        Ok(standing)
    }

    /// Stores the standing under this worker's epoch and commits.
    pub(crate) async fn commit(
        &mut self,
        mut transaction: T::Transaction,
        standing: &Standing,
    ) -> Result<(), ProjectionError> {
        let stored = self
            .target
            .store(&mut transaction, &self.slice, self.epoch, standing);
        if stored.await? != 1 {
            return Err(self.fenced(standing.epoch));
        }
        self.target.commit(transaction).await?;
        self.scope.committed();
        self.offset = standing.offset;
        self.signals.moved.send_replace(());
        Ok(())
    }

    /// Gives events to their handler; publications join `out`. Where it failed, the transaction is rolled
    /// back.
    pub(crate) async fn handle(
        &mut self,
        transaction: T::Transaction,
        group: &Group,
        out: &mut Vec<Publication>,
    ) -> Result<T::Transaction, Unhandled> {
        let message = group.message().map_err(Unhandled::Failed)?;
        let Some(message) = message else {
            return Ok(transaction);
        };
        self.scope.lend(transaction, &group.events);
        // What the handler held is gone with it, and the transaction is rolled back.
        let handled = AssertUnwindSafe(self.router.call(message)).catch_unwind();
        let answer = match handled.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(never)) => match never {},
            Err(panic) => Answer::Retry {
                reason: format!("the handler panicked: {}", text(&*panic)),
            },
        };
        let mut transaction = self.scope.take_back();
        let fault = transaction
            .as_mut()
            .and_then(|transaction| self.target.fault(transaction));
        if let Some(Fault::Database(error)) = fault {
            return Err(Unhandled::Database(error));
        }
        self.settle(&group.events, answer, out)
            .map_err(Unhandled::Failed)?;
        let failure = match (transaction, fault) {
            (Some(transaction), None) => return Ok(transaction),
            (_, Some(Fault::Statement(reason))) => Failure::Retry { reason },
            _ => Failure::DeadLetter {
                reason: "the handler kept the transaction: drop it before the handler ends"
                    .to_owned(),
            },
        };
        Err(Unhandled::Failed(failure))
    }

    /// What an answer comes to; publications join `out`, named for the first event and the last, since another
    /// batch may begin with the first.
    fn settle(
        &self,
        events: &[Arc<RecordedEvent>],
        answer: Answer,
        out: &mut Vec<Publication>,
    ) -> Result<(), Failure> {
        match answer {
            Answer::Ack => Ok(()),
            Answer::Retry { reason } => Err(Failure::Retry { reason }),
            Answer::DeadLetter { reason } => Err(Failure::DeadLetter { reason }),
            Answer::Publish(_) if self.scope.phase() == Phase::Rebuilding => Ok(()),
            Answer::Publish(_) if self.projection.broker.is_none() => Err(Failure::DeadLetter {
                reason: "it publishes, and the projection has no broker: give it one with \
                         `publishing_to`"
                    .to_owned(),
            }),
            Answer::Publish(publications) => {
                let name = self.name(events);
                for (number, mut publication) in publications.into_iter().enumerate() {
                    let headers = &mut publication.headers;
                    if !headers.iter().any(|(name, _)| name == MESSAGE_ID) {
                        headers.push((MESSAGE_ID.to_owned(), format!("{name}/{number}")));
                    }
                    out.push(publication);
                }
                Ok(())
            }
        }
    }

    /// What a batch's publications are called by: its first event, and how far it goes.
    fn name(&self, events: &[Arc<RecordedEvent>]) -> String {
        let projection = &self.projection.name;
        match events {
            [] => projection.to_string(),
            [event] => format!("{projection}/{}/{}", event.entity, event.seq),
            [first, .., last] => {
                format!(
                    "{projection}/{}/{}-{}",
                    first.entity, first.seq, last.offset
                )
            }
        }
    }

    pub(crate) async fn publish(&self, out: Vec<Publication>) -> Result<(), ProjectionError> {
        if let Some(broker) = &self.projection.broker
            && !out.is_empty()
        {
            for outcome in broker.publish(out).await {
                outcome?;
            }
        }
        Ok(())
    }
}

pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not with a text")
}
