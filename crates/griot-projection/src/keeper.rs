//! A keeper: a projection that a service runs, or stands by to run.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use griot_core::Offset;
use griot_journal::last_offset;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::runner::Signals;
use crate::worker::is_final;
use crate::{Projection, ProjectionError, ReadModel, Runner, Running, State, Target};

/// Runs a projection for as long as its service lives. Of several instances of a service the last to start has it;
/// the others stand by, and one of them takes over where it does not get on. Cheap to clone; dropped, the last clone
/// ends it at once, and what was not committed is rolled back.
#[derive(Clone)]
pub struct Keeper<T: Target>(Arc<Inner<T>>);

struct Inner<T: Target> {
    read_model: ReadModel<T>,
    /// How far the journal was when this began.
    began: Offset,
    caught_up: AtomicBool,
    stop: watch::Sender<bool>,
    /// Why it is not kept any more; `None` while it is.
    ended: watch::Receiver<Option<String>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl<T: Target> Keeper<T> {
    /// Takes the projection over from whoever had it, and runs it. Where another takes it over, this one takes it
    /// back once it has not moved for `take_over_after`, though there is more to show.
    ///
    /// # Errors
    ///
    /// As [`Runner::start`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the projection may have been taken over from another instance; nothing is lost by that.
    pub async fn start(
        runner: Runner<T>,
        projection: Projection<T>,
        take_over_after: Duration,
    ) -> Result<Self, ProjectionError> {
        let began = last_offset(runner.journal()).await?;
        let signals = Arc::<Signals>::default();
        let running = runner
            .start_telling(&projection, Arc::clone(&signals))
            .await?;
        let read_model = running.read_model().clone();
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = watch::channel(None);
        let keeping = Keeping {
            runner,
            projection,
            signals,
            take_over_after,
            stopping,
        };
        let task = tokio::spawn(async move {
            let done = keeping.run(running).await;
            if let Err(error) = done {
                tracing::error!(%error, "a read model is not kept any more");
                end.send_replace(Some(error.to_string()));
            }
        });
        Ok(Self(Arc::new(Inner {
            read_model,
            began,
            caught_up: AtomicBool::new(false),
            stop,
            ended,
            task: Mutex::new(Some(task)),
        })))
    }

    /// What it keeps.
    pub fn read_model(&self) -> &ReadModel<T> {
        &self.0.read_model
    }

    /// Whether the tables have come to where the journal was when this began. Once they have, they have for good.
    ///
    /// # Errors
    ///
    /// As [`ReadModel::standing`].
    pub async fn has_caught_up(&self) -> Result<bool, ProjectionError> {
        if self.0.caught_up.load(Ordering::Acquire) {
            return Ok(true);
        }
        let slices = self.0.read_model.standing().await?;
        let has = slices.iter().all(|slice| slice.offset >= self.0.began);
        self.0.caught_up.fetch_or(has, Ordering::AcqRel);
        Ok(has)
    }

    /// Whether the tables are there, are kept, and have caught up.
    ///
    /// # Errors
    ///
    /// What is not so, and why, in words for people.
    pub async fn ready(&self) -> Result<(), String> {
        let name = self.0.read_model.name();
        if let Some(reason) = &*self.0.ended.borrow() {
            return Err(format!("{name} is not kept any more: {reason}"));
        }
        if self.0.ended.has_changed().is_err() && !*self.0.stop.borrow() {
            return Err(format!("{name} is not kept any more: restart this program"));
        }
        let failed = |error: ProjectionError| format!("the read model: {error}");
        let standing = self.0.read_model.standing().await.map_err(failed)?;
        if let Some(held) = standing.iter().find(|slice| slice.state != State::Running) {
            return Err(format!("{name} is {}", held.state));
        }
        if self.has_caught_up().await.map_err(failed)? {
            return Ok(());
        }
        let offset = standing.iter().map(|slice| slice.offset).min();
        let (offset, began) = (offset.unwrap_or_default(), self.0.began);
        Err(format!(
            "{name} is being made from the journal: at offset {offset} of {began}"
        ))
    }

    /// Commits the batches that are under way, and ends; what is not done until the deadline is left to the next
    /// start. What reads the journal is drained before the journal is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends by itself.
    pub async fn drain(&self, deadline: Duration) {
        self.0.stop.send_replace(true);
        let task = lock(&self.0.task).take();
        if let Some(mut task) = task
            && timeout(deadline, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl<T: Target> Drop for Inner<T> {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

fn lock(task: &Mutex<Option<JoinHandle<()>>>) -> MutexGuard<'_, Option<JoinHandle<()>>> {
    task.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the task of a keeper has.
struct Keeping<T: Target> {
    runner: Runner<T>,
    projection: Projection<T>,
    signals: Arc<Signals>,
    take_over_after: Duration,
    stopping: watch::Receiver<bool>,
}

impl<T: Target> Keeping<T> {
    /// Runs the projection until it is told to stop, or the projection cannot go on.
    async fn run(mut self, mut running: Running<T>) -> Result<(), ProjectionError> {
        loop {
            let ended = tokio::select! {
                ended = running.ended() => ended,
                _ = self.stopping.changed() => return running.drain().await,
            };
            let Err(error @ ProjectionError::Fenced { .. }) = ended else {
                return ended;
            };
            let projection = self.projection.name();
            tracing::info!(projection, %error, "another instance keeps a read model");
            let Some(taken) = self.stand_by(running.read_model()).await? else {
                return Ok(());
            };
            running = taken;
        }
    }

    /// Waits until no instance keeps the projection any more, and takes it over; `None` once it is to stop.
    async fn stand_by(
        &mut self,
        read_model: &ReadModel<T>,
    ) -> Result<Option<Running<T>>, ProjectionError> {
        loop {
            tokio::select! {
                () = read_model.until_abandoned(self.take_over_after) => {}
                _ = self.stopping.changed() => return Ok(None),
            }
            let projection = self.projection.name();
            let signals = Arc::clone(&self.signals);
            match self.runner.start_telling(&self.projection, signals).await {
                Ok(running) => {
                    tracing::info!(projection, "no instance kept a read model: this one does");
                    return Ok(Some(running));
                }
                Err(error) if is_hopeless(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(projection, %error, "a read model could not be taken over");
                }
            }
        }
    }
}

/// Trying again does not help who stands by.
fn is_hopeless(error: &ProjectionError) -> bool {
    match error {
        ProjectionError::Fenced { .. } => false,
        ProjectionError::OtherVersion { .. }
        | ProjectionError::OtherSlices { .. }
        | ProjectionError::OtherJournal { .. }
        | ProjectionError::Refused { .. } => true,
        error => is_final(error),
    }
}

impl<T: Target> fmt::Debug for Keeper<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Keeper");
        debug
            .field("read_model", &self.0.read_model)
            .finish_non_exhaustive()
    }
}
