//! A listener: runs projections of a broker's topics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use griot_core::{Epoch, Offset};
use griot_events::{Batch, Broker, Consumer, ConsumerLimits, Order, Subscription};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::heard::{Heard, fits, slice_of};
use crate::hearing::Hearing;
use crate::runner::outcome;
use crate::stored::Stored;
use crate::{Projection, ProjectionError, Standing, State, Target};

/// Runs projections of a broker's topics into a target: the messages of the topics that a projection's routes name go to
/// its handlers, as a group of consumers, and each is shown **once** in the tables.
///
/// The broker says only that a message is given at least once. So a message's id is kept in the target, in the transaction
/// of the handlers' writes, and only what was committed is acknowledged: a message that comes again is known, be it that the
/// program died between the commit and the acknowledgement, that the broker gave it to two listeners, or that it was
/// published twice under one [`MESSAGE_ID`](griot_events::MESSAGE_ID).
///
/// - **For so long.** An id is forgotten after [`ListenerLimits::remembered_for`], in the background. A message
///   that comes again later than that is handled again: let it be longer than the broker keeps or redelivers what it has.
/// - **Without an id** a message is known by its place at the broker ([`Mark`](crate::Mark)): so a redelivery is known,
///   but not what a publisher published twice.
/// - **Batches.** What has gathered within [`ListenerLimits::gather_max`] goes into one transaction, up to
///   [`Limits::batch_events_max`](crate::Limits); a handler of batches gets those that follow each other to it, as of a
///   journal. With [`Projection::with_slices`] more transactions are open at a time, where there is more than one topic or
///   batch to handle.
/// - **Order.** Messages of one key are handled in their order, also where one is tried again, and also by several
///   listeners, as the broker promises for [`Order::PerKey`]. Topics are in no order with each other.
/// - **Poison.** A message that fails does not hold up the others of its batch, save those of its key. It is tried as
///   often as the projection's limits say; then [`Poison::Stop`](crate::Poison) stops the projection there, visibly, the
///   message not acknowledged, until it is resumed, also after a restart; [`Poison::Park`](crate::Poison) gives it to
///   the dead-letter topic. What the database does wrong is no message's fault, and is waited out.
/// - **No journal.** Handlers that ask for [`Recorded`](crate::Recorded) or [`Happened`](crate::Happened) are for the events
///   of a journal: a projection whose handler does stops at its first message, whatever its poison. What a broker
///   has forgotten cannot be handled anew, so that there is no [`Rebuild`](crate::Rebuild), and another version takes
///   another name, and tables of its own.
/// - **Publications** go out before the transaction is committed, to the projection's broker or else this one, under ids
///   that stay the same when a message is handled again. Those of a handler of batches do where the same messages come
///   together again; in another batch they get other ids, and whoever takes them in sees them twice.
///
/// Metrics are those of a projection, with `griot_projection_repeats_total`, the messages that came again. A broker does not
/// tell how many wait; `griot_projection_lag_seconds` is the age of what was committed last, and 0 while nothing is under way.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use griot_events::{Broker, Failure, Json, Router};
/// use griot_projection::{Listener, Projection, ProjectionError, Target, Tx};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Paid { invoice: String, cents: i64 }
///
/// async fn paid<T: Target>(mut tx: Tx<T>, Json(paid): Json<Paid>) -> Result<(), Failure> {
///     // sqlx::query("UPDATE invoices SET paid = paid + ? WHERE id = ?")
///     //     .bind(paid.cents).bind(paid.invoice).execute(&mut *tx).await?;
///     Ok(())
/// }
///
/// async fn serve<T: Target>(broker: Arc<dyn Broker>, target: T) -> Result<(), ProjectionError> {
///     let payments = Projection::new("invoices", 1, Router::new().on_event("payments", "Paid", paid::<T>));
///     let listening = Listener::new(broker, target).start(&payments).await?;
///     // … until the program is to end:
///     listening.drain(Duration::from_secs(10)).await
/// }
/// ```
#[derive(Clone)]
pub struct Listener<T: Target> {
    broker: Arc<dyn Broker>,
    target: T,
    group: Option<String>,
    limits: ListenerLimits,
}

