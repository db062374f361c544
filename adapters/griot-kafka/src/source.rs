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

/// What a reader is waiting for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Everything,
    Changes,
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

    fn take(&mut self, wants: Wants) -> Option<Incoming> {
        let mut ledger = self.share.ledger();
        if let Some(revoked) = ledger.take_revoked() {
            return Some(revoked);
        }
        if wants == Wants::Changes {
            return None;
        }
        let (slice, offset, event) = ledger.take()?;
        let receipt = Box::new(KafkaReceipt {
            share: Arc::clone(&self.share),
            slice,
            offset,
            is_open: true,
        });
        Some(Incoming::Delivery(Delivery { event, receipt }))
    }

    async fn read(&mut self, wants: Wants) -> Option<Result<Incoming, BrokerError>> {
        loop {
            if *self.closing.borrow() || self.share.has_left() {
                return None;
            }
            if let Some(error) = self.share.take_error() {
                return Some(Err(error));
            }
            if let Some(incoming) = self.take(wants) {
                return Some(Ok(incoming));
            }
            tokio::select! {
                () = self.share.readable.notified() => {}
                closed = self.closing.changed() => if closed.is_err() {
                    return None;
                },
            }
        }
    }
}

impl Source for KafkaSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.read(Wants::Everything))
    }

    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.read(Wants::Changes))
    }

    fn at_hand(&mut self) -> Option<Incoming> {
        let is_over = *self.closing.borrow() || self.share.has_left();
        if is_over {
            return None;
        }
        self.take(Wants::Everything)
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
        let is_ours = !self.share.has_left() && self.share.ledger().settle(self.slice, self.offset);
        if !is_ours {
            return Err(BrokerError::Refused {
                what: "the acknowledgement",
                reason: "its partition went to another member, which is given the message again: a handler has until then to finish, raise ?release_seconds=… if it needs longer".to_owned(),
            });
        }
        self.share.settled.notify_one();
        // One that was given back may have waited for this one.
        self.share.readable.notify_one();
        Ok(())
    }

    fn returned(&mut self) {
        self.is_open = false;
        self.share.ledger().give_back(self.slice, self.offset);
        self.share.settled.notify_one();
        self.share.readable.notify_one();
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
