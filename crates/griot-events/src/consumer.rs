//! A consumer: messages of a broker go to a service, in order per key, and are settled by its answer.

mod gather;
mod handling;
mod intake;
mod lane;
mod limits;
mod metrics;
mod stop;
mod unheard;
mod work;
mod workers;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tower::Service;

use crate::{Answer, Broker, BrokerError, Event, Subscription};
use intake::Intake;
use metrics::Metrics;
use work::Shared;

pub use limits::ConsumerLimits;

/// Farther than anybody waits, and near enough for every clock.
const FAR: Duration = Duration::from_hours(24 * 365);

/// Gives the messages of a subscription to a service.
///
/// - Messages of one key are handled one at a time, in order, and wait while one of them is tried
///   again; other keys go on. A message without a key waits for nobody.
/// - [`Answer::Ack`] acknowledges. [`Answer::Publish`] acknowledges once the broker has all of them;
///   each gets a message id that is the same when the message is handled again.
/// - [`Answer::Retry`], and a panic, is handled again after a jittered backoff, as its
///   [`next_attempt`](Event::next_attempt). A message whose handler panics again and again, and
///   [`Answer::DeadLetter`], go to the [dead-letter topic](crate::dead_letter_topic), and are
///   acknowledged once they are there. Nothing is dropped.
/// - Messages whose handler is one of [`Router::on_batch`](crate::Router::on_batch) are gathered first,
///   and settled together: see [`Batch`](crate::Batch).
/// - An acknowledgement is not waited for before the next of the key: that would cost a round trip a
///   message. Where the broker did not hear of one it gives the message again, behind later ones; a
///   consumer remembers the last 10,000 of those, and acknowledges them without handling them again.
///   Only where it goes to *another* member, or the program ended, is such a message handled twice, the second time
///   out of its order.
/// - What goes to another member is let go of at once, also by a consumer that is full or paused:
///   handlers finish, what they did is acknowledged, then the partition goes.
/// - A lease is extended at a third of it for as long as the message is here.
/// - Handlers run in a few tasks, four for each processor, and a key keeps to one of them. A handler may
///   await whatever it likes; one that computes for long, or blocks its thread, keeps the other keys of
///   its task waiting, whose leases are not extended meanwhile: it belongs in
///   [`spawn_blocking`](tokio::task::spawn_blocking).
///
/// A message of the embedded broker, on a journal in memory, costs some 29 allocations from the journal to
/// its acknowledgement there, the router's one among them.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
/// use griot_events::{Answer, Broker, Consumer, Event, Order, Subscription};
/// use griot_journal::MemoryJournal;
///
/// let journal = Arc::new(MemoryJournal::new());
/// let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await?;
/// let broker: Arc<dyn Broker> = Arc::new(broker);
/// let bill = tower::service_fn(async |event: Event| Ok(match event.name() {
///     Some("OrderPlaced") => Answer::Ack,
///     _ => Answer::DeadLetter { reason: "what is this?".to_owned() },
/// }));
/// let orders = Subscription {
///     topics: vec!["orders".to_owned()],
///     group: "billing".to_owned(),
///     in_flight_max: 1_000,
///     order: Order::PerKey,
/// };
/// let consuming = Consumer::new(broker, orders, bill).start().await?;
/// assert_eq!(consuming.drain(Duration::from_secs(10)).await, 0);
/// # Ok::<(), griot_events::BrokerError>(()) }).unwrap();
/// ```
#[must_use = "it does nothing before it is started"]
pub struct Consumer<S> {
    broker: Arc<dyn Broker>,
    subscription: Subscription,
    service: S,
    limits: ConsumerLimits,
}

