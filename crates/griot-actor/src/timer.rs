//! An actor's own timers: they fire in its task, between two messages, and end with it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::deadlines::{FAR, from_now};

/// Names a timer to [`Context::cancel`](crate::Context::cancel) it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    due: Instant,
    number: u64,
}

enum Timer<E> {
    Once(E),
    Every {
        period: Duration,
        message: Box<dyn FnMut() -> E + Send>,
    },
}

/// Timers of one actor, the earliest first.
pub(crate) struct Timers<E> {
    waiting: BTreeMap<TimerKey, Timer<E>>,
    next_number: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<E> Timers<E> {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_number: 0,
            sleep: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn after(&mut self, delay: Duration, message: E) -> TimerKey {
        self.insert(delay, Timer::Once(message))
    }

    pub(crate) fn every(
        &mut self,
        period: Duration,
        message: Box<dyn FnMut() -> E + Send>,
    ) -> TimerKey {
        self.insert(period, Timer::Every { period, message })
    }

    fn insert(&mut self, delay: Duration, timer: Timer<E>) -> TimerKey {
        let key = TimerKey {
            due: from_now(delay),
            number: self.next_number,
        };
        self.next_number += 1;
        self.waiting.insert(key, timer);
        key
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        // A repeating timer that has fired is due at another time than its key says.
        if self.waiting.remove(&key).is_none() {
            self.waiting.retain(|other, _| other.number != key.number);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.sleep = None;
    }

    /// The message of the earliest timer that is due. A repeating timer that comes late does not
    /// make up for the ticks it missed.
    pub(crate) fn pop_due(&mut self) -> Option<E> {
        let first = self.waiting.first_entry()?;
        let now = Instant::now();
        if first.key().due > now {
            return None;
        }
        let (key, timer) = first.remove_entry();
        match timer {
            Timer::Once(message) => Some(message),
            Timer::Every {
                period,
                mut message,
            } => {
                let fired = message();
                let next = key.due + period.min(FAR);
                let due = if next > now { next } else { from_now(period) };
                self.waiting
                    .insert(TimerKey { due, ..key }, Timer::Every { period, message });
                Some(fired)
            }
        }
    }

    /// Ready when a timer is due; pending for ever when there is none.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((key, _)) = self.waiting.first_key_value() else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(key.due)));
        if sleep.deadline() != key.due {
            sleep.as_mut().reset(key.due);
        }
        sleep.as_mut().poll(cx)
    }
}

impl<E> fmt::Debug for Timers<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}
