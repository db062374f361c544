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
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

#[cfg(loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, MutexGuard};

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

    /// Appends, and returns the receiver's waker if it sleeps, to be woken without the lock.
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

/// The sending half. Clones share the mailbox; when the last one is gone, the mailbox closes.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends, and waits for room first if there is none. Who waits longest goes first.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands the message back once the receiver takes no more.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message was not sent (and is dropped), and the place in the
    /// queue is given up.
    pub async fn send(&self, message: T) -> Result<(), Closed<T>> {
        let mut turn = Turn {
            shared: &self.shared,
            ticket: None,
        };
        let mut message = Some(message);
        let sent = poll_fn(|cx| turn.poll_push(cx, || message.take())).await;
        match (sent, message) {
            (false, Some(message)) => Err(Closed(message)),
            _ => Ok(()),
        }
    }

    /// Sends every message, in order, many for each lock, and waits for room as often as needed.
    ///
    /// # Errors
    ///
    /// [`Closed`]: those that were not sent are still in `messages`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, those that were not sent are still in `messages`.
    pub async fn send_many(&self, messages: &mut VecDeque<T>) -> Result<(), Closed<()>> {
        while !messages.is_empty() {
            if self.push_while_room(messages) > 0 {
                continue;
            }
            let mut turn = Turn {
                shared: &self.shared,
                ticket: None,
            };
            if !poll_fn(|cx| turn.poll_push(cx, || messages.pop_front())).await {
                return Err(Closed(()));
            }
        }
        Ok(())
    }

    /// Sends if there is room now.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] hands the message back.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(TrySendError::Closed(message));
        }
        if !state.has_room(self.shared.capacity) {
            return Err(TrySendError::Full(message));
        }
        let receiver = state.push(message);
        drop(state);
        wake(receiver);
        Ok(())
    }

    /// Sends without regard to the capacity. Only for messages whose number is bounded elsewhere,
    /// such as one per timer or one per watched actor; anything else makes the mailbox unbounded.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands the message back once the receiver takes no more.
    pub fn send_now(&self, message: T) -> Result<(), Closed<T>> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Closed(message));
        }
        let receiver = state.push(message);
        drop(state);
        wake(receiver);
        Ok(())
    }

    /// Ends the intake for all senders, as [`Receiver::close`] does.
    pub fn close(&self) {
        let mut woken = Vec::new();
        self.shared.lock().close(&mut woken);
        wake_all(&mut woken);
    }

    /// How many messages wait in the backlog; those the receiver took in a batch do not count.
    pub fn len(&self) -> usize {
        self.shared.lock().backlog.len()
    }

    /// Whether no message waits in the backlog.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages the backlog holds at most.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Whether every further send fails.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    fn push_while_room(&self, messages: &mut VecDeque<T>) -> usize {
        let mut state = self.shared.lock();
        if state.closed {
            return 0;
        }
        let taken = state.backlog.len() + state.reserved;
        let count = self
            .shared
            .capacity
            .saturating_sub(taken)
            .min(messages.len());
        state.backlog.extend(messages.drain(..count));
        let receiver = if count > 0 {
            state.receiver.take()
        } else {
            None
        };
        drop(state);
        wake(receiver);
        count
    }
}

fn wake(receiver: Option<Waker>) {
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        let mut state = self.shared.lock();
        state.senders -= 1;
        if state.senders == 0 {
            state.close(&mut woken);
        }
        drop(state);
        wake_all(&mut woken);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// One sender's place among those that wait for room.
struct Turn<'a, T> {
    shared: &'a Shared<T>,
    ticket: Option<u64>,
}

impl<T> Turn<'_, T> {
    /// Appends what `take` gives once there is room: `true`; `false` if the mailbox is closed.
    fn poll_push(&mut self, cx: &mut Context<'_>, take: impl FnOnce() -> Option<T>) -> Poll<bool> {
        // Declared before the guard and so dropped after it: dropping a waker may run a task's drop.
        let mut _replaced = None;
        let mut state = self.shared.lock();
        if state.closed {
            self.ticket = None;
            return Poll::Ready(false);
        }
        match self.ticket {
            None if state.has_room(self.shared.capacity) => {
                if out_of_budget(&state, cx) {
                    return Poll::Pending;
                }
            }
            None => {
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting.push_back((ticket, cx.waker().clone()));
                self.ticket = Some(ticket);
                return Poll::Pending;
            }
            Some(ticket) => {
                if let Some(place) = place_of(&state.waiting, ticket) {
                    if let Some((_, waker)) = state.waiting.get_mut(place)
                        && !waker.will_wake(cx.waker())
                    {
                        _replaced = Some(std::mem::replace(waker, cx.waker().clone()));
                    }
                    return Poll::Pending;
                }
                state.reserved -= 1;
                self.ticket = None;
            }
        }
        let receiver = take().and_then(|message| state.push(message));
        drop(state);
        wake(receiver);
        Poll::Ready(true)
    }
}