impl<S> fmt::Debug for Consumer<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Consumer");
        debug.field("subscription", &self.subscription);
        debug.field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<S> Consumer<S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// A consumer with the default limits.
    pub fn new(broker: Arc<dyn Broker>, subscription: Subscription, service: S) -> Self {
        Self {
            broker,
            subscription,
            service,
            limits: ConsumerLimits::default(),
        }
    }

    /// With these limits.
    pub fn with_limits(mut self, limits: ConsumerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Joins the group and begins, as a task of the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// As [`Broker::subscribe`]; [`BrokerError::Refused`] for a limit of zero.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the group may have been made; nothing is lost by that.
    pub async fn start(self) -> Result<Consuming, BrokerError> {
        let Self {
            broker,
            subscription,
            service,
            limits,
        } = self;
        if subscription.in_flight_max == 0 || limits.has_zero() {
            return Err(BrokerError::Refused {
                what: "a consumer with a limit of zero",
                reason: "in_flight_max, handlers_max, panics_max and batch_attempts_max must be at least 1".to_owned(),
            });
        }
        let (order, in_flight_max) = (subscription.order, subscription.in_flight_max);
        let group = subscription.group.clone();
        let source = broker.subscribe(subscription).await?;
        let shared = Shared {
            broker,
            metrics: Metrics::new(&group),
            group,
            handlers: Semaphore::new(limits.handlers_max.min(Semaphore::MAX_PERMITS)),
            limits,
            lease: source.lease(),
        };
        let (mode, modes) = watch::channel(Mode::Running);
        let (counter, in_flight) = watch::channel(0);
        let intake = Intake::new(
            source,
            service,
            shared,
            order,
            in_flight_max,
            modes,
            counter,
        );
        let task = tokio::spawn(intake.run());
        Ok(Consuming {
            mode,
            in_flight,
            task,
        })
    }
}

/// Whether a consumer takes messages in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Running,
    Paused,
    /// It finishes, until then at the latest.
    Draining(Instant),
}

/// A consumer at work. Dropped, it leaves its group at once, and every message that it had not
/// acknowledged is given again.
#[derive(Debug)]
#[must_use = "dropped, it ends"]
pub struct Consuming {
    mode: watch::Sender<Mode>,
    in_flight: watch::Receiver<usize>,
    task: JoinHandle<usize>,
}

impl Consuming {
    /// Takes no more messages in, and finishes those it has. It stays in its group.
    pub fn pause(&self) {
        self.change(Mode::Running, Mode::Paused);
    }

    /// Takes messages in again.
    pub fn resume(&self) {
        self.change(Mode::Paused, Mode::Running);
    }

    /// Messages that were taken in and are not settled.
    pub fn in_flight(&self) -> usize {
        *self.in_flight.borrow()
    }

    /// Waits until so few messages are in flight, or it has ended.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn until_in_flight(&self, at_most: usize) {
        let mut in_flight = self.in_flight.clone();
        // An error says that it has ended, and then none is.
        let _ = in_flight.wait_for(|count| *count <= at_most).await;
    }

    /// Takes no more messages in, finishes those whose handler runs, gives back those that have not
    /// begun or wait to be tried again, and leaves the group: all that within `deadline`. Says how
    /// many were under way still when it ended; those are given again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends at once, as if the consumer were dropped.
    pub async fn drain(mut self, deadline: Duration) -> usize {
        let end = Instant::now() + deadline.min(FAR);
        self.mode.send_replace(Mode::Draining(end));
        match timeout_at(end, &mut self.task).await {
            Ok(left) => left.unwrap_or(0),
            Err(_) => self.in_flight(),
        }
    }

    /// Waits until it has ended, which it does by itself once the broker is closed.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time; the consumer goes on.
    pub async fn ended(&self) {
        let mut in_flight = self.in_flight.clone();
        while in_flight.changed().await.is_ok() {}
    }

    fn change(&self, from: Mode, to: Mode) {
        self.mode.send_if_modified(|mode| {
            let changes = *mode == from;
            if changes {
                *mode = to;
            }
            changes
        });
    }
}

impl Drop for Consuming {
    fn drop(&mut self) {
        self.task.abort();
    }
}
