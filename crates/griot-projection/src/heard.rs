//! Messages of topics on their way into tables: many in a transaction, each once.

use std::collections::{BTreeSet, HashSet};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use griot_core::Timestamp;
use griot_events::{Answer, Batch, Event, Failure, Router};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::sleep;

use crate::attempt::Interrupted;
use crate::caller::{Caller, Unhandled};
use crate::group::grouped;
use crate::metrics::Metrics;
use crate::stored::Stored;
use crate::worker::now;
use crate::{Mark, Phase, Poison, Projection, ProjectionError, Slice, Standing, State, Target};

/// How many bad messages are left out of a batch, one after the other, before each of it goes by itself.
const LEFT_OUT_MAX: usize = 8;

/// What handles the messages that a consumer gives.
pub(crate) struct Heard<T: Target> {
    pub(crate) stored: Stored<T>,
    pub(crate) projection: Projection<T>,
    pub(crate) metrics: Metrics,
    /// Whether it gets on, as far as is known here.
    pub(crate) state: watch::Sender<State>,
    /// Turns true when nothing new is to begin.
    pub(crate) stop: watch::Sender<bool>,
    /// One for each transaction that may be open at a time.
    callers: Vec<Mutex<Caller<T>>>,
    turn: AtomicUsize,
    /// Its handlers ask for what messages have not: that is not the fault of any of them.
    is_unfit: AtomicBool,
}

impl<T: Target> Heard<T> {
    pub(crate) fn new(stored: Stored<T>, projection: Projection<T>, state: State) -> Self {
        let caller = || Mutex::new(Caller::new(&stored.target, &projection, Phase::Live));
        let callers = (0..projection.slices).map(|_| caller()).collect();
        let slice = slice_of(&projection);
        Self {
            stored,
            metrics: Metrics::new(&slice),
            projection,
            state: watch::Sender::new(state),
            stop: watch::Sender::new(false),
            callers,
            turn: AtomicUsize::new(0),
            is_unfit: AtomicBool::new(false),
        }
    }

    /// The router for a consumer: it has the projection's topics, and gathers all of each.
    pub(crate) fn router(self: &Arc<Self>, batch: Batch) -> Router {
        let topics = self.projection.router.topics();
        topics.iter().fold(Router::new(), |router, topic| {
            let heard = Arc::clone(self);
            router.on_batch(topic, batch, move |messages: Vec<Event>| {
                let heard = Arc::clone(&heard);
                async move { heard.handle(messages).await }
            })
        })
    }

    /// Handles a batch: all in one transaction, save those that cannot be handled. With those the batch falls apart,
    /// and each comes again by itself; what is in the tables by then is known.
    async fn handle(&self, messages: Vec<Event>) -> Answer {
        if let [message] = messages.as_slice() {
            return self.handle_alone(message.clone()).await;
        }
        let (all, mut left) = (messages.len(), messages);
        let mut apart = "too many of its messages cannot be handled".to_owned();
        for _ in 0..LEFT_OUT_MAX {
            match self.attempt(&left).await {
                Ok(()) if left.len() == all => return Answer::Ack,
                Ok(()) => break,
                Err(Interrupted::Unhandled {
                    first,
                    last,
                    failure,
                }) => {
                    reason_of(&failure).clone_into(&mut apart);
                    left = without(left, first, last);
                }
                Err(other) => return again(&other),
            }
        }
        Answer::DeadLetter { reason: apart }
    }

    /// Handles a message by itself, as often as the limits say.
    async fn handle_alone(&self, mut message: Event) -> Answer {
        let mut failures = 0;
        loop {
            let failure = match self.attempt(slice::from_ref(&message)).await {
                Ok(()) => return Answer::Ack,
                Err(Interrupted::Unhandled { failure, .. }) => failure,
                Err(other) => return again(&other),
            };
            self.metrics.failed();
            failures += 1;
            let reason = describe(&message, &failure);
            let tries = self.projection.limits.attempts_max;
            if matches!(failure, Failure::DeadLetter { .. }) || failures >= tries {
                return self.poison(reason).await;
            }
            tracing::warn!(
                reason,
                "a message could not be projected, it is tried again"
            );
            if !self
                .pause(self.projection.limits.pause_after(failures))
                .await
            {
                return Answer::Retry { reason };
            }
            message = message.next_attempt();
        }
    }

    /// What becomes of a message that cannot be handled.
    async fn poison(&self, reason: String) -> Answer {
        self.metrics.poisoned();
        let poison = self.projection.poison;
        tracing::error!(reason, ?poison, "a message cannot be projected");
        if poison == Poison::Park && !self.is_unfit.load(Ordering::Relaxed) {
            return Answer::DeadLetter { reason };
        }
        // Where this is not stored, the message comes again, and with it this.
        if let Err(error) = self.stored.fail(reason.clone()).await {
            return again(&Interrupted::Error(error));
        }
        let failed = State::Failed {
            reason: reason.clone(),
        };
        self.state.send_replace(failed);
        Answer::Retry { reason }
    }