impl<T> Drop for Turn<'_, T> {
    /// Leaves the queue, or passes a slot that was granted but not used to the next in line.
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut woken = Vec::new();
        let mut _left = None;
        let mut state = self.shared.lock();
        if state.closed {
            return;
        }
        if let Some(place) = place_of(&state.waiting, ticket) {
            _left = state.waiting.remove(place);
        } else {
            state.reserved -= 1;
            state.grant(self.shared.capacity, &mut woken);
        }
        drop(state);
        wake_all(&mut woken);
    }
}

fn place_of(waiting: &VecDeque<(u64, Waker)>, ticket: u64) -> Option<usize> {
    waiting
        .binary_search_by_key(&ticket, |(ticket, _)| *ticket)
        .ok()
}

/// Whether the sending task has run so long that others should. Asked now and then only: a sender
/// whose receiver keeps pace would otherwise never give way.
#[cfg(not(loom))]
fn out_of_budget<T>(state: &State<T>, cx: &mut Context<'_>) -> bool {
    state.pushed % MESSAGES_PER_BUDGET_UNIT == MESSAGES_PER_BUDGET_UNIT - 1
        && poll_budget(cx).is_pending()
}

#[cfg(not(loom))]
fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    tokio::task::coop::poll_proceed(cx).map(|restore| restore.made_progress())
}

#[cfg(loom)]
fn out_of_budget<T>(_: &State<T>, _: &mut Context<'_>) -> bool {
    false
}

#[cfg(loom)]
fn poll_budget(_: &mut Context<'_>) -> Poll<()> {
    Poll::Ready(())
}

/// The receiving half: one consumer. Dropped, it closes the mailbox and drops what is left.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// Senders to wake after the lock is released; kept to reuse its memory.
    woken: Vec<Waker>,
}

impl<T> Receiver<T> {
    /// Waits for messages and appends all there are to `batch`. `false` once the mailbox is closed
    /// and nothing is left.
    ///
    /// Give back the same, emptied buffer each time: it is swapped with the backlog, so neither
    /// side allocates again.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, no message was taken.
    pub async fn receive_batch(&mut self, batch: &mut VecDeque<T>) -> bool {
        poll_fn(|cx| self.poll_receive_batch(cx, batch)).await
    }

    /// [`Receiver::receive_batch`] for hand-written futures.
    pub fn poll_receive_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut VecDeque<T>,
    ) -> Poll<bool> {
        let mut _replaced = None;
        let mut state = self.shared.lock();
        if state.backlog.is_empty() {
            if state.closed {
                return Poll::Ready(false);
            }
            if !state
                .receiver
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                _replaced = state.receiver.replace(cx.waker().clone());
            }
            return Poll::Pending;
        }
        if poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        state.take_batch(batch, self.shared.capacity, &mut self.woken);
        drop(state);
        wake_all(&mut self.woken);
        Poll::Ready(true)
    }

    /// Appends the messages there are now to `batch` and says how many.
    pub fn try_receive_batch(&mut self, batch: &mut VecDeque<T>) -> usize {
        let mut state = self.shared.lock();
        let count = state.backlog.len();
        state.take_batch(batch, self.shared.capacity, &mut self.woken);
        drop(state);
        wake_all(&mut self.woken);
        count
    }

    /// Ends the intake: every later send fails and hands its message back, as does every send that
    /// waits for room. What was sent before stays and can be received.
    pub fn close(&mut self) {
        self.shared.lock().close(&mut self.woken);
        wake_all(&mut self.woken);
    }

    /// How many messages wait in the backlog.
    pub fn len(&self) -> usize {
        self.shared.lock().backlog.len()
    }

    /// Whether no message waits in the backlog.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut rest = VecDeque::new();
        self.close();
        self.try_receive_batch(&mut rest);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
