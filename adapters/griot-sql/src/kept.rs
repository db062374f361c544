//! A read model that a service keeps, and whose database may be there later than the service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use griot_core::Offset;
use griot_journal::{Journal, last_offset};
use griot_projection::{Keeper, Projection, ProjectionError, Runner};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::{SqlTarget, passes_by_itself};

type Answer<T> = Result<T, ProjectionError>;

/// Between two attempts to reach the database.
const RETRY: Duration = Duration::from_secs(1);

/// A read model that a service keeps from when its database is there, which may start later than the service, and holds
/// up nothing else meanwhile. Cheap to clone; dropped, the last clone ends the keeping at once, and what was not committed
/// is rolled back.
#[derive(Clone)]
pub struct Kept(Arc<Inner>);

struct Inner {
    projection: String,
    now: watch::Receiver<Now>,
    opening: AbortHandle,
}

/// How far it has come.
#[derive(Clone)]
enum Now {
    Opening,
    /// It cannot be kept for now, and is tried again.
    Awaited(ProjectionError),
    There(SqlTarget, Keeper<SqlTarget>),
    Refused(ProjectionError),
}

/// What keeps it, once its database is opened.
struct Keeping<P> {
    journal: Arc<dyn Journal>,
    projection: P,
    take_over_after: Duration,
    /// How far the journal was at first.
    began: Option<Offset>,
}

impl Kept {
    /// Begins to keep it, in a task of the runtime that this is called in: opens the database by `open` until that
    /// does, and then has a [`Keeper`] run the projection, which gets where the journal ended when this began.
    pub fn begin<O>(
        open: impl Fn() -> O + Send + 'static,
        journal: Arc<dyn Journal>,
        projection: impl Fn(Offset) -> Projection<SqlTarget> + Send + 'static,
        take_over_after: Duration,
    ) -> Self
    where
        O: Future<Output = Answer<SqlTarget>> + Send,
    {
        let name = projection(Offset::ZERO).name().to_owned();
        let mut keeping = Keeping {
            journal,
            projection,
            take_over_after,
            began: None,
        };
        let (tell, now) = watch::channel(Now::Opening);
        let projection = name.clone();
        let task = tokio::spawn(async move {
            loop {
                let error = match keeping.attempt(open()).await {
                    Ok((target, keeper)) => {
                        tell.send_replace(Now::There(target, keeper));
                        return;
                    }
                    Err(error) => error,
                };
                if let ProjectionError::Fenced { .. } = error {
                    // Another instance began at the same moment. The last one has it.
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                if !passes_by_itself(&error) {
                    tracing::error!(projection, %error, "a read model cannot be kept");
                    tell.send_replace(Now::Refused(error));
                    return;
                }
                tracing::warn!(projection, %error, "a read model cannot be kept yet, it is tried again");
                tell.send_replace(Now::Awaited(error));
                tokio::time::sleep(RETRY).await;
            }
        });
        Self(Arc::new(Inner {
            projection: name,
            now,
            opening: task.abort_handle(),
        }))
    }

    /// Waits for the end of the first attempt to open and keep it.
    ///
    /// # Errors
    ///
    /// Why that failed. What [`passes_by_itself`] is tried again all the while, and everything else is final.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time; the attempts go on.
    pub async fn first(&self) -> Answer<()> {
        let mut now = self.0.now.clone();
        let ended = now.wait_for(|now| !matches!(now, Now::Opening)).await;
        match ended.as_deref() {
            Ok(Now::Awaited(error) | Now::Refused(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(self.ended()),
        }
    }

    /// The database and what keeps it.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Awaited`] while it is not there; why it cannot be kept, where that is final, and
    /// [`ProjectionError::Target`] where the opening ended without it.
    pub fn get(&self) -> Answer<(SqlTarget, Keeper<SqlTarget>)> {
        let awaited = |reason: String| ProjectionError::Awaited {
            projection: self.0.projection.clone(),
            reason,
        };
        // Asked first: what is there afterwards stays.
        let is_over = self.0.now.has_changed().is_err();
        match &*self.0.now.borrow() {
            Now::Opening | Now::Awaited(_) if is_over => Err(self.ended()),
            Now::There(target, keeper) => Ok((target.clone(), keeper.clone())),
            Now::Opening => Err(awaited("it is being opened".to_owned())),
            Now::Awaited(error) => Err(awaited(error.to_string())),
            Now::Refused(error) => Err(error.clone()),
        }
    }

    /// What is said where the opening panicked, or was ended, before the database was there.
    fn ended(&self) -> ProjectionError {
        let projection = &self.0.projection;
        ProjectionError::target(std::io::Error::other(format!(
            "nobody opens it for {projection} any more: restart this program"
        )))
    }

    /// Whether the tables are there, are kept, and have caught up.
    ///
    /// # Errors
    ///
    /// What is not so, and why, in words for people.
    pub async fn ready(&self) -> Result<(), String> {
        let (_, keeper) = self.get().map_err(|error| error.to_string())?;
        keeper.ready().await
    }

    /// Commits the batches that are under way, and ends; what is not done until the deadline is left to the next
    /// start.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends by itself.
    pub async fn drain(&self, deadline: Duration) {
        let began = Instant::now();
        self.0.opening.abort();
        // It may have come to a keeper just now, which must not be missed: once it is over it says no more.
        let mut now = self.0.now.clone();
        let over = async { while now.changed().await.is_ok() {} };
        if timeout(deadline, over).await.is_err() {
            tracing::warn!(projection = %self.0.projection, "a read model is being opened still, and is left to itself");
        }
        if let Ok((_, keeper)) = self.get() {
            let left = deadline.saturating_sub(began.elapsed());
            keeper.drain(left).await;
        }
    }
}

impl<P: Fn(Offset) -> Projection<SqlTarget>> Keeping<P> {
    async fn attempt(
        &mut self,
        opening: impl Future<Output = Answer<SqlTarget>>,
    ) -> Answer<(SqlTarget, Keeper<SqlTarget>)> {
        let began = match self.began {
            Some(began) => began,
            None => *self.began.insert(last_offset(&*self.journal).await?),
        };
        let target = opening.await?;
        let runner = Runner::new(Arc::clone(&self.journal), target.clone());
        let projection = (self.projection)(began);
        let keeper = Keeper::start(runner, projection, self.take_over_after).await?;
        Ok((target, keeper))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.opening.abort();
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Kept");
        debug
            .field("projection", &self.0.projection)
            .finish_non_exhaustive()
    }
}
