//! A bounded queue from many senders to one receiver, which takes everything waiting at once.
//!
//! Senders append to a backlog under a short lock. The receiver swaps the whole backlog for an
//! empty buffer and works through it without a lock, so a thousand messages cost it one lock and
//! one wake-up. What is promised:
//!
//! * **order**: messages of one sender arrive in the order in which they were sent;
//! * **nothing lost**: a message whose send succeeded is received, also after [`Receiver::close`];
//!   a send that fails hands its message back;
//! * **fair**: senders that wait for room get it in the order in which they came, one slot each, and
//!   only as many are woken as there are slots;
//! * **bounded**: at most `capacity` messages are in the backlog. A batch that the receiver has
//!   taken no longer counts, so that senders refill while it works: at most `2 * capacity` messages
//!   are in memory, besides those sent with [`Sender::send_now`].
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::collections::VecDeque;
//!
//! let (sender, mut receiver) = griot_actor::mailbox::mailbox(2);
//! sender.send("one").await.unwrap();
//! sender.try_send("two").unwrap();
//! assert!(sender.try_send("three").unwrap_err().is_full());
//!
//! let mut batch = VecDeque::new();
//! assert!(receiver.receive_batch(&mut batch).await);
//! assert_eq!(batch, ["one", "two"]);
//! # });
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, Waker};

#[cfg(loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, MutexGuard};

pub use self::receiver::Receiver;
pub use self::sender::Sender;

mod receiver;
mod sender;

/// One in this many messages checks whether its task should let others run.
#[cfg(not(loom))]
const MESSAGES_PER_BUDGET_UNIT: u64 = 32;

/// Makes a mailbox that holds at most `capacity` messages beside the batch being worked through.
///
/// # Panics
///
/// If `capacity` is 0: nothing could ever be sent.
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity >= 1, "a mailbox needs a capacity of at least 1");
    let shared = Arc::new(Shared {
        capacity,
        state: Mutex::new(State {
            backlog: VecDeque::new(),
            reserved: 0,
            waiting: VecDeque::new(),
            next_ticket: 0,
            pushed: 0,
            receiver: None,
            senders: 1,
            closed: false,
        }),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    let receiver = Receiver {
        shared,
        woken: Vec::new(),
    };
    (sender, receiver)
}

/// The mailbox is closed; here is the message back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed; send the message elsewhere")]
pub struct Closed<T>(
    /// The message that was not sent.
    pub T,
);

/// Why [`Sender::try_send`] did not send, with the message back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError<T> {
    /// There is no room now; wait with [`Sender::send`] or shed load.
    #[error("the mailbox is full; wait for room or shed load")]
    Full(T),
    /// The receiver takes no more messages, ever.
    #[error("the mailbox is closed; send the message elsewhere")]
    Closed(T),
}

impl<T> TrySendError<T> {
    /// The message that was not sent.
    pub fn into_message(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }

    /// Whether trying again later can succeed.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

// Messages need not be `Debug` for a result to be unwrapped.

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() {
            "Full(..)"
        } else {
            "Closed(..)"
        })
    }
}

struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    backlog: VecDeque<T>,
    /// Slots granted to senders that were woken but have not run yet.
    reserved: usize,
    /// Senders that wait for a slot, by ascending ticket. Non-empty only while there is no room.
    waiting: VecDeque<(u64, Waker)>,
    next_ticket: u64,
    /// How many messages were ever appended, to pace `out_of_budget`.
    pushed: u64,
    /// Present while the receiver sleeps. Whoever takes it wakes it: once a batch.
    receiver: Option<Waker>,
    senders: usize,
    closed: bool,
}

impl<T> Shared<T> {
    /// A panic cannot leave the state half changed: no code of the user runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn has_room(&self, capacity: usize) -> bool {
        self.backlog.len() + self.reserved < capacity
    }

    /// Whether the sender is to ask for its task's budget first. Not for each message: it costs as
    /// much as sending one.
    #[cfg(not(loom))]
    const fn is_budget_due(&self) -> bool {
        self.pushed % MESSAGES_PER_BUDGET_UNIT == MESSAGES_PER_BUDGET_UNIT - 1
    }

    #[cfg(loom)]
    const fn is_budget_due(&self) -> bool {
        false
    }

    /// Appends, and returns the receiver's waker if it sleeps, to be woken without the lock.
    #[inline]
    fn push(&mut self, message: T) -> Option<Waker> {
        self.backlog.push_back(message);
        self.pushed = self.pushed.wrapping_add(1);
        self.receiver.take()
    }

    /// Gives free slots to those who wait longest.
    fn grant(&mut self, capacity: usize, woken: &mut Vec<Waker>) {
        while self.has_room(capacity) {
            let Some((_, waker)) = self.waiting.pop_front() else {
                return;
            };
            self.reserved += 1;
            woken.push(waker);
        }
    }

    /// Ends the intake. Who waits for room will find it closed.
    fn close(&mut self, woken: &mut Vec<Waker>) {
        self.closed = true;
        self.reserved = 0;
        woken.extend(self.waiting.drain(..).map(|(_, waker)| waker));
        woken.extend(self.receiver.take());
    }
}

fn wake_all(woken: &mut Vec<Waker>) {
    woken.drain(..).for_each(Waker::wake);
}

fn wake(receiver: Option<Waker>) {
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

impl<T> State<T> {
    fn take_batch(&mut self, batch: &mut VecDeque<T>, capacity: usize, woken: &mut Vec<Waker>) {
        if batch.is_empty() {
            std::mem::swap(&mut self.backlog, batch);
        } else {
            batch.append(&mut self.backlog);
        }
        self.grant(capacity, woken);
    }
}

/// Whether the task has run so long that others should: one whose peer keeps pace would otherwise
/// never give way.
#[cfg(not(loom))]
fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    tokio::task::coop::poll_proceed(cx).map(|restore| restore.made_progress())
}

#[cfg(loom)]
fn poll_budget(_: &mut Context<'_>) -> Poll<()> {
    Poll::Ready(())
}
