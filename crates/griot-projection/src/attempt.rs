//! A batch of events in one transaction: all of it and the place it leads to, or nothing.

use std::collections::HashSet;
use std::sync::Arc;

use griot_core::{EntityId, Offset, Publication};
use griot_events::Failure;
use griot_journal::RecordedEvent;

use crate::caller::Unhandled;
use crate::group::{Group, grouped, message};
use crate::worker::Worker;
use crate::{Asked, ProjectionError, Standing, State, Target};

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

impl Unhandled {
    pub(crate) fn of(self, group: &Group) -> Interrupted {
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
        let readings = &self.projection.readings;
        let read = own.map(|(index, event)| (index, Some(event), message(readings, event)));
        let (mut handled, mut out) = (0, Vec::new());
        for group in grouped(&self.projection.router, read) {
            let handling = self.handle(transaction, &group, &mut out).await;
            transaction = handling.map_err(|unhandled| unhandled.of(&group))?;
            handled += group.events.len() as u64;
        }
        self.caller.publish(out).await?;
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
        self.caller.begun();
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
        self.caller.committed();
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
        let projection = &self.projection.name;
        let name = || name_of(projection, &group.events);
        let (events, caller) = (&group.events, &mut self.caller);
        caller.call(transaction, message, events, &name, out).await
    }
}

/// What a batch's publications are called by: its first event, and how far it goes, since another batch may
/// begin with the first.
fn name_of(projection: &str, events: &[Arc<RecordedEvent>]) -> String {
    match events {
        [] => projection.to_owned(),
        [event] => format!("{projection}/{}/{}", event.entity, event.seq),
        [first, .., last] => {
            format!(
                "{projection}/{}/{}-{}",
                first.entity, first.seq, last.offset
            )
        }
    }
}
