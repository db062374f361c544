//! The task beside a consumer: whether the projection gets on, and what is forgotten by and by.

use std::sync::Arc;
use std::time::Duration;

use griot_core::Timestamp;
use griot_events::{BrokerError, Consuming};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::heard::{Heard, fits};
use crate::worker::now;
use crate::{ProjectionError, State, Target};

/// How often messages are forgotten at least.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// How many are forgotten in one transaction.
const FORGOTTEN_MAX: u32 = 5_000;

/// Looks after a projection of topics.
pub(crate) struct Hearing<T: Target> {
    pub(crate) heard: Arc<Heard<T>>,
    pub(crate) consuming: Consuming,
    /// Until when it is to end.
    pub(crate) stopping: watch::Receiver<Option<Instant>>,
    pub(crate) remembered_for: Duration,
}

impl<T: Target> Hearing<T> {
    /// Runs until it is told to stop, or cannot go on.
    pub(crate) async fn run(mut self) -> Result<(), ProjectionError> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            _ = stopping.changed() => {}
            ended = self.watch() => return ended,
        }
        self.heard.stop.send_replace(true);
        let end = (*self.stopping.borrow_and_update()).unwrap_or_else(Instant::now);
        let left = self
            .consuming
            .drain(end.saturating_duration_since(Instant::now()));
        let left = left.await;
        if left > 0 {
            let projection = self.heard.projection.name();
            tracing::warn!(
                projection,
                left,
                "messages were under way still: they are given again"
            );
        }
        Ok(())
    }

    /// Has the consumer take messages in while the projection gets on, and none while it does not.
    async fn watch(&self) -> Result<(), ProjectionError> {
        let mut looks = interval(self.heard.projection.limits.look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let every = (self.remembered_for / 8).clamp(Duration::from_millis(1), FORGET_EVERY);
        let mut forgets = interval_at(Instant::now() + every, every);
        forgets.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut bell = self.heard.stored.signals.bell.subscribe();
        let mut states = self.heard.state.subscribe();
        let mut was_running = true;
        loop {
            let is_running = *states.borrow_and_update() == State::Running;
            if is_running {
                if !was_running {
                    // What was taken in before it was paused comes again first, and is known then.
                    forgets.reset();
                }
                self.consuming.resume();
            } else {
                self.consuming.pause();
            }
            was_running = is_running;
            tokio::select! {
                biased;
                () = self.consuming.ended() => return Err(BrokerError::Closed.into()),
                _ = states.changed() => {}
                _ = bell.changed() => self.look().await?,
                _ = looks.tick() => self.look().await?,
                _ = forgets.tick(), if is_running => if self.forget().await {
                    forgets.reset_immediately();
                },
            }
        }
    }

    /// Looks whether it gets on. An error says that it is not the projection any more that was started.
    async fn look(&self) -> Result<(), ProjectionError> {
        let projection = &self.heard.projection;
        match self.heard.stored.standing().await {
            Ok(slices) => {
                for standing in slices {
                    fits(projection, &standing)?;
                    let is_new = |state: &mut State| {
                        let is_new = *state != standing.state;
                        state.clone_from(&standing.state);
                        is_new
                    };
                    self.heard.state.send_if_modified(is_new);
                }
            }
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(
                    error = cause,
                    "where a projection stands cannot be looked up"
                );
            }
        }
        if self.consuming.in_flight() == 0 {
            self.heard.metrics.late(Duration::ZERO);
        }
        Ok(())
    }

    /// Forgets some of what was handled long ago; says whether there may be more.
    async fn forget(&self) -> bool {
        let kept = i64::try_from(self.remembered_for.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(now().as_micros().saturating_sub(kept));
        let forgetting = async {
            let target = &self.heard.stored.target;
            let mut transaction = target.begin().await?;
            let name = self.heard.projection.name();
            let forgotten = target.forget(&mut transaction, name, before, FORGOTTEN_MAX);
            let forgotten = forgotten.await?;
            target.commit(transaction).await?;
            Ok::<_, ProjectionError>(forgotten)
        };
        match forgetting.await {
            Ok(forgotten) => forgotten >= u64::from(FORGOTTEN_MAX),
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, "handled messages are not forgotten yet");
                false
            }
        }
    }
}
