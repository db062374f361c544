//! A read model, as those hold it who ask something of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use griot_core::{EntityId, Offset, Seq};
use griot_journal::{Filter, Journal, SeqRange, last_offset};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::runner::Signals;
use crate::stored::Stored;
use crate::worker::{has_come_to, now};
use crate::{Asked, Parked, ProjectionError, Slice, Standing, State, Target};

/// How often it looks for what another process does.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A read model that a projection keeps, in this process or in another.
///
/// Everything that is asked of it is stored in the target, so that it holds for whoever runs the
/// projection, also after a restart. Of a projection of [topics](crate::Listener) it tells the standing, and pauses
/// and resumes it; all else concerns a journal.
#[derive(Clone)]
pub struct ReadModel<T: Target> {
    journal: Arc<dyn Journal>,
    stored: Stored<T>,
}

/// How far a read model is behind its journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events of the journal that were not looked at, of whatever kind.
    pub events: u64,
    /// How long ago the first of them happened; zero where there is none.
    pub time: Duration,
}

impl<T: Target> ReadModel<T> {
    /// The read model of the projection of this name.
    pub fn new(journal: Arc<dyn Journal>, target: T, projection: &str) -> Self {
        let stored = Stored::new(target, projection.into(), Arc::default());
        Self { journal, stored }
    }

    pub(crate) fn with_signals(mut self, signals: Arc<Signals>) -> Self {
        self.stored.signals = signals;
        self
    }

    /// The projection's name.
    pub fn name(&self) -> &str {
        &self.stored.projection
    }

    /// Where its slices stand, in order.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Unknown`] where it never ran; those of the target.
    pub async fn standing(&self) -> Result<Vec<Standing>, ProjectionError> {
        self.stored.standing().await
    }

    /// Stops it after the batch that is under way, until it is resumed.
    ///
    /// # Errors
    ///
    /// As [`standing`](ReadModel::standing).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have happened.
    pub async fn pause(&self) -> Result<(), ProjectionError> {
        self.stored.pause().await
    }

    /// Lets it get on, where it was paused and where it stopped at an event.
    ///
    /// # Errors
    ///
    /// As [`standing`](ReadModel::standing).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have happened.
    pub async fn resume(&self) -> Result<(), ProjectionError> {
        self.stored.resume().await
    }

    /// The entities that are parked.
    ///
    /// # Errors
    ///
    /// As [`standing`](ReadModel::standing).
    pub async fn parked(&self) -> Result<Vec<Parked>, ProjectionError> {
        let count = self.standing().await?.len();
        let mut transaction = self.stored.target.begin_reading().await?;
        let mut all = Vec::new();
        for slice in self.stored.numbered(count) {
            all.extend(self.stored.target.parked(&mut transaction, &slice).await?);
        }
        Ok(all)
    }

    /// Asks for another try of a parked entity: its events that wait are handled, in order, a batch at a
    /// time. Where that fails it stays parked from that batch on, with the new reason. Nothing happens to
    /// one that is not parked.
    ///
    /// # Errors
    ///
    /// As [`standing`](ReadModel::standing).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have happened.
    pub async fn retry(&self, entity: &EntityId) -> Result<(), ProjectionError> {
        let slice = self.slice_of(entity, &self.standing().await?);
        let mut transaction = self.stored.target.begin().await?;
        // So that its runner does not change it meanwhile.
        self.stored.target.load(&mut transaction, &slice).await?;
        let parked = self.stored.target.parked(&mut transaction, &slice).await?;
        let found = parked.into_iter().find(|parked| parked.entity == *entity);
        if let Some(parked) = found {
            let asked = Parked {
                asked: Asked::Retry,
                ..parked
            };
            self.stored
                .target
                .park(&mut transaction, &slice, &asked)
                .await?;
            self.stored.target.commit(transaction).await?;
            self.stored.signals.bell.send_replace(());
        }
        Ok(())
    }

