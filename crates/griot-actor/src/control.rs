//! The control lane: stop, drain, kill and notices of ended actors pass ahead of a full mailbox.
//!
//! One flag word is all that a running actor looks at between two messages; the rest is behind a
//! lock that is taken only when a flag is up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::{Ended, Failure};

/// End now, in the middle of whatever runs.
pub(crate) const KILL: u8 = 1;
/// End after the current message, and hand back the rest.
pub(crate) const STOP: u8 = 2;
/// Take no more, and end when all that was accepted is handled.
pub(crate) const DRAIN: u8 = 4;
/// The lane holds something that goes before the mailbox.
pub(crate) const URGENT: u8 = 8;

/// Told once, when the actor has ended, unless it is gone by then.
pub(crate) struct Watcher {
    pub(crate) alive: Weak<()>,
    pub(crate) tell: Box<dyn FnOnce(&Ended) + Send>,
}

pub(crate) struct Control<E> {
    flags: AtomicU8,
    /// The actor's task, which is woken when a flag goes up.
    task: AtomicWaker,
    lane: Mutex<Lane<E>>,
}

struct Lane<E> {
    urgent: VecDeque<E>,
    escalated: Option<Failure>,
    pending_to: Option<oneshot::Sender<VecDeque<E>>>,
    waiting: Vec<oneshot::Sender<Ended>>,
    watchers: Vec<Watcher>,
    ended: Option<Ended>,
}

/// What the lane holds for the actor.
pub(crate) enum Urgent<E> {
    Message(E),
    Escalated(Failure),
}

impl<E> Control<E> {
    pub(crate) fn new() -> Self {
        Self {
            flags: AtomicU8::new(0),
            task: AtomicWaker::new(),
            lane: Mutex::new(Lane {
                urgent: VecDeque::new(),
                escalated: None,
                pending_to: None,
                waiting: Vec::new(),
                watchers: Vec::new(),
                ended: None,
            }),
        }
    }

    fn lane(&self) -> MutexGuard<'_, Lane<E>> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn flags(&self) -> u8 {
        self.flags.load(Ordering::Acquire)
    }

    /// To be called each time the actor's task is polled, before it looks at the flags.
    pub(crate) fn register(&self, cx: &std::task::Context<'_>) {
        self.task.register(cx.waker());
    }

    pub(crate) fn raise(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
        self.task.wake();
    }

    /// Asks for a stop whose pending messages come through the receiver: `None` if somebody else
    /// gets them, or the actor has ended.
    pub(crate) fn stop(&self) -> Option<oneshot::Receiver<VecDeque<E>>> {
        let mut lane = self.lane();
        if lane.ended.is_some() || lane.pending_to.is_some() {
            return None;
        }
        let (to, pending) = oneshot::channel();
        lane.pending_to = Some(to);
        drop(lane);
        self.raise(STOP);
        Some(pending)
    }

    /// Puts a message ahead of the mailbox. Their number is bounded by that of watched actors.
    pub(crate) fn urgent(&self, message: E) {
        let mut lane = self.lane();
        if lane.ended.is_none() {
            lane.urgent.push_back(message);
            drop(lane);
            self.raise(URGENT);
        }
    }

    pub(crate) fn escalate(&self, failure: Failure) {
        self.lane().escalated = Some(failure);
        self.raise(URGENT);
    }

    /// Forgets what was meant for the actor value that failed.
    pub(crate) fn forget_urgent(&self) {
        let mut lane = self.lane();
        lane.escalated = None;
        let urgent = std::mem::take(&mut lane.urgent);
        self.flags.fetch_and(!URGENT, Ordering::AcqRel);
        drop(lane);
        drop(urgent);
    }

    /// The next thing in the lane; lowers the flag with the last.
    pub(crate) fn next_urgent(&self) -> Option<Urgent<E>> {
        let mut lane = self.lane();
        if let Some(failure) = lane.escalated.take() {
            return Some(Urgent::Escalated(failure));
        }
        let message = lane.urgent.pop_front();
        if lane.urgent.is_empty() {
            self.flags.fetch_and(!URGENT, Ordering::AcqRel);
        }
        message.map(Urgent::Message)
    }

    /// A future's way to learn of the end.
    pub(crate) fn wait(&self) -> oneshot::Receiver<Ended> {
        let (to, ended) = oneshot::channel();
        let mut lane = self.lane();
        if let Some(already) = &lane.ended {
            // The receiver is in our hands: the send cannot fail.
            drop(to.send(already.clone()));
        } else {
            if lane.waiting.len() == lane.waiting.capacity() {
                lane.waiting.retain(|waiting| !waiting.is_closed());
            }
            lane.waiting.push(to);
        }
        drop(lane);
        ended
    }

    /// Tells `watcher` at the end, or now if that was before.
    pub(crate) fn watch(&self, watcher: Watcher) {
        let mut lane = self.lane();
        if let Some(ended) = lane.ended.clone() {
            drop(lane);
            (watcher.tell)(&ended);
            return;
        }
        if lane.watchers.len() == lane.watchers.capacity() {
            lane.watchers
                .retain(|watcher| watcher.alive.strong_count() > 0);
        }
        lane.watchers.push(watcher);
    }

    /// Announces the end and hands `pending` to whoever asked for the stop; returns it if nobody did.
    pub(crate) fn announce(&self, ended: &Ended, pending: VecDeque<E>) -> VecDeque<E> {
        let mut lane = self.lane();
        lane.ended = Some(ended.clone());
        let pending_to = lane.pending_to.take();
        let waiting = std::mem::take(&mut lane.waiting);
        let watchers = std::mem::take(&mut lane.watchers);
        let unseen = std::mem::take(&mut lane.urgent);
        drop(lane);
        drop(unseen);
        let left = match pending_to {
            Some(to) => to.send(pending).err().unwrap_or_default(),
            None => pending,
        };
        for watcher in watchers {
            if watcher.alive.strong_count() > 0 {
                (watcher.tell)(ended);
            }
        }
        for waiting in waiting {
            // Who no longer waits need not know.
            drop(waiting.send(ended.clone()));
        }
        left
    }
}