/// What bounds a listener, beside its projection's [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Messages that were taken in and are not acknowledged, at most.
    pub in_flight_max: usize,
    /// How long a message waits for others to go into its transaction.
    pub gather_max: Duration,
    /// How long a message that was handled is remembered. They are looked through every hour, or at an eighth of this where
    /// that is less, and not before: what comes again at a start is known, however long the program was away.
    pub remembered_for: Duration,
}

impl Default for ListenerLimits {
    /// 2,000 messages, 10 ms, and 7 days.
    fn default() -> Self {
        Self {
            in_flight_max: 2_000,
            gather_max: Duration::from_millis(10),
            remembered_for: Duration::from_hours(7 * 24),
        }
    }
}

impl<T: Target> Listener<T> {
    /// A listener to this broker's topics, into this target.
    pub fn new(broker: Arc<dyn Broker>, target: T) -> Self {
        Self {
            broker,
            target,
            group: None,
            limits: ListenerLimits::default(),
        }
    }

    /// In this group, in place of one with the projection's name.
    #[must_use]
    pub fn with_group(self, group: &str) -> Self {
        Self {
            group: Some(group.to_owned()),
            ..self
        }
    }

    /// With these limits.
    #[must_use]
    pub fn with_limits(self, limits: ListenerLimits) -> Self {
        Self { limits, ..self }
    }

    /// Joins the group and runs the projection, as tasks of the runtime that this is called in. Any number of listeners
    /// may run one projection: each gets some of the messages.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Refused`] for a limit of zero, for a projection without topics or with a
    /// [reading](Projection::reading), and where the tables are those of another version or of a journal;
    /// [`ProjectionError::Broker`] where the group cannot be joined; those of the target.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the group may have been made; nothing is lost by that.
    pub async fn start(&self, projection: &Projection<T>) -> Result<Listening<T>, ProjectionError> {
        self.check(projection)?;
        let mut projection = projection.clone();
        projection.broker.get_or_insert(Arc::clone(&self.broker));
        let target = self.target.clone();
        let stored = Stored::new(target, Arc::clone(&projection.name), Arc::default());
        let state = begin(&self.target, &projection).await?;
        let name = projection.name.to_string();
        let (limits, heard) = (
            projection.limits,
            Heard::new(stored.clone(), projection, state),
        );
        let heard = Arc::new(heard);
        let batch = Batch {
            events_max: limits.batch_events_max,
            wait_max: self.limits.gather_max,
        };
        let router = heard.router(batch);
        let subscription = Subscription {
            topics: router.topics(),
            group: self.group.clone().unwrap_or(name),
            in_flight_max: self.limits.in_flight_max,
            order: Order::PerKey,
        };
        let mut consumer_limits = ConsumerLimits {
            // A batch falls apart when its answer says so: in an outage, and while paused, it stays whole.
            batch_attempts_max: u32::MAX,
            ..ConsumerLimits::default()
        };
        consumer_limits.backoff.first = limits.pause_first;
        consumer_limits.backoff.max = limits.look;
        let consumer = Consumer::new(Arc::clone(&self.broker), subscription, router);
        let consuming = consumer.with_limits(consumer_limits).start().await?;
        let (stop, stopping) = watch::channel(None);
        let hearing = Hearing {
            heard,
            consuming,
            stopping,
            remembered_for: self.limits.remembered_for,
        };
        let task = tokio::spawn(hearing.run());
        Ok(Listening { stored, stop, task })
    }

