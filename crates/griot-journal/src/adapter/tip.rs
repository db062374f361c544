//! How far a journal is, and who waits for more.

use std::time::Duration;

use griot_core::Offset;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use crate::JournalError;

/// By how much sooner the server is asked again once something came.
const SOONER: u32 = 16;

/// The last offset of a journal that is known here. It only rises, until the journal is closed.
#[derive(Debug)]
pub struct Tip {
    /// `None` once closed.
    known: watch::Sender<Option<Offset>>,
    poll: Duration,
    /// How long until the server is asked again. Held by the one that asks for all who wait.
    pause: Mutex<Duration>,
}

impl Tip {
    /// Nothing is known. While somebody waits, the server is asked every `poll`; a sixteenth of that after something
    /// came, and from there ever less often: where there was an append, there is mostly another.
    pub fn new(poll: Duration) -> Self {
        Self {
            known: watch::Sender::new(Some(Offset::ZERO)),
            poll,
            pause: Mutex::new(poll),
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
        let mut pause = self.pause.lock().await;
        let mut was_well = true;
        loop {
            let before = self.known();
            match ask().await {
                Ok(offset) => {
                    *pause = if before.is_some_and(|before| before < offset) {
                        self.poll / SOONER
                    } else {
                        pause.saturating_mul(2).min(self.poll)
                    };
                    self.raise(offset);
                    was_well = true;
                }
                Err(JournalError::Closed) => return JournalError::Closed,
                Err(error) => {
                    if was_well {
                        tracing::warn!(%error, "cannot follow the journal: trying on");
                    }
                    was_well = false;
                    *pause = self.poll;
                }
            }
            sleep(*pause).await;
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_server_is_asked_soon_after_something_came_and_ever_less_often_while_nothing_does()
    {
        let tip = Tip::new(Duration::from_millis(32));
        let (last, asked) = (Cell::new(0), RefCell::new(Vec::new()));
        let ask = || {
            asked.borrow_mut().push(Instant::now());
            let offset = Offset(last.get());
            // As the adapters' questions do.
            tip.raise(offset);
            std::future::ready(Ok(offset))
        };
        let gaps = || {
            let asked = asked.take();
            let gaps = asked.iter().zip(asked.iter().skip(1));
            gaps.map(|(one, next)| (*next - *one).as_millis())
                .collect::<Vec<_>>()
        };
        let waiting = |after| timeout(Duration::from_millis(110), tip.advanced(Offset(after), ask));
        assert!(waiting(0).await.is_err());
        assert_eq!(gaps(), [32, 32, 32]);
        last.set(5);
        assert!(matches!(waiting(0).await, Ok(Ok(Offset(5)))));
        assert_eq!(gaps(), []);
        assert!(waiting(5).await.is_err());
        assert_eq!(gaps(), [4, 8, 16, 32, 32]);
    }
}
