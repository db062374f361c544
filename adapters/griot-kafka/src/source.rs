//! A member of a group as its reader sees it, and the receipts of what it is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use griot_events::{BoxFuture, BrokerError, Delivery, Incoming, Receipt, Source};
use tokio::sync::watch;

use crate::ledger::{Share, SliceId};

/// Reads what a member holds.
pub(crate) struct KafkaSource {
    share: Arc<Share>,
    /// Dropped with this, which the member's task notices.
    _reading: watch::Sender<()>,
    closing: watch::Receiver<bool>,
}

impl KafkaSource {
    pub(crate) fn new(
        share: Arc<Share>,
        reading: watch::Sender<()>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            share,
            _reading: reading,
            closing,
        }
    }
}

fn take(share: &Arc<Share>) -> Option<Incoming> {
    let mut ledger = share.ledger();
    if let Some(revoked) = ledger.take_revoked() {
        return Some(revoked);
    }
    let (slice, offset, event) = ledger.take()?;
    let receipt = Box::new(KafkaReceipt {
        share: Arc::clone(share),
        slice,
        offset,
        is_open: true,
    });
    Some(Incoming::Delivery(Delivery { event, receipt }))
}

impl Source for KafkaSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        let share = &self.share;
        Box::pin(share.bell.next(&mut self.closing, || take(share)))
    }

    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        let share = &self.share;
        let change = || share.ledger().take_revoked();
        Box::pin(share.bell.next(&mut self.closing, change))
    }

    fn at_hand(&mut self) -> Option<Incoming> {
        let is_over = *self.closing.borrow() || self.share.bell.is_over();
        if is_over { None } else { take(&self.share) }
    }

    /// Kafka gives a partition to a member for as long as that lives.
    fn lease(&self) -> Option<Duration> {
        None
    }
}

/// Settles one message.
struct KafkaReceipt {
    share: Arc<Share>,
    slice: SliceId,
    offset: i64,
    is_open: bool,
}

impl KafkaReceipt {
    fn done(&mut self) -> Result<(), BrokerError> {
        self.is_open = false;
        let is_ours =
            !self.share.bell.is_over() && self.share.ledger().settle(self.slice, self.offset);
        if !is_ours {
            return Err(BrokerError::Refused {
                what: "the acknowledgement",
                reason: "its partition went to another member, which is given the message again: a handler has until then to finish, raise ?release_seconds=… if it needs longer".to_owned(),
            });
        }
        self.share.settled.notify_one();
        // One that was given back may have waited for this one.
        self.share.bell.ring();
        Ok(())
    }

    fn returned(&mut self) {
        self.is_open = false;
        self.share.ledger().give_back(self.slice, self.offset);
        self.share.settled.notify_one();
        self.share.bell.ring();
    }
}

impl Receipt for KafkaReceipt {
    fn ack(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move { self.done() })
    }

    fn give_back(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            self.returned();
            Ok(())
        })
    }

    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for KafkaReceipt {
    fn drop(&mut self) {
        if self.is_open {
            self.returned();
        }
    }
}

impl fmt::Debug for KafkaReceipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("KafkaReceipt");
        shown.field("offset", &self.offset).finish_non_exhaustive()
    }
}
