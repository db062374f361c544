//! A member of a group, and the receipts of what it is given.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subject;
use bytes::Bytes;
use griot_events::{BoxFuture, BrokerError, Delivery, Incoming, Order, Receipt, Source};
use tokio::sync::watch;

use crate::feed::{DONE, IN_PROGRESS, NOT_DONE, Reader, Share};
use crate::options::Acks;

/// Reads what the feeds of a subscription hold, in turn.
pub(crate) struct NatsSource {
    feeds: Vec<Arc<Share>>,
    reader: Arc<Reader>,
    /// The feed to look at first.
    turn: usize,
    /// Dropped with this, which the feeds notice.
    _reading: watch::Sender<()>,
    closing: watch::Receiver<bool>,
}

impl NatsSource {
    pub(crate) fn new(
        feeds: Vec<Arc<Share>>,
        reader: Arc<Reader>,
        reading: watch::Sender<()>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            feeds,
            reader,
            turn: 0,
            _reading: reading,
            closing,
        }
    }

    fn take(&mut self) -> Option<Delivery> {
        for _ in 0..self.feeds.len() {
            self.turn = (self.turn + 1) % self.feeds.len();
            let share = self.feeds.get(self.turn)?;
            let taken = share.ledger().take();
            if let Some((seq, event, reply)) = taken {
                let receipt = NatsReceipt {
                    share: Arc::clone(share),
                    seq,
                    reply,
                    is_open: true,
                };
                let receipt = Box::new(receipt);
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
            let reader = Arc::clone(&self.reader);
            tokio::select! {
                () = reader.notify.notified() => {}
                closed = self.closing.changed() => if closed.is_err() {
                    return None;
                },
            }
        }
    }
}

impl Source for NatsSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.read())
    }

    fn at_hand(&mut self) -> Option<Incoming> {
        if *self.closing.borrow() {
            return None;
        }
        self.take().map(Incoming::Delivery)
    }

    /// With order per key the adapter keeps the leases itself: a message that ran out while its member
    /// lives would come back behind later ones of its key.
    fn lease(&self) -> Option<Duration> {
        let first = self.feeds.first()?;
        (first.order == Order::None).then_some(first.link.options.lease)
    }
}

/// Settles one message.
struct NatsReceipt {
    share: Arc<Share>,
    seq: u64,
    reply: Subject,
    is_open: bool,
}

impl NatsReceipt {
    async fn done(mut self: Box<Self>) -> Result<(), BrokerError> {
        if self.share.has_left() {
            self.is_open = false;
            return Err(BrokerError::Refused {
                what: "the acknowledgement",
                reason: "the member left its group, which gave the message to another: finish what is under way before the source is dropped".to_owned(),
            });
        }
        match self.share.link.options.acks {
            Acks::Sent => self.say(DONE).await?,
            Acks::Confirmed => {
                let client = &self.share.link.client;
                let confirmed = client.request(self.reply.clone(), DONE).await;
                confirmed.map_err(|error| BrokerError::Unknown(Arc::new(error)))?;
            }
        }
        self.is_open = false;
        self.share.ledger().settle(self.seq);
        self.share.made_room();
        Ok(())
    }

    async fn returned(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.is_open = false;
        if self.share.has_left() || self.stays() {
            return Ok(());
        }
        self.share.ledger().remove(self.seq);
        self.share.made_room();
        self.say(NOT_DONE).await
    }

    async fn extended(&self) -> Result<(), BrokerError> {
        if self.share.order == Order::None {
            self.say(IN_PROGRESS).await?;
            self.share.ledger().extend(self.seq, Instant::now());
        }
        Ok(())
    }

    /// Gives it back to the ledger, where that hands it out again.
    fn stays(&self) -> bool {
        let stays = self.share.keeps_order() && self.share.ledger().give_back(self.seq);
        if stays {
            self.share.reader.notify.notify_one();
        }
        stays
    }

    async fn say(&self, what: Bytes) -> Result<(), BrokerError> {
        let said = self
            .share
            .link
            .client
            .publish(self.reply.clone(), what)
            .await;
        said.map_err(|error| BrokerError::Unreachable(Arc::new(error)))
    }
}

impl Receipt for NatsReceipt {
    fn ack(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(self.done())
    }

    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(self.returned())
    }

    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.extended())
    }
}

impl Drop for NatsReceipt {
    fn drop(&mut self) {
        if !self.is_open || self.share.has_left() || self.stays() {
            return;
        }
        self.share.ledger().remove(self.seq);
        self.share.made_room();
    }
}

impl fmt::Debug for NatsReceipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("NatsReceipt");
        shown.field("seq", &self.seq).finish_non_exhaustive()
    }
}
