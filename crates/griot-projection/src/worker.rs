//! The task that runs one slice of a projection.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use griot_core::{Epoch, Offset, Timestamp};
use griot_events::Failure;
use griot_journal::{Filter, Journal, JournalError, RecordedEvent};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::attempt::Interrupted;
use crate::caller::Caller;
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::read_model::lag_of;
use crate::runner::Signals;
use crate::{Phase, Poison, Projection, ProjectionError, Slice, Standing, State, Target};

/// How often the lag is measured at most.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Runs one slice.
pub(crate) struct Worker<T: Target> {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) target: T,
    pub(crate) projection: Projection<T>,
    pub(crate) caller: Caller<T>,
    pub(crate) slice: Slice,
    pub(crate) epoch: Epoch,
    /// Where it believes to stand; the target knows.
    pub(crate) offset: Offset,
    pub(crate) metrics: Metrics,
    pub(crate) signals: Arc<Signals>,
    /// Somebody asked for another try of a parked entity.
    pub(crate) retry_asked: bool,
    /// What all slices read.
    pages: Arc<Pages>,
    /// Where it ends by itself.
    until: Option<Offset>,
    /// How many events to take next, where what stands behind them could not be handled.
    good: Option<usize>,
    /// What could not be handled lies no farther than here.
    bad_until: Option<Offset>,
    /// How often the next event was tried.
    attempts: u32,
    /// How often in a row something else failed.
    failures: u32,
    measured: Option<Instant>,
}

/// What came of a turn.
enum Turn {
    Moved,
    /// There is nothing to do.
    Idle,
    Held(State),
}

