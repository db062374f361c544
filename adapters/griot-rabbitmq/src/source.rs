//! A member of a group, and the receipts of what it is given.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use griot_events::{BoxFuture, BrokerError, Delivery, Incoming, Receipt, Source};
use tokio::sync::watch;

use crate::feed::{Reader, Share};

/// The feeds of a subscription; a pattern that begins with a wildcard gets more of them as it goes.
pub(crate) type Shares = Arc<Mutex<Vec<Arc<Share>>>>;

/// Reads what the feeds of a subscription hold, in turn.
pub(crate) struct RabbitSource {
    shares: Shares,
    reader: Arc<Reader>,
    /// The feed to look at first.
    turn: usize,
    /// Dropped with this, which the feeds notice.
    _reading: watch::Sender<()>,
    closing: watch::Receiver<bool>,
}

impl RabbitSource {
    pub(crate) fn new(
        shares: Shares,
        reader: Arc<Reader>,
        reading: watch::Sender<()>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shares,
            reader,
            turn: 0,
            _reading: reading,
            closing,
        }
    }

    fn take(&mut self) -> Option<Delivery> {
        let shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..shares.len() {
            self.turn = (self.turn + 1) % shares.len();
            let share = shares.get(self.turn)?;
            if let Some((offset, event)) = share.take() {
                let receipt = Box::new(RabbitReceipt {
                    share: Arc::clone(share),
                    offset,
                    is_open: true,
                });
                return Some(Delivery { event, receipt });
            }
        }
        None
    }

    async fn read(&mut self) -> Option<Result<Incoming, BrokerError>> {
        loop {
            if *self.closing.borrow() {
                return None;
            }
            if let Some(error) = self.reader.take_error() {
                return Some(Err(error));
            }
            if let Some(delivery) = self.take() {
                return Some(Ok(Incoming::Delivery(delivery)));
            }
            tokio::select! {
                () = self.reader.notify.notified() => {}
                closed = self.closing.changed() => if closed.is_err() {
                    return None;
                },
            }
        }
    }
}

impl Source for RabbitSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.read())
    }

    fn at_hand(&mut self) -> Option<Incoming> {
        if *self.closing.borrow() {
            return None;
        }
        self.take().map(Incoming::Delivery)
    }

    /// The server gives out places, not messages: however long a handler takes, nothing runs out.
    fn lease(&self) -> Option<Duration> {
        None
    }
}

/// Settles one message.
struct RabbitReceipt {
    share: Arc<Share>,
    offset: u64,
    is_open: bool,
}

impl RabbitReceipt {
    async fn done(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.is_open = false;
        self.share.settle(self.offset).await
    }
}

impl Receipt for RabbitReceipt {
    fn ack(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(self.done())
    }

    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        drop(self);
        Box::pin(std::future::ready(Ok(())))
    }

    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for RabbitReceipt {
    fn drop(&mut self) {
        if self.is_open {
            self.share.give_back(self.offset);
        }
    }
}

impl fmt::Debug for RabbitReceipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("RabbitReceipt");
        shown.field("offset", &self.offset).finish_non_exhaustive()
    }
}