    /// Handles the messages that were not handled before, and remembers them, in one transaction.
    async fn attempt(&self, messages: &[Event]) -> Result<(), Interrupted> {
        gets_on(&self.state.borrow())?;
        let is_routed = |message: &Event| self.projection.router.handled_by(message).is_some();
        let routed = messages.iter().enumerate();
        let routed: Vec<_> = routed.filter(|(_, message)| is_routed(message)).collect();
        if routed.is_empty() {
            return Ok(());
        }
        let mut caller = self.caller().await;
        let (target, name) = (&self.stored.target, &*self.projection.name);
        let mut transaction = target.begin_durable().await?;
        caller.begun();
        let marks: BTreeSet<Mark> = routed.iter().map(|(_, event)| Mark::of(event)).collect();
        let marks: Vec<Mark> = marks.into_iter().collect();
        let mut known = target
            .remember(&mut transaction, name, &marks, now())
            .await?;
        let (all, mut fresh) = (routed.len(), routed);
        fresh.retain(|(_, message)| known.insert(Mark::of(message)));
        self.metrics.repeated(all - fresh.len());
        if fresh.is_empty() {
            return Ok(());
        }
        let read = fresh.iter();
        let read = read.map(|(index, message)| (*index, None, Ok(Event::clone(message))));
        let (mut handled, mut out) = (0, Vec::new());
        for group in grouped(&self.projection.router, read) {
            let id = || Mark::name_of(name, &group.messages);
            let message = group.message().ok().flatten();
            let Some(message) = message else { continue };
            let calling = caller.call(transaction, message, &[], &id, &mut out);
            transaction = calling.await.map_err(|unhandled| {
                let is_unfit = caller.missed_the_journal();
                self.is_unfit.fetch_or(is_unfit, Ordering::Relaxed);
                Unhandled::of(unhandled, &group)
            })?;
            handled += group.messages.len() as u64;
        }
        caller.publish(out).await?;
        self.commit(transaction, handled).await?;
        caller.committed();
        let first = fresh.iter().find_map(|(_, message)| message.published_at());
        self.metrics.committed(handled);
        self.metrics.late(first.map_or(Duration::ZERO, since));
        Ok(())
    }

    /// Counts what was handled and commits, where the projection still gets on: whoever paused it, or stopped it at
    /// a message, is held up until then, and sees nothing move after that.
    async fn commit(
        &self,
        mut transaction: T::Transaction,
        handled: u64,
    ) -> Result<(), Interrupted> {
        let (target, slice) = (&self.stored.target, slice_of(&self.projection));
        let stored = target.load(&mut transaction, &slice).await?;
        let unknown = || ProjectionError::Unknown {
            projection: self.projection.name.to_string(),
        };
        let mut standing = stored.ok_or_else(unknown)?;
        gets_on(&standing.state)?;
        fits(&self.projection, &standing)?;
        standing.events += handled;
        let held = standing.epoch;
        let storing = target.store(&mut transaction, &slice, held, &standing);
        if storing.await? != 1 {
            return Err(unknown().into());
        }
        Ok(target.commit(transaction).await?)
    }

    /// Waits for a transaction's turn.
    async fn caller(&self) -> MutexGuard<'_, Caller<T>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let index = turn % self.callers.len();
        #[expect(
            clippy::indexing_slicing,
            reason = "a projection has a slice, and it is a remainder"
        )]
        self.callers[index].lock().await
    }

    /// Waits; says whether it may go on then.
    async fn pause(&self, pause: Duration) -> bool {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            () = sleep(pause) => true,
            _ = stop.wait_for(|stop| *stop) => false,
        }
    }
}

/// What a projection of topics is stored as.
pub(crate) fn slice_of<T: Target>(projection: &Projection<T>) -> Slice {
    Slice {
        projection: Arc::clone(&projection.name),
        number: 0,
    }
}

/// Whether the tables are of this version of the projection, and of topics.
pub(crate) fn fits<T: Target>(
    projection: &Projection<T>,
    stored: &Standing,
) -> Result<(), ProjectionError> {
    if !stored.is_of_topics() {
        return Err(ProjectionError::Refused {
            what: "a projection of topics under the name of one of a journal",
            reason: "give it a name, and tables, of its own",
        });
    }
    if stored.version != projection.version {
        return Err(ProjectionError::Refused {
            what: "another version of a projection of topics",
            reason: "what a broker has forgotten is not handled anew: give it another name, and tables of its own",
        });
    }
    Ok(())
}

fn gets_on(state: &State) -> Result<(), Interrupted> {
    match state {
        State::Running => Ok(()),
        held => Err(Interrupted::Held(held.clone())),
    }
}

/// The answer to messages that may be handled once something else was mended: they come again as they are.
fn again(interrupted: &Interrupted) -> Answer {
    let reason = match interrupted {
        Interrupted::Held(state) => format!("the projection is {state}"),
        Interrupted::Error(error) => {
            let cause = error as &dyn std::error::Error;
            tracing::warn!(
                error = cause,
                "a projection of topics waits and tries again"
            );
            error.to_string()
        }
        Interrupted::Moved | Interrupted::Unhandled { .. } => String::new(),
    };
    Answer::Retry { reason }
}

/// The messages without those from `first` to `last`, and those of their keys that come behind them.
fn without(messages: Vec<Event>, first: usize, last: usize) -> Vec<Event> {
    let key = |message: &Event| Some((message.topic().to_owned(), message.key()?.clone()));
    let bad = messages.iter().take(last.saturating_add(1)).skip(first);
    let keys: HashSet<_> = bad.filter_map(key).collect();
    let stays = |index: usize, message: &Event| {
        index < first || index > last && key(message).is_none_or(|key| !keys.contains(&key))
    };
    let all = messages.into_iter().enumerate();
    all.filter_map(|(index, message)| stays(index, &message).then_some(message))
        .collect()
}

/// How long ago that was.
fn since(at: Timestamp) -> Duration {
    now().since(at)
}

fn reason_of(failure: &Failure) -> &str {
    let (Failure::Retry { reason } | Failure::DeadLetter { reason }) = failure;
    reason
}

/// Which message it is, and why it was not handled.
fn describe(message: &Event, failure: &Failure) -> String {
    let (id, topic, reason) = (message.id(), message.topic(), reason_of(failure));
    let name = message.name().unwrap_or("without a name");
    // As every database takes it.
    format!("message {id} of {topic}, {name}: {reason}").replace(char::is_control, " ")
}