impl<T: Target> Worker<T> {
    /// Takes a slice over, under a new epoch.
    pub(crate) async fn claim(
        journal: &Arc<dyn Journal>,
        pages: &Arc<Pages>,
        target: &T,
        projection: &Projection<T>,
        (number, phase): (u32, Phase),
    ) -> Result<Self, ProjectionError> {
        let slice = Slice {
            projection: Arc::clone(&projection.name),
            number,
        };
        let standing = claim(&**journal, target, projection, &slice).await?;
        Ok(Self {
            journal: Arc::clone(journal),
            target: target.clone(),
            caller: Caller::new(target, projection, phase),
            pages: Arc::clone(pages),
            projection: projection.clone(),
            metrics: Metrics::new(&slice),
            slice,
            epoch: standing.epoch,
            offset: standing.offset,
            signals: Arc::default(),
            retry_asked: true,
            until: None,
            good: None,
            bad_until: None,
            attempts: 0,
            failures: 0,
            measured: None,
        })
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ProjectionError> {
        let mut bell = self.signals.bell.subscribe();
        while !*stop.borrow_and_update() {
            self.measure().await;
            let waiting = match self.turn().await {
                Ok(Turn::Moved) => {
                    self.failures = 0;
                    continue;
                }
                Ok(Turn::Held(_)) => self.projection.limits.look,
                Ok(Turn::Idle) => {
                    self.retry_asked = true;
                    let advanced = self.journal.advanced(self.offset);
                    tokio::select! {
                        advanced = timeout(self.projection.limits.look, advanced) => {
                            if let Ok(Err(error)) = advanced {
                                return Err(error.into());
                            }
                        }
                        _ = stop.changed() => {}
                        _ = bell.changed() => {}
                    }
                    continue;
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    let slice = self.slice.to_string();
                    tracing::warn!(
                        slice,
                        error = &error as &dyn std::error::Error,
                        "a projection waits and tries again"
                    );
                    self.failures = self.failures.saturating_add(1);
                    self.projection.limits.pause_after(self.failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(waiting) => {}
                _ = stop.changed() => {}
                _ = bell.changed() => {}
            }
        }
        Ok(())
    }

    /// Runs until it has come to `until`, and not beyond.
    pub(crate) async fn run_until(&mut self, until: Offset) -> Result<(), ProjectionError> {
        self.until = Some(until);
        let mut failures = 0;
        while self.offset < until {
            match self.turn().await {
                Ok(Turn::Moved) => failures = 0,
                // The journal ends before it.
                Ok(Turn::Idle) => {
                    return Err(ProjectionError::OtherJournal {
                        projection: self.projection.name.to_string(),
                        offset: until,
                    });
                }
                Ok(Turn::Held(state)) => {
                    return Err(ProjectionError::Held {
                        projection: self.projection.name.to_string(),
                        state: state.to_string(),
                    });
                }
                Err(ProjectionError::Target(_))
                    if failures < self.projection.limits.attempts_max =>
                {
                    failures += 1;
                    tokio::time::sleep(self.projection.limits.pause_after(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Handles the next batch, or what somebody asked for.
    async fn turn(&mut self) -> Result<Turn, ProjectionError> {
        let done = self.try_turn().await;
        match done {
            Ok(turn) => Ok(turn),
            Err(Interrupted::Held(state)) => Ok(Turn::Held(state)),
            Err(Interrupted::Moved) => Ok(Turn::Moved),
            Err(Interrupted::Error(error)) => Err(error),
            Err(Interrupted::Unhandled { failure, .. }) => Err(ProjectionError::Held {
                projection: self.projection.name.to_string(),
                state: format!("{failure:?}"),
            }),
        }
    }

    async fn try_turn(&mut self) -> Result<Turn, Interrupted> {
        if self.retry_asked {
            self.retry_parked().await?;
        }
        let page = self.pages.beyond(self.offset).await;
        let page = page.map_err(ProjectionError::from)?;
        let mut next = page.next.min(self.until.unwrap_or(Offset::MAX));
        if next <= self.offset {
            return Ok(Turn::Idle);
        }
        let slices = self.projection.slices;
        let own = |event: &&Arc<RecordedEvent>| {
            event.offset > self.offset
                && event.offset <= next
                && (slices == 1 || event.entity.shard(slices) == self.slice.number)
        };
        let mut events: Vec<_> = page.events.iter().filter(own).map(Arc::clone).collect();
        if let Some(max) = self.bound(&events)
            && max < events.len()
        {
            events.truncate(max);
            next = events.last().map_or(next, |last| last.offset);
        }
        match self.attempt(&events, next).await {
            Ok(()) => self.attempts = 0,
            Err(Interrupted::Unhandled {
                first,
                last,
                failure,
            }) => {
                self.bad_until = events.get(last).map(|event| event.offset);
                match events.get(first) {
                    // Those before it go first, so that it stands at the head.
                    Some(_) if first > 0 => self.good = Some(first),
                    Some(event) if first == last => self.unhandled(event, failure).await?,
                    // A batch is halved until the one is found that is to blame.
                    _ => {}
                }
            }
            Err(other) => return Err(other),
        }
        Ok(Turn::Moved)
    }

    /// How many of the events to take, where one of them could not be handled.
    fn bound(&mut self, events: &[Arc<RecordedEvent>]) -> Option<usize> {
        if let Some(good) = self.good.take() {
            return Some(good);
        }
        let until = self.bad_until?;
        let suspects = events.iter().filter(|event| event.offset <= until).count();
        if suspects == 0 {
            self.bad_until = None;
            return None;
        }
        Some((suspects / 2).max(1))
    }

    /// Waits before the event is tried again, or says that it is poison.
    async fn unhandled(
        &mut self,
        event: &RecordedEvent,
        failure: Failure,
    ) -> Result<(), Interrupted> {
        self.metrics.failed();
        self.attempts = self.attempts.saturating_add(1);
        let reason = describe(event, &failure);
        let again = matches!(failure, Failure::Retry { .. })
            && self.attempts < self.projection.limits.attempts_max;
        if again {
            tracing::warn!(reason, "an event could not be projected, it is tried again");
            tokio::time::sleep(self.projection.limits.pause_after(self.attempts)).await;
            return Ok(());
        }
        self.metrics.poisoned();
        self.attempts = 0;
        tracing::error!(reason, poison = ?self.projection.poison, "an event cannot be projected");
        match self.projection.poison {
            Poison::Park => self.park(event, reason).await,
            Poison::Stop => {
                let mut transaction = self.target.begin().await?;
                let mut standing = self.here(&mut transaction).await?;
                standing.state = State::Failed { reason };
                Ok(self.commit(transaction, &standing).await?)
            }
        }
    }

    /// Where the slice stands, if it is this worker's.
    pub(crate) async fn owned(
        &self,
        transaction: &mut T::Transaction,
    ) -> Result<Standing, ProjectionError> {
        match self.target.load(transaction, &self.slice).await? {
            Some(standing) if standing.epoch == self.epoch => Ok(standing),
            Some(standing) => Err(self.fenced(standing.epoch)),
            None => Err(self.fenced(Epoch::ZERO)),
        }
    }

    pub(crate) fn fenced(&self, current: Epoch) -> ProjectionError {
        ProjectionError::Fenced {
            slice: self.slice.to_string(),
            held: self.epoch,
            current,
        }
    }

    /// Tells the metrics how far behind it is.
    async fn measure(&mut self) {
        if self.measured.is_some_and(|at| at.elapsed() < MEASURE_EVERY) {
            return;
        }
        self.measured = Some(Instant::now());
        if let Ok(lag) = lag_of(&*self.journal, self.offset).await {
            self.metrics.lag(lag.events, lag.time);
        }
    }
}

/// It will not get better by itself.
pub(crate) fn is_final(error: &ProjectionError) -> bool {
    use JournalError::{Closed, Corrupt, Poisoned};
    matches!(
        error,
        ProjectionError::Fenced { .. }
            | ProjectionError::Journal(Closed | Corrupt { .. } | Poisoned { .. })
    )
}

/// Raises a slice's epoch, or stores its first standing. Where another was the first to store it, claims it
/// after that one.
async fn claim<T: Target>(
    journal: &dyn Journal,
    target: &T,
    projection: &Projection<T>,
    slice: &Slice,
) -> Result<Standing, ProjectionError> {
    match claim_once(journal, target, projection, slice).await {
        Err(ProjectionError::Target(_)) => claim_once(journal, target, projection, slice).await,
        done => done,
    }
}

async fn claim_once<T: Target>(
    journal: &dyn Journal,
    target: &T,
    projection: &Projection<T>,
    slice: &Slice,
) -> Result<Standing, ProjectionError> {
    let mut transaction = target.begin().await?;
    let standing = match target.load(&mut transaction, slice).await? {
        None => {
            let first = first_standing(projection);
            target.insert(&mut transaction, slice, &first).await?;
            first
        }
        Some(stored) => {
            check(projection, &stored)?;
            check_journal(journal, projection, &stored).await?;
            let claimed = Standing {
                epoch: stored.epoch.next(),
                version: projection.version,
                ..stored
            };
            let rows = target.store(&mut transaction, slice, stored.epoch, &claimed);
            if rows.await? != 1 {
                return Err(ProjectionError::Fenced {
                    slice: slice.to_string(),
                    held: claimed.epoch,
                    current: stored.epoch,
                });
            }
            claimed
        }
    };
    target.commit(transaction).await?;
    Ok(standing)
}

fn first_standing<T: Target>(projection: &Projection<T>) -> Standing {
    Standing {
        version: projection.version,
        slices: projection.slices,
        epoch: Epoch(1),
        offset: Offset::ZERO,
        events: 0,
        state: State::Running,
    }
}

/// Whether the stored standing is one that this projection can go on from.
pub(crate) fn check<T: Target>(
    projection: &Projection<T>,
    stored: &Standing,
) -> Result<(), ProjectionError> {
    let name = || projection.name.to_string();
    if stored.is_of_topics() {
        return Err(ProjectionError::Refused {
            what: "a projection of a journal under the name of one of topics",
            reason: "give it a name, and tables, of its own",
        });
    }
    if stored.slices != projection.slices {
        return Err(ProjectionError::OtherSlices {
            projection: name(),
            stored: stored.slices,
            slices: projection.slices,
        });
    }
    if stored.version != projection.version && stored.offset > Offset::ZERO {
        return Err(ProjectionError::OtherVersion {
            projection: name(),
            stored: stored.version,
            version: projection.version,
        });
    }
    Ok(())
}

/// Whether the journal has come to where the tables are.
async fn check_journal<T: Target>(
    journal: &dyn Journal,
    projection: &Projection<T>,
    stored: &Standing,
) -> Result<(), ProjectionError> {
    if has_come_to(journal, stored.offset).await? {
        return Ok(());
    }
    Err(ProjectionError::OtherJournal {
        projection: projection.name.to_string(),
        offset: stored.offset,
    })
}

/// Whether there is an event of the journal at the offset or beyond it, or the offset is none.
pub(crate) async fn has_come_to(
    journal: &dyn Journal,
    offset: Offset,
) -> Result<bool, ProjectionError> {
    let before = Offset(offset.get().saturating_sub(1));
    let page = journal.tail(before, &Filter::default(), 1).await?;
    Ok(page.next >= offset)
}

/// The moment that it is.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Which event it is, and why it was not handled.
pub(crate) fn describe(event: &RecordedEvent, failure: &Failure) -> String {
    let (Failure::Retry { reason } | Failure::DeadLetter { reason }) = failure;
    let (entity, seq, name) = (&event.entity, event.seq, &event.event.name);
    format!("event {seq} of {entity}, {name}: {reason}")
}
