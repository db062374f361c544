//! How far a journal is, and who waits for more.

use std::time::Duration;

use griot_core::Offset;
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::JournalError;

/// The last offset of a journal that is known here. It only rises, until the journal is closed.
#[derive(Debug)]
pub struct Tip {
    /// `None` once closed.
    known: watch::Sender<Option<Offset>>,
    poll: Duration,
    /// Held by the one that asks for all who wait.
    polling: Mutex<()>,
}

impl Tip {
    /// Nothing is known; while somebody waits, the server is asked every `poll`.
    pub fn new(poll: Duration) -> Self {
        Self {
            known: watch::Sender::new(Some(Offset::ZERO)),
            poll,
            polling: Mutex::default(),
        }
    }

    /// What is known; `None` once the journal is closed.
    pub fn known(&self) -> Option<Offset> {
        *self.known.borrow()
    }

    /// Everything up to here is there.
    pub fn raise(&self, offset: Offset) {
        self.known.send_if_modified(|known| {
            let rises = known.is_some_and(|known| known < offset);
            if rises {
                *known = Some(offset);
            }
            rises
        });
    }

    /// Waits until the tip is beyond `after`. What this process appends raises it at once; for what others append, one
    /// of those who wait has `ask` ask the server, and raise it, again and again. Where that fails it goes on: more may come.
    ///
    /// # Errors
    ///
    /// [`JournalError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn advanced<F: Future<Output = Result<Offset, JournalError>>>(
        &self,
        after: Offset,
        ask: impl FnMut() -> F,
    ) -> Result<Offset, JournalError> {
        let mut known = self.known.subscribe();
        let beyond = |known: &Option<Offset>| known.is_none_or(|known| known > after);
        tokio::select! {
            biased;
            known = known.wait_for(beyond) => {
                known.ok().and_then(|known| *known).ok_or(JournalError::Closed)
            }
            error = self.follow(ask) => Err(error),
        }
    }

    async fn follow<F: Future<Output = Result<Offset, JournalError>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> JournalError {
        let _turn = self.polling.lock().await;
        let mut ticks = interval(self.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_well = true;
        loop {
            ticks.tick().await;
            match ask().await {
                Ok(offset) => {
                    self.raise(offset);
                    was_well = true;
                }
                Err(JournalError::Closed) => return JournalError::Closed,
                Err(error) => {
                    if was_well {
                        tracing::warn!(%error, "cannot follow the journal: trying on");
                    }
                    was_well = false;
                }
            }
        }
    }

    pub(super) fn close(&self) {
        self.known.send_replace(None);
    }

    pub(super) async fn closed(&self) {
        // The sender is our own, so it is not gone.
        let _ = self.known.subscribe().wait_for(Option::is_none).await;
    }
}
