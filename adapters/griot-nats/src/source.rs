//! A member of a group, and the receipts of what it is given.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subject;
use bytes::Bytes;
use griot_events::adapter::Bell;
use griot_events::{BoxFuture, BrokerError, Delivery, Incoming, Order, Receipt, Source};
use tokio::sync::watch;

use crate::feed::{DONE, IN_PROGRESS, NOT_DONE, Share};
use crate::options::Acks;

/// Reads what the feeds of a subscription hold.
pub(crate) struct NatsSource {
    feeds: Feeds,
    bell: Arc<Bell>,
    /// Dropped with this, which the feeds notice.
    _reading: watch::Sender<()>,
    closing: watch::Receiver<bool>,
}

/// The feeds of a subscription, in turn.
struct Feeds {
    all: Vec<Arc<Share>>,
    /// The one to look at first.
    turn: usize,
}

impl Feeds {
    fn take(&mut self) -> Option<Incoming> {
        for _ in 0..self.all.len() {
            self.turn = (self.turn + 1) % self.all.len();
            let share = self.all.get(self.turn)?;
            let taken = share.ledger().take();
            if let Some((seq, event, reply)) = taken {
                let receipt = Box::new(NatsReceipt {
                    share: Arc::clone(share),
                    seq,
                    reply,
                    is_open: true,
                });
                return Some(Incoming::Delivery(Delivery { event, receipt }));
            }
        }
        None
    }
}

impl NatsSource {
    pub(crate) fn new(
        feeds: Vec<Arc<Share>>,
        bell: Arc<Bell>,
        reading: watch::Sender<()>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            feeds: Feeds {
                all: feeds,
                turn: 0,
            },
            bell,
            _reading: reading,
            closing,
        }
    }
}

impl Source for NatsSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.bell.next(&mut self.closing, || self.feeds.take()))
    }

    /// JetStream takes no message from a member that lives.
    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.bell.next(&mut self.closing, || None))
    }

    fn at_hand(&mut self) -> Option<Incoming> {
        if *self.closing.borrow() {
            return None;
        }
        self.feeds.take()
    }

    /// With order per key the adapter keeps the leases itself: a message that ran out while its member
    /// lives would come back behind later ones of its key.
    fn lease(&self) -> Option<Duration> {
        let first = self.feeds.all.first()?;
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
            self.share.bell.ring();
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
