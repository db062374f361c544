//! What wakes the one who reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::{BrokerError, Incoming};

/// Rung by those who have something for the reader of a [`Source`](crate::Source); keeps what went wrong
/// last until that is read.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Notify,
    error: Mutex<Option<BrokerError>>,
    is_over: AtomicBool,
}

impl Bell {
    /// There may be something to read.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// Something is wrong.
    pub fn report(&self, error: BrokerError) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.ring();
    }

    /// Nothing comes any more.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether nothing comes any more.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// What [`Source::next`](crate::Source::next) gives, or `next_change`: the next error, or else what
    /// `take` finds. `None` at the end, or when the broker closes.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn next(
        &self,
        closing: &mut watch::Receiver<bool>,
        mut take: impl FnMut() -> Option<Incoming>,
    ) -> Option<Result<Incoming, BrokerError>> {
        loop {
            if *closing.borrow() || self.is_over() {
                return None;
            }
            let error = self
                .error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(error) = error {
                return Some(Err(error));
            }
            if let Some(incoming) = take() {
                return Some(Ok(incoming));
            }
            tokio::select! {
                () = self.rung.notified() => {}
                closed = closing.changed() => if closed.is_err() {
                    return None;
                },
            }
        }
    }
}
