//! A member of a group, and the receipts of what it is given.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use griot_events::{BoxFuture, BrokerError, Delivery, Incoming, Receipt, Source};
use tokio::sync::watch;

use crate::feed::{Reader, Share};

/// The feeds of a subscription; a pattern that begins with a wildcard gets more of them as it goes.
pub(crate) type Shares = Arc<Mutex<Vec<Arc<Share>>>>;

/// Reads what the feeds of a subscription hold.
pub(crate) struct RabbitSource {
    feeds: Feeds,
    reader: Arc<Reader>,
    /// Dropped with this, which the feeds notice.
    _reading: watch::Sender<()>,
    closing: watch::Receiver<bool>,
}

/// The feeds of a subscription, in turn.
struct Feeds {
    all: Shares,
    /// The one to look at first.
    turn: usize,
}

impl Feeds {
    fn take(&mut self) -> Option<Incoming> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..all.len() {
            self.turn = (self.turn + 1) % all.len();
            let share = all.get(self.turn)?;
            if let Some((offset, event)) = share.take() {
                let receipt = Box::new(RabbitReceipt {
                    share: Arc::clone(share),
                    offset,
                    is_open: true,
                });
                return Some(Incoming::Delivery(Delivery { event, receipt }));
            }
        }
        None
    }
}

impl RabbitSource {
    pub(crate) fn new(
        shares: Shares,
        reader: Arc<Reader>,
        reading: watch::Sender<()>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            feeds: Feeds {
                all: shares,
                turn: 0,
            },
            reader,
            _reading: reading,
            closing,
        }
    }
}

impl Source for RabbitSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        let bell = &self.reader.bell;
        Box::pin(bell.next(&mut self.closing, || self.feeds.take()))
    }

    /// RabbitMQ takes no place from a member that lives.
    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.reader.bell.next(&mut self.closing, || None))
    }

    fn at_hand(&mut self) -> Option<Incoming> {
        if *self.closing.borrow() {
            return None;
        }
        self.feeds.take()
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
