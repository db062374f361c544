//! A rebuild: the tables are made anew beside the live ones, compared, and swapped.

use std::fmt;
use std::sync::Arc;

use futures_util::future::try_join_all;
use griot_core::{Epoch, Offset};
use griot_journal::Journal;

use crate::pages::Pages;
use crate::worker::{Worker, check};
use crate::{Phase, Projection, ProjectionError, ReadModel, RebuildTarget, Slice, Standing, State};

/// How many events of the journal lie between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// How often it catches up with live tables that move on meanwhile, before it has them wait.
const ROUNDS: usize = 8;

/// Makes a projection's tables anew beside the live ones, which are kept and read meanwhile.
///
/// Handlers run as they do live, save that what they publish does not go out, and that
/// [`Phase`] says so. One that was interrupted goes on where it was, unless the projection
/// has another version or number of slices than it had then.
pub struct Rebuild<T: RebuildTarget> {
    journal: Arc<dyn Journal>,
    live: T,
    beside: T,
    projection: Projection<T>,
    workers: Vec<Worker<T>>,
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Every event of the journal up to here has been looked at.
    pub offset: Offset,
    /// How far it has to go, as far as is known.
    pub end: Offset,
}

/// How the rows of a rebuilt table compare with the live ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which table.
    pub table: String,
    /// Rows of the live table.
    pub live: u64,
    /// Rows of the rebuilt one.
    pub rebuilt: u64,
    /// Different rows that only the live table has.
    pub only_live: u64,
    /// Different rows that only the rebuilt table has.
    pub only_rebuilt: u64,
}

impl Comparison {
    /// Whether both tables hold the same.
    pub fn is_same(&self) -> bool {
        self.live == self.rebuilt && self.only_live == 0 && self.only_rebuilt == 0
    }
}

