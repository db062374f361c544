//! What of a projection is stored: where it stands, and whether it gets on.

use std::sync::Arc;

use crate::runner::Signals;
use crate::{ProjectionError, Slice, Standing, State, Target};

/// A projection by what its target stores of it.
#[derive(Clone)]
pub(crate) struct Stored<T: Target> {
    pub(crate) target: T,
    pub(crate) projection: Arc<str>,
    pub(crate) signals: Arc<Signals>,
}

impl<T: Target> Stored<T> {
    pub(crate) fn new(target: T, projection: Arc<str>, signals: Arc<Signals>) -> Self {
        Self {
            target,
            projection,
            signals,
        }
    }

    /// Where its slices stand, in order.
    pub(crate) async fn standing(&self) -> Result<Vec<Standing>, ProjectionError> {
        let mut transaction = self.target.begin_reading().await?;
        let slices = self.target.slices(&mut transaction, &self.projection);
        let slices = slices.await?;
        if slices.is_empty() {
            return Err(ProjectionError::Unknown {
                projection: self.projection.to_string(),
            });
        }
        Ok(slices)
    }

    /// Stops what runs.
    pub(crate) async fn pause(&self) -> Result<(), ProjectionError> {
        self.change(|state| *state == State::Running, &State::Paused)
            .await
    }

    /// Lets it get on, where it was paused and where it stopped at an event.
    pub(crate) async fn resume(&self) -> Result<(), ProjectionError> {
        self.change(|_| true, &State::Running).await
    }

    /// Stops what runs, and says why.
    pub(crate) async fn fail(&self, reason: String) -> Result<(), ProjectionError> {
        let failed = State::Failed { reason };
        self.change(|state| *state == State::Running, &failed).await
    }

    async fn change(
        &self,
        from: impl Fn(&State) -> bool + Send,
        to: &State,
    ) -> Result<(), ProjectionError> {
        let count = self.standing().await?.len();
        let mut transaction = self.target.begin().await?;
        for slice in self.numbered(count) {
            let stored = self.target.load(&mut transaction, &slice).await?;
            if let Some(stored) = stored
                && from(&stored.state)
            {
                let (epoch, state) = (stored.epoch, to.clone());
                let changed = Standing { state, ..stored };
                let storing = self.target.store(&mut transaction, &slice, epoch, &changed);
                storing.await?;
            }
        }
        self.target.commit(transaction).await?;
        self.signals.bell.send_replace(());
        Ok(())
    }

    pub(crate) fn numbered(&self, count: usize) -> impl Iterator<Item = Slice> {
        let projection = Arc::clone(&self.projection);
        (0..).take(count).map(move |number| Slice {
            projection: Arc::clone(&projection),
            number,
        })
    }
}
