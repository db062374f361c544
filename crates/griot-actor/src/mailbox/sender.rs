//! The sending half of a mailbox, and the line of those that wait for room.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::{Arc, Closed, Shared, TrySendError, poll_budget, wake, wake_all};

/// The sending half. Clones share the mailbox; when the last one is gone, the mailbox closes.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
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
        self.send_as(message, |message| message).await
    }

    /// Sends what `wrap` makes of `message`, made in its place in the backlog: a message that is
    /// wrapped early is copied at each step on its way, which costs more than all the rest.
    pub(crate) async fn send_as<M>(
        &self,
        message: M,
        wrap: impl Fn(M) -> T,
    ) -> Result<(), Closed<M>> {
        match self.push_if_easy(message, &wrap) {
            Ok(()) => Ok(()),
            Err(message) => self.send_in_turn(message, wrap).await,
        }
    }

    #[inline]
    fn push_if_easy<M>(&self, message: M, wrap: &impl Fn(M) -> T) -> Result<(), M> {
        let mut state = self.shared.lock();
        if state.closed || !state.has_room(self.shared.capacity) || state.is_budget_due() {
            return Err(message);
        }
        let receiver = state.push(wrap(message));
        drop(state);
        wake(receiver);
        Ok(())
    }

    async fn send_in_turn<M>(&self, message: M, wrap: impl Fn(M) -> T) -> Result<(), Closed<M>> {
        let mut turn = Turn {
            shared: &self.shared,
            ticket: None,
        };
        let mut message = Some(message);
        let sent = poll_fn(|cx| turn.poll_push(cx, || message.take().map(&wrap))).await;
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
        self.try_send_as(message, |message| message)
    }

    /// [`Sender::try_send`] of what `wrap` makes of `message`; see [`Sender::send_as`].
    #[inline]
    pub(crate) fn try_send_as<M>(
        &self,
        message: M,
        wrap: impl Fn(M) -> T,
    ) -> Result<(), TrySendError<M>> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(TrySendError::Closed(message));
        }
        if !state.has_room(self.shared.capacity) {
            return Err(TrySendError::Full(message));
        }
        let receiver = state.push(wrap(message));
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

    /// Ends the intake for all senders, as [`Receiver::close`](super::Receiver::close) does.
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
                if state.is_budget_due() && poll_budget(cx).is_pending() {
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
