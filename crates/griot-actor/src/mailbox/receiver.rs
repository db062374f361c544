//! The receiving half of a mailbox.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::{Arc, Shared, poll_budget, wake_all};

/// The receiving half: one consumer. Dropped, it closes the mailbox and drops what is left.
pub struct Receiver<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// Senders to wake after the lock is released; kept to reuse its memory.
    pub(super) woken: Vec<Waker>,
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