impl<T: RebuildTarget> Rebuild<T> {
    /// Begins to rebuild, or goes on where an earlier rebuild was interrupted, or stopped at an event.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Refused`] for a projection that names no tables; those of the target.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the place beside may be there; the next rebuild takes it.
    pub async fn begin(
        journal: Arc<dyn Journal>,
        live: T,
        projection: Projection<T>,
    ) -> Result<Self, ProjectionError> {
        if projection.tables.is_empty() {
            return Err(ProjectionError::Refused {
                what: "a rebuild of no tables",
                reason: "name the projection's own with `with_tables`",
            });
        }
        let mut reading = live.begin_reading().await?;
        let stored = live.slices(&mut reading, &projection.name).await?;
        drop(reading);
        if stored.iter().any(Standing::is_of_topics) {
            return Err(ProjectionError::Refused {
                what: "a rebuild of a projection of topics",
                reason: "a broker does not keep all it had: give the projection another name, and tables of its own",
            });
        }
        let mut beside = live.beside(&projection.name).await?;
        let mut reading = beside.begin_reading().await?;
        let begun = beside.slices(&mut reading, &projection.name).await?;
        drop(reading);
        if begun
            .iter()
            .any(|stored| check(&projection, stored).is_err())
        {
            live.discard(beside).await?;
            beside = live.beside(&projection.name).await?;
        }
        if !begun.is_empty() {
            // Whoever begins again has repaired what it stopped at.
            let stopped = ReadModel::new(Arc::clone(&journal), beside.clone(), &projection.name);
            match stopped.resume().await {
                Ok(()) | Err(ProjectionError::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let events_max = projection.limits.batch_events_max;
        let pages = Arc::new(Pages::new(&journal, projection.filter(), events_max));
        let mut workers = Vec::new();
        for number in 0..projection.slices {
            let phase = (number, Phase::Rebuilding);
            let claiming = Worker::claim(&journal, &pages, &beside, &projection, phase);
            workers.push(claiming.await?);
        }
        Ok(Self {
            journal,
            live,
            beside,
            projection,
            workers,
        })
    }

    /// Handles all events up to where the live tables are, and tells of its progress.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Held`] where an event cannot be handled and the projection stops at such;
    /// [`ProjectionError::Fenced`] where another rebuild began; those of the journal and the target.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time, and called again.
    pub async fn catch_up(
        &mut self,
        mut report: impl FnMut(Progress) + Send,
    ) -> Result<(), ProjectionError> {
        for _ in 0..ROUNDS {
            let ends = self.ends().await?;
            let end = ends.iter().copied().max().unwrap_or_default();
            if self
                .workers
                .iter()
                .zip(&ends)
                .all(|(worker, &end)| worker.offset >= end)
            {
                report(Progress { offset: end, end });
                return Ok(());
            }
            let slowest = |workers: &[Worker<T>]| {
                let offsets = workers.iter().map(|worker| worker.offset);
                offsets.min().unwrap_or_default()
            };
            // All slices keep together, so that the journal is read once.
            let mut step = slowest(&self.workers);
            while step < end {
                step = Offset(step.get().saturating_add(REPORT_EVERY)).min(end);
                let all = self.workers.iter_mut().zip(&ends);
                try_join_all(all.map(|(worker, &end)| worker.run_until(step.min(end)))).await?;
                let offset = slowest(&self.workers).min(end);
                report(Progress { offset, end });
            }
        }
        Ok(())
    }

    /// How many events the handlers were given so far, by a rebuild that this one goes on with as well.
    ///
    /// # Errors
    ///
    /// Those of the target.
    pub async fn events(&self) -> Result<u64, ProjectionError> {
        let mut reading = self.beside.begin_reading().await?;
        let slices = self.beside.slices(&mut reading, &self.projection.name);
        Ok(slices.await?.iter().map(|slice| slice.events).sum())
    }

    /// Compares the rebuilt tables with the live ones, both at the same place of the journal. The live
    /// ones can be read meanwhile, and are written again afterwards.
    ///
    /// # Errors
    ///
    /// As [`catch_up`](Rebuild::catch_up).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn compare(&mut self) -> Result<Vec<Comparison>, ProjectionError> {
        let (mut transaction, _) = self.meet().await?;
        self.live
            .compare(&mut transaction, &self.projection.tables)
            .await
    }

    /// Puts the rebuilt tables in place of the live ones, in one transaction: readers see the ones or the
    /// others. A runner of the same version goes on from there by itself; one of another is fenced.
    ///
    /// # Errors
    ///
    /// As [`catch_up`](Rebuild::catch_up).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have happened; a new rebuild begins anew then, or goes on.
    pub async fn swap(mut self) -> Result<(), ProjectionError> {
        let (mut transaction, stored) = self.meet().await?;
        self.live
            .replace(&mut transaction, &self.projection.tables)
            .await?;
        for (number, old) in (0..).zip(&stored) {
            let slice = self.slice(number);
            for parked in self.live.parked(&mut transaction, &slice).await? {
                self.live
                    .unpark(&mut transaction, &slice, &parked.entity)
                    .await?;
            }
            if old.slices != self.projection.slices {
                self.live.remove(&mut transaction, &slice).await?;
            }
        }
        // Above every epoch that the old slices had, so that none of their runners comes through.
        let above = stored.iter().map(|standing| standing.epoch.next()).max();
        let above = above.unwrap_or(Epoch(1));
        let mut reading = self.beside.begin_reading().await?;
        let rebuilt = self
            .beside
            .slices(&mut reading, &self.projection.name)
            .await?;
        for (number, new) in (0..).zip(rebuilt) {
            let slice = self.slice(number);
            let old = usize::try_from(number)
                .ok()
                .and_then(|index| stored.get(index));
            self.take_place(&mut transaction, &slice, (old, above), new)
                .await?;
            for parked in self.beside.parked(&mut reading, &slice).await? {
                self.live.park(&mut transaction, &slice, &parked).await?;
            }
        }
        drop(reading);
        self.live.commit(transaction).await?;
        drop(self.workers);
        self.live.discard(self.beside).await
    }

    /// Throws away what was rebuilt.
    ///
    /// # Errors
    ///
    /// Those of the target.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have happened in part; a new rebuild copes with that.
    pub async fn discard(self) -> Result<(), ProjectionError> {
        drop(self.workers);
        self.live.discard(self.beside).await
    }

    /// Stores a rebuilt slice's standing in place of the live one's.
    async fn take_place(
        &self,
        transaction: &mut T::Transaction,
        slice: &Slice,
        (old, above): (Option<&Standing>, Epoch),
        new: Standing,
    ) -> Result<(), ProjectionError> {
        let Some(old) = old.filter(|old| old.slices == new.slices) else {
            let first = Standing {
                epoch: above,
                state: State::Running,
                ..new
            };
            return self.live.insert(transaction, slice, &first).await;
        };
        let epoch = if old.version == new.version {
            old.epoch
        } else {
            old.epoch.next()
        };
        let state = match old.state {
            State::Paused => State::Paused,
            State::Running | State::Failed { .. } => State::Running,
        };
        let standing = Standing {
            epoch,
            state,
            ..new
        };
        let storing = self.live.store(transaction, slice, old.epoch, &standing);
        storing.await.map(|_| ())
    }

    /// Holds the live tables where they are, and brings the rebuilt ones there.
    async fn meet(&mut self) -> Result<(T::Transaction, Vec<Standing>), ProjectionError> {
        let mut transaction = self.live.begin_with(&self.beside).await?;
        let mut stored = Vec::new();
        while let Some(standing) = {
            let slice = self.slice(u32::try_from(stored.len()).unwrap_or(u32::MAX));
            self.live.load(&mut transaction, &slice).await?
        } {
            stored.push(standing);
        }
        let ends = self.ends_of(&stored).await?;
        let all = self.workers.iter_mut().zip(&ends);
        try_join_all(all.map(|(worker, &end)| worker.run_until(end))).await?;
        Ok((transaction, stored))
    }

    /// Where each slice has to come to.
    async fn ends(&self) -> Result<Vec<Offset>, ProjectionError> {
        let mut reading = self.live.begin_reading().await?;
        let stored = self
            .live
            .slices(&mut reading, &self.projection.name)
            .await?;
        drop(reading);
        self.ends_of(&stored).await
    }

    /// To where the live slices are; where there are none, or they were dealt otherwise, to where the
    /// farthest of them is, or to the journal's end.
    async fn ends_of(&self, stored: &[Standing]) -> Result<Vec<Offset>, ProjectionError> {
        let dealt_so = |standing: &Standing| standing.slices == self.projection.slices;
        if !stored.is_empty() && stored.iter().all(dealt_so) {
            return Ok(stored.iter().map(|standing| standing.offset).collect());
        }
        let farthest = stored.iter().map(|standing| standing.offset).max();
        let end = match farthest {
            Some(offset) => offset,
            None if self
                .journal
                .tail(Offset::ZERO, &griot_journal::Filter::default(), 1)
                .await?
                .next
                == Offset::ZERO =>
            {
                Offset::ZERO
            }
            None => self.journal.advanced(Offset::ZERO).await?,
        };
        Ok(vec![end; self.workers.len()])
    }

    fn slice(&self, number: u32) -> Slice {
        Slice {
            projection: Arc::clone(&self.projection.name),
            number,
        }
    }
}

impl<T: RebuildTarget> fmt::Debug for Rebuild<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Rebuild");
        debug
            .field("projection", &self.projection)
            .finish_non_exhaustive()
    }
}