    fn check(&self, projection: &Projection<T>) -> Result<(), ProjectionError> {
        projection.limits.check()?;
        if self.limits.in_flight_max == 0 || self.limits.remembered_for.is_zero() {
            return Err(ProjectionError::Refused {
                what: "a listener with a limit of zero",
                reason: "in_flight_max and remembered_for must be more than zero",
            });
        }
        if projection.router.topics().is_empty() {
            return Err(ProjectionError::Refused {
                what: "a projection that names no topic",
                reason: "say in its router which it handles, with `on` or `on_event`",
            });
        }
        if !projection.readings.is_empty() {
            return Err(ProjectionError::Refused {
                what: "a projection of topics that reads events of a journal",
                reason: "leave `reading` out, and let its handlers ask for `Json`",
            });
        }
        Ok(())
    }
}

/// Stores where a new projection stands, or looks whether a known one is this. Where another was the first to store it,
/// looks again. Says whether it gets on.
async fn begin<T: Target>(
    target: &T,
    projection: &Projection<T>,
) -> Result<State, ProjectionError> {
    match begin_once(target, projection).await {
        Err(ProjectionError::Target(_)) => begin_once(target, projection).await,
        done => done,
    }
}

async fn begin_once<T: Target>(
    target: &T,
    projection: &Projection<T>,
) -> Result<State, ProjectionError> {
    let slice = slice_of(projection);
    let mut transaction = target.begin().await?;
    let stored = target.load(&mut transaction, &slice).await?;
    let Some(stored) = stored else {
        let first = Standing {
            version: projection.version,
            slices: 0,
            epoch: Epoch(1),
            offset: Offset::ZERO,
            events: 0,
            state: State::Running,
        };
        target.insert(&mut transaction, &slice, &first).await?;
        target.commit(transaction).await?;
        return Ok(State::Running);
    };
    fits(projection, &stored)?;
    Ok(stored.state)
}

impl<T: Target> fmt::Debug for Listener<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Listener");
        debug.field("group", &self.group);
        debug.field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A projection of topics at work. Dropped, it ends at once: what was not committed is rolled back, and what was not
/// acknowledged is given again.
#[must_use = "dropped, it ends"]
pub struct Listening<T: Target> {
    stored: Stored<T>,
    /// Until when it is to end.
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<Result<(), ProjectionError>>,
}

impl<T: Target> Listening<T> {
    /// Where it stands: how many messages its handlers were given, and whether it gets on.
    ///
    /// # Errors
    ///
    /// Those of the target.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn standing(&self) -> Result<Standing, ProjectionError> {
        let mut slices = self.stored.standing().await?;
        slices.pop().ok_or_else(|| ProjectionError::Unknown {
            projection: self.stored.projection.to_string(),
        })
    }

    /// Stops it, and all others that run it, until it is resumed, also after a restart: it takes no more messages in, and
    /// commits nothing more once this returns.
    ///
    /// # Errors
    ///
    /// Those of the target.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have happened.
    pub async fn pause(&self) -> Result<(), ProjectionError> {
        self.stored.pause().await
    }

    /// Lets it get on, where it was paused and where it stopped at a message, which is tried again.
    ///
    /// # Errors
    ///
    /// Those of the target.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have happened.
    pub async fn resume(&self) -> Result<(), ProjectionError> {
        self.stored.resume().await
    }

    /// Takes no more messages in, commits and acknowledges what is being handled, gives back the rest, and leaves the
    /// group: all that within `deadline`. What is under way still when it ends is given again, and known where it was
    /// committed.
    ///
    /// # Errors
    ///
    /// As [`ended`](Listening::ended).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends at once.
    pub async fn drain(mut self, deadline: Duration) -> Result<(), ProjectionError> {
        self.stop.send_replace(Some(Instant::now() + deadline));
        outcome((&mut self.task).await)
    }

    /// Waits until it has ended by itself, and says why.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Broker`] where the broker was closed; [`ProjectionError::Refused`] where the tables are of another
    /// version by now.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time; the projection goes on.
    pub async fn ended(&mut self) -> Result<(), ProjectionError> {
        outcome((&mut self.task).await)
    }
}

impl<T: Target> Drop for Listening<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Target> fmt::Debug for Listening<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Listening");
        debug
            .field("projection", &self.stored.projection)
            .finish_non_exhaustive()
    }
}