    /// Waits until the tables show an entity's events up to and including `seq`: whoever wrote it and
    /// then asks, sees it. An event that is not there yet is waited for as well.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Late`] where it takes longer than `deadline`; [`ProjectionError::Held`] and
    /// [`ProjectionError::Parked`] where it would never come; those of the journal and the target.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn wait_for(
        &self,
        entity: &EntityId,
        seq: Seq,
        deadline: Duration,
    ) -> Result<(), ProjectionError> {
        let end = Instant::now() + deadline;
        match timeout_at(end, self.wait(entity, seq)).await {
            Ok(seen) => seen,
            Err(_) => Err(ProjectionError::Late {
                projection: self.stored.projection.to_string(),
                entity: entity.clone(),
                seq,
            }),
        }
    }

    /// Waits until the tables show all that the journal has now: whoever asks sees what anybody wrote before.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Behind`] where it takes longer than `deadline`; [`ProjectionError::Held`] where it would
    /// never come; those of the journal and the target.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn catch_up(&self, deadline: Duration) -> Result<(), ProjectionError> {
        let catching_up = async {
            let end = last_offset(&*self.journal).await?;
            let all = |slices: &[Standing]| slices.iter().find(|slice| slice.offset < end).cloned();
            self.until_none(all).await
        };
        let caught_up = timeout(deadline, catching_up).await;
        caught_up.unwrap_or_else(|_| {
            let projection = self.stored.projection.to_string();
            Err(ProjectionError::Behind { projection })
        })
    }

    /// Waits until none of the slices is `behind`, which names one that is; in vain where that one does not get on.
    async fn until_none(
        &self,
        behind: impl Fn(&[Standing]) -> Option<Standing> + Send,
    ) -> Result<(), ProjectionError> {
        let mut moved = self.stored.signals.moved.subscribe();
        loop {
            match behind(&self.standing().await?) {
                None => return Ok(()),
                Some(slice) if slice.state != State::Running => {
                    return Err(ProjectionError::Held {
                        projection: self.stored.projection.to_string(),
                        state: slice.state.to_string(),
                    });
                }
                // An error is a time-out: another process may have moved it.
                Some(_) => drop(timeout(LOOK_EVERY, moved.changed()).await),
            }
        }
    }

    async fn wait(&self, entity: &EntityId, seq: Seq) -> Result<(), ProjectionError> {
        let offset = self.offset_of(entity, seq).await?;
        let slices = self.standing().await?;
        let slice = self.slice_of(entity, &slices);
        let number = usize::try_from(slice.number).unwrap_or(usize::MAX);
        self.until_none(|slices| {
            let standing = slices.get(number);
            standing.filter(|slice| slice.offset < offset).cloned()
        })
        .await?;
        self.shows(&slice, entity, seq).await
    }

    /// Where an entity's event lies in the journal; where it was deleted, where it was at the latest.
    async fn offset_of(&self, entity: &EntityId, seq: Seq) -> Result<Offset, ProjectionError> {
        let range = SeqRange {
            from: seq,
            to: seq,
            limit: 1,
        };
        let mut seen = Offset::ZERO;
        loop {
            if seq == Seq::ZERO {
                return Ok(Offset::ZERO);
            }
            if let [event] = self.journal.events(entity, range).await?.as_slice() {
                return Ok(event.offset);
            }
            let is_there = self.journal.last_seq(entity).await? >= seq;
            seen = self
                .journal
                .advanced(if is_there { Offset::ZERO } else { seen })
                .await?;
            if is_there {
                return Ok(seen);
            }
        }
    }

    /// The slice has come to the event; the entity may be parked.
    async fn shows(
        &self,
        slice: &Slice,
        entity: &EntityId,
        seq: Seq,
    ) -> Result<(), ProjectionError> {
        let mut transaction = self.stored.target.begin_reading().await?;
        let all = self.stored.target.parked(&mut transaction, slice).await?;
        let mut all = all.into_iter();
        match all.find(|parked| parked.entity == *entity && parked.seq <= seq) {
            None => Ok(()),
            Some(parked) => Err(ProjectionError::Parked {
                entity: parked.entity,
                seq: parked.seq,
                reason: parked.reason,
            }),
        }
    }

    /// Waits until nobody seems to run it any more: it is behind its journal, and none of its slices has moved or
    /// been taken over for `quiet`. Whoever was fenced may then [start](crate::Runner::start) it again. What is paused
    /// or stopped at an event is not abandoned. While the database or the journal cannot be read, nothing is known,
    /// and the waiting goes on.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn until_abandoned(&self, quiet: Duration) {
        let mut before = None;
        loop {
            let now = self.standing_still().await.unwrap_or_default();
            if now.is_some() && now == before {
                return;
            }
            before = now;
            // Jittered, so that of several who wait one is the first.
            sleep(quiet.mul_f64(1.0 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Where its slices stand, if it is behind and could get on.
    async fn standing_still(&self) -> Result<Option<Vec<Standing>>, ProjectionError> {
        let slices = self.standing().await?;
        let is_running = slices.iter().all(|slice| slice.state == State::Running);
        let is_behind = self.lag().await?.events > 0;
        Ok((is_running && is_behind).then_some(slices))
    }

    /// How far a slice that stands there is behind.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::OtherJournal`] where this journal has not come to where the slice stands; those of the journal.
    pub async fn lag_of(&self, standing: &Standing) -> Result<Lag, ProjectionError> {
        if !has_come_to(&*self.journal, standing.offset).await? {
            return Err(ProjectionError::OtherJournal {
                projection: self.name().to_owned(),
                offset: standing.offset,
            });
        }
        lag_of(&*self.journal, standing.offset).await
    }

    /// How far the slice that is farthest behind is behind.
    ///
    /// # Errors
    ///
    /// As [`standing`](ReadModel::standing), and those of the journal.
    pub async fn lag(&self) -> Result<Lag, ProjectionError> {
        let slices = self.standing().await?;
        let offset = slices.iter().map(|standing| standing.offset).min();
        lag_of(&*self.journal, offset.unwrap_or_default()).await
    }

    fn slice_of(&self, entity: &EntityId, slices: &[Standing]) -> Slice {
        let count = slices.first().map_or(1, |standing| standing.slices.max(1));
        Slice {
            projection: Arc::clone(&self.stored.projection),
            number: entity.shard(count),
        }
    }
}

/// How far `offset` is behind the journal's end.
pub(crate) async fn lag_of(journal: &dyn Journal, offset: Offset) -> Result<Lag, ProjectionError> {
    let page = journal.tail(offset, &Filter::default(), 1).await?;
    if page.next == offset {
        return Ok(Lag::default());
    }
    let last = journal.advanced(offset).await?;
    let first = page.events.first();
    Ok(Lag {
        events: last.get().saturating_sub(offset.get()),
        time: first.map_or(Duration::ZERO, |event| now().since(event.at)),
    })
}

impl<T: Target> fmt::Debug for ReadModel<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("ReadModel");
        debug
            .field("projection", &self.stored.projection)
            .finish_non_exhaustive()
    }
}
