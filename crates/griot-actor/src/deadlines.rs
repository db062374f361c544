//! The deadlines of all asks under way in a system, watched by one task.
//!
//! An answer nearly always comes long before its deadline, so a timer of the runtime for each ask,
//! put into its wheel and taken out again, would cost more than the ask. Here an ask leaves its waker
//! in a slab; a clerk sleeps until the earliest deadline it knew when it last looked.

use std::borrow::Borrow;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// Farther than anybody waits, and near enough for every clock.
pub const FAR: Duration = Duration::from_hours(24 * 365);

/// The moment so long from now.
pub(crate) fn from_now(delay: Duration) -> Instant {
    Instant::now() + delay.min(FAR)
}

/// Deadlines that are watched together. Each [`Reply`] that waits is one of them.
#[derive(Debug)]
pub struct Deadlines {
    state: Mutex<State>,
    /// Tells the clerk of a deadline before the one it sleeps until.
    earlier: Notify,
}

#[derive(Debug)]
struct State {
    waiting: Slab<Waiting>,
    next_number: u64,
    /// When the clerk looks next; `None` while there is no clerk.
    clerk_wakes: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    deadline: Instant,
    /// Tells this ask from a later one at the same place.
    number: u64,
    waker: Waker,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    key: usize,
    number: u64,
}

impl Deadlines {
    /// None yet. The task that watches runs while somebody waits.
    pub fn new() -> Arc<Self> {
        let state = State {
            waiting: Slab::new(),
            next_number: 0,
            clerk_wakes: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            earlier: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, deadline: Instant, waker: Waker) -> Place {
        let mut state = self.lock();
        let number = state.next_number;
        state.next_number += 1;
        let key = state.waiting.insert(Waiting {
            deadline,
            number,
            waker,
        });
        let clerk_wakes = state.clerk_wakes;
        if clerk_wakes.is_none_or(|at| deadline < at) {
            state.clerk_wakes = Some(deadline);
            drop(state);
            match clerk_wakes {
                Some(_) => self.earlier.notify_one(),
                None => drop(tokio::spawn(Clerk(Arc::clone(self)).watch())),
            }
        }
        Place { key, number }
    }

    /// Keeps the waker up to date; `false` if the deadline has passed.
    fn is_waiting(&self, place: Place, waker: &Waker) -> bool {
        // Dropped after the guard: dropping a waker may run a task's drop.
        let mut _replaced = None;
        let mut state = self.lock();
        match state.waiting.get_mut(place.key) {
            Some(waiting) if waiting.number == place.number => {
                if !waiting.waker.will_wake(waker) {
                    _replaced = Some(std::mem::replace(&mut waiting.waker, waker.clone()));
                }
                true
            }
            _ => false,
        }
    }

    fn leave(&self, place: Place) {
        let mut _left = None;
        let mut state = self.lock();
        let here = state.waiting.get(place.key);
        if here.is_some_and(|waiting| waiting.number == place.number) {
            _left = state.waiting.try_remove(place.key);
        }
    }

    /// Takes out those whose deadline has passed, and says when to look again.
    fn take_late(&self, late: &mut Vec<Waker>) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut keys = Vec::new();
        let mut earliest: Option<Instant> = None;
        for (key, waiting) in &state.waiting {
            if waiting.deadline <= now {
                keys.push(key);
            } else {
                earliest = Some(earliest.map_or(waiting.deadline, |at| at.min(waiting.deadline)));
            }
        }
        late.extend(keys.into_iter().filter_map(|key| {
            let waiting = state.waiting.try_remove(key);
            waiting.map(|waiting| waiting.waker)
        }));
        state.clerk_wakes = earliest;
        earliest
    }
}

/// The task that watches; there is one while asks are under way, and a little longer.
struct Clerk(Arc<Deadlines>);

impl Clerk {
    async fn watch(self) {
        let mut late = Vec::new();
        loop {
            let Some(at) = self.0.lock().clerk_wakes else {
                return;
            };
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.0.earlier.notified() => continue,
            }
            let next = self.0.take_late(&mut late);
            late.drain(..).for_each(Waker::wake);
            if next.is_none() {
                return;
            }
        }
    }
}

impl Drop for Clerk {
    /// Its runtime ended: the next ask, in another one, brings its own clerk.
    fn drop(&mut self) {
        self.0.lock().clerk_wakes = None;
    }
}

/// Waits for a reply until its deadline. `D` is the deadlines it is one of, borrowed or shared.
///
/// # Cancel safety
///
/// Dropped, the reply is lost.
#[derive(Debug)]
pub struct Reply<R, D: Borrow<Arc<Deadlines>>> {
    answer: oneshot::Receiver<R>,
    deadlines: D,
    until: Until,
    place: Option<Place>,
}

/// When a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So long after it begins: the clock is read only if there is anything to wait for.
    After(Duration),
    /// At this moment.
    At(Instant),
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// The deadline came first.
    Late,
    /// Whoever should have answered is gone.
    Dropped,
}

impl<R, D: Borrow<Arc<Deadlines>>> Reply<R, D> {
    /// Waits for `answer`.
    pub const fn new(answer: oneshot::Receiver<R>, until: Until, deadlines: D) -> Self {
        Self {
            answer,
            deadlines,
            until,
            place: None,
        }
    }
}

impl<R, D: Borrow<Arc<Deadlines>> + Unpin> Future for Reply<R, D> {
    type Output = Result<R, NoReply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
            return Poll::Ready(answer.map_err(|_| NoReply::Dropped));
        }
        match self.place {
            None => {
                let deadline = match self.until {
                    Until::After(delay) => from_now(delay),
                    Until::At(deadline) => deadline,
                };
                let place = self.deadlines.borrow().enter(deadline, cx.waker().clone());
                self.place = Some(place);
            }
            Some(place) if self.deadlines.borrow().is_waiting(place, cx.waker()) => {}
            Some(_) => return Poll::Ready(Err(NoReply::Late)),
        }
        Poll::Pending
    }
}

impl<R, D: Borrow<Arc<Deadlines>>> Drop for Reply<R, D> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.deadlines.borrow().leave(place);
        }
    }
}
