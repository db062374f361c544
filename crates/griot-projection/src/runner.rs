//! A runner: the slices of a projection at work, each in a task.

use std::fmt;
use std::sync::Arc;

use futures_util::future::try_join_all;
use griot_journal::Journal;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::pages::Pages;
use crate::worker::Worker;
use crate::{Phase, Projection, ProjectionError, ReadModel, Target};

/// What those in one process who hold a projection tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Something was asked of it.
    pub(crate) bell: watch::Sender<()>,
    /// It moved.
    pub(crate) moved: watch::Sender<()>,
}

/// Runs projections of a journal into a target.
#[derive(Clone)]
pub struct Runner<T: Target> {
    journal: Arc<dyn Journal>,
    target: T,
}

impl<T: Target> Runner<T> {
    /// A runner of projections of this journal into this target.
    pub fn new(journal: Arc<dyn Journal>, target: T) -> Self {
        Self { journal, target }
    }

    /// Takes over every slice of the projection and runs it, as tasks of the runtime that this is called
    /// in. A runner that had them before is fenced: it commits nothing any more, and ends.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::OtherVersion`], [`ProjectionError::OtherSlices`] and [`ProjectionError::OtherJournal`] where the tables need a
    /// rebuild first; [`ProjectionError::Refused`] for a limit of zero; those of the target.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some slices may have been taken over; nothing else happened.
    pub async fn start(&self, projection: &Projection<T>) -> Result<Running<T>, ProjectionError> {
        self.start_telling(projection, Arc::default()).await
    }

    /// The same, and tells those who hold `signals` as well.
    pub(crate) async fn start_telling(
        &self,
        projection: &Projection<T>,
        signals: Arc<Signals>,
    ) -> Result<Running<T>, ProjectionError> {
        let limits = &projection.limits;
        limits.check()?;
        let pages = Pages::new(&self.journal, projection.filter(), limits.batch_events_max);
        let pages = Arc::new(pages);
        let (journal, target) = (&self.journal, &self.target);
        let claims = (0..projection.slices).map(|number| {
            Worker::claim(journal, &pages, target, projection, (number, Phase::Live))
        });
        let workers = try_join_all(claims).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for mut worker in workers {
            worker.signals = Arc::clone(&signals);
            tasks.spawn(worker.run(stopped.clone()));
        }
        Ok(Running {
            read_model: self.read_model(projection, signals),
            stop,
            tasks,
        })
    }
}

impl<T: Target> Runner<T> {
    /// What the projection keeps, told of by `signals`.
    pub(crate) fn read_model(
        &self,
        projection: &Projection<T>,
        signals: Arc<Signals>,
    ) -> ReadModel<T> {
        let (journal, target) = (Arc::clone(&self.journal), self.target.clone());
        ReadModel::new(journal, target, &projection.name).with_signals(signals)
    }

    pub(crate) fn journal(&self) -> &dyn Journal {
        &*self.journal
    }
}

impl<T: Target> fmt::Debug for Runner<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Runner").finish_non_exhaustive()
    }
}

/// A projection at work. Dropped, it ends at once, and what was not committed is rolled back.
#[must_use = "dropped, it ends"]
pub struct Running<T: Target> {
    read_model: ReadModel<T>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), ProjectionError>>,
}

impl<T: Target> Running<T> {
    /// The read model that it keeps.
    pub fn read_model(&self) -> &ReadModel<T> {
        &self.read_model
    }

    /// Commits the batches that are under way, and ends.
    ///
    /// # Errors
    ///
    /// As [`ended`](Running::ended).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends at once.
    pub async fn drain(mut self) -> Result<(), ProjectionError> {
        self.stop.send_replace(true);
        let mut all = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            all = all.and(outcome(ended));
        }
        all
    }

    /// Waits until a slice has ended by itself, and says why; all others end then, too.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Fenced`] where another runner took it over; [`ProjectionError::Journal`] where
    /// the journal was closed or gives no more.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time; the projection goes on.
    pub async fn ended(&mut self) -> Result<(), ProjectionError> {
        let ended = self.tasks.join_next().await;
        self.stop.send_replace(true);
        ended.map_or(Ok(()), outcome)
    }
}

/// A task's outcome; a panic of the machinery itself goes on in whoever waits for it.
pub(crate) fn outcome(
    ended: Result<Result<(), ProjectionError>, JoinError>,
) -> Result<(), ProjectionError> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(outcome) => outcome,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => Ok(()),
    }
}

impl<T: Target> fmt::Debug for Running<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Running");
        debug
            .field("read_model", &self.read_model)
            .finish_non_exhaustive()
    }
}
