//! What a handler of a projection can ask for beside the parts of an event.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use griot_events::{DeadLetter, Event, Failure, FromBatch, FromEvent};
use griot_journal::RecordedEvent;

use crate::Target;
use crate::caller::text;

/// The state of a projection's router: what it is that [`Tx`], [`Recorded`] and [`Phase`] are taken from.
/// It is made by the runner; a handler never names it.
pub struct Scope<T: Target> {
    held: Arc<Mutex<Held<T>>>,
    phase: Phase,
}

struct Held<T: Target> {
    transaction: Option<T::Transaction>,
    /// How often one was lent or taken back: what a handler kept beyond that does not come back.
    times: u64,
    /// What is handled, in the order of offsets.
    recorded: Vec<Arc<RecordedEvent>>,
    /// What is done once the transaction is committed.
    afterwards: Vec<Box<dyn FnOnce() + Send>>,
    /// A handler asked for one of these, and there was none.
    missed: bool,
}

/// Whether an event is handled for the live tables, or for those of a [`Rebuild`](crate::Rebuild).
///
/// What a handler publishes does not go out while rebuilding. One that has effects of its own asks for
/// this, and has none then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For the first time, as far as anybody can tell.
    Live,
    /// Again, into tables beside the live ones.
    Rebuilding,
}

/// The transaction that the batch is handled in: dereferences to the target's connection.
///
/// The handler's writes are committed together with the place that the projection came to, or not at
/// all. It is never committed by the handler, and goes back when it is dropped, which must be before the
/// handler ends.
pub struct Tx<T: Target> {
    held: Arc<Mutex<Held<T>>>,
    times: u64,
    /// There until it is dropped.
    transaction: Option<T::Transaction>,
}

/// The event as the journal has it: its entity, sequence, offset, version and tags. A message of a
/// [topic](crate::Listener) has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded(pub Arc<RecordedEvent>);

const JOURNAL_ONLY: &str = "the handler asks for `Recorded` or `Happened`, which a message of a topic has not: \
                            let it ask for `Json`, `Key`, `Header` or `Event`";

impl<T: Target> Scope<T> {
    pub(crate) fn new(phase: Phase) -> Self {
        Self {
            held: Arc::new(Mutex::new(Held {
                transaction: None,
                times: 0,
                recorded: Vec::new(),
                afterwards: Vec::new(),
                missed: false,
            })),
            phase,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Another transaction begins: what was to be done after the one before is not.
    pub(crate) fn begun(&self) {
        lock(&self.held).afterwards.clear();
    }

    /// The transaction is committed.
    pub(crate) fn committed(&self) {
        let afterwards = std::mem::take(&mut lock(&self.held).afterwards);
        for act in afterwards {
            // What is committed is committed, and the other acts are somebody else's.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
                let panic = text(&*panic);
                tracing::error!(panic, "what was to be done after a commit panicked");
            }
        }
    }

    /// Lends the transaction to a handler of these events.
    pub(crate) fn lend(&self, transaction: T::Transaction, recorded: &[Arc<RecordedEvent>]) {
        let mut held = lock(&self.held);
        held.transaction = Some(transaction);
        held.recorded.clear();
        held.recorded.extend_from_slice(recorded);
        held.missed = false;
    }

    /// Whether the handler asked for what only an event of a journal has, and there was none.
    pub(crate) fn missed_the_journal(&self) -> bool {
        lock(&self.held).missed
    }

    fn borrow(&self) -> Result<Tx<T>, Failure> {
        let mut held = lock(&self.held);
        let transaction = held.transaction.take();
        let transaction =
            transaction.ok_or(DeadLetter("the handler asks for the transaction twice"))?;
        Ok(Tx {
            held: Arc::clone(&self.held),
            times: held.times,
            transaction: Some(transaction),
        })
    }

    /// Takes it back; `None` where a handler kept it: then it is rolled back when it is dropped.
    pub(crate) fn take_back(&self) -> Option<T::Transaction> {
        let mut held = lock(&self.held);
        held.times += 1;
        held.transaction.take()
    }
}

fn lock<T: Target>(held: &Mutex<Held<T>>) -> MutexGuard<'_, Held<T>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Target> FromEvent<Scope<T>> for Tx<T> {
    fn from_event(_: &Event, scope: &Scope<T>) -> Result<Self, Failure> {
        scope.borrow()
    }
}

impl<T: Target> FromBatch<Scope<T>> for Tx<T> {
    fn from_batch(_: &[Event], scope: &Scope<T>) -> Result<Self, Failure> {
        scope.borrow()
    }
}

impl<T: Target> FromEvent<Scope<T>> for Recorded {
    fn from_event(event: &Event, scope: &Scope<T>) -> Result<Self, Failure> {
        let (_, offset) = event.position();
        let mut held = lock(&scope.held);
        if held.recorded.is_empty() {
            held.missed = true;
            return Err(DeadLetter(JOURNAL_ONLY).into());
        }
        let recorded = &held.recorded;
        let found = recorded.binary_search_by_key(&offset, |recorded| recorded.offset.get());
        let found = found.ok().and_then(|at| recorded.get(at).cloned());
        Ok(Self(found.ok_or(DeadLetter("no such event is handled"))?))
    }
}

impl<T: Target> FromEvent<Scope<T>> for Phase {
    fn from_event(_: &Event, scope: &Scope<T>) -> Result<Self, Failure> {
        Ok(scope.phase)
    }
}

impl<T: Target> FromBatch<Scope<T>> for Phase {
    fn from_batch(_: &[Event], scope: &Scope<T>) -> Result<Self, Failure> {
        Ok(scope.phase)
    }
}

impl<T: Target> Tx<T> {
    /// Does this at most once, when the transaction is committed, and never where it is rolled back: what must not be
    /// done twice and need not outlive the process, such as counting. It is not done where the process ends just then, or
    /// the commit's answer was lost. It must not block; a panic in it is logged, and changes nothing.
    pub fn after_commit(&self, act: impl FnOnce() + Send + 'static) {
        lock(&self.held).afterwards.push(Box::new(act));
    }
}

const THERE: &str = "only dropping takes it out";

impl<T: Target> Deref for Tx<T> {
    type Target = T::Connection;

    #[expect(clippy::expect_used, reason = "only dropping takes it out")]
    fn deref(&self) -> &T::Connection {
        self.transaction.as_ref().expect(THERE)
    }
}

impl<T: Target> DerefMut for Tx<T> {
    #[expect(clippy::expect_used, reason = "only dropping takes it out")]
    fn deref_mut(&mut self) -> &mut T::Connection {
        self.transaction.as_mut().expect(THERE)
    }
}

impl<T: Target> Drop for Tx<T> {
    fn drop(&mut self) {
        let transaction = self.transaction.take();
        let mut held = lock(&self.held);
        if held.times == self.times {
            held.transaction = transaction;
        }
    }
}

impl<T: Target> Clone for Scope<T> {
    fn clone(&self) -> Self {
        Self {
            held: Arc::clone(&self.held),
            phase: self.phase,
        }
    }
}

impl<T: Target> fmt::Debug for Scope<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Scope");
        debug.field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl<T: Target> fmt::Debug for Tx<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tx")
    }
}
