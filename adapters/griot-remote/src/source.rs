//! A member of a group, and the receipts of what it is given.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use griot_events::embedded::REVOCATION_MAX;
use griot_events::{BoxFuture, BrokerError, Incoming, Partition, Receipt, Source};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::inbox::{Given, Inbox, Next, Wants};
use crate::link::{Asker, Link};
use crate::wire::Ask;

/// What to call this in errors.
const WHAT: &str = "the receipt";

/// Reads what a subscription is given. Dropped, its connection ends, and the server gives what was not
/// settled to others.
#[derive(Debug)]
pub(crate) struct RemoteSource {
    inbox: Arc<Inbox>,
    /// Where the messages came from that were taken since the connection was made.
    touched: BTreeSet<(String, Partition)>,
    /// What came over a lost connection is let go of before more is given, or until then.
    releasing: Option<(oneshot::Receiver<()>, Instant)>,
    closing: watch::Receiver<bool>,
    _link: Link,
}

impl RemoteSource {
    pub(crate) fn new(link: Link, inbox: Arc<Inbox>, closing: watch::Receiver<bool>) -> Self {
        Self {
            inbox,
            touched: BTreeSet::new(),
            releasing: None,
            closing,
            _link: link,
        }
    }

    async fn read(&mut self, wants: Wants) -> Option<Result<Incoming, BrokerError>> {
        loop {
            // The broker was dropped where the sender is gone; the source goes on.
            if *self.closing.borrow() {
                return None;
            }
            let inbox = Arc::clone(&self.inbox);
            let releasing = &mut self.releasing;
            let next = async {
                if let Some((released, by)) = releasing {
                    tokio::select! {
                        // Dropped unsent, it says the same.
                        _ = released => {}
                        () = sleep_until(*by) => {}
                    }
                    *releasing = None;
                }
                inbox.next(wants).await
            };
            let next = tokio::select! {
                next = next => next,
                Ok(_) = self.closing.wait_for(|closing| *closing) => return None,
            };
            match next {
                Next::Given(Given::Message(delivery)) => {
                    let event = &delivery.event;
                    let place = (event.topic().to_owned(), event.position().0);
                    self.touched.insert(place);
                    return Some(Ok(Incoming::Delivery(delivery)));
                }
                Next::Given(Given::Revoked(partitions, number, asker)) => {
                    return Some(Ok(self.revoke(partitions, number, asker)));
                }
                Next::Trouble(error) => return Some(Err(error)),
                // Others may have them by now.
                Next::Lost if self.touched.is_empty() => {}
                Next::Lost => return Some(Ok(self.let_go())),
            }
        }
    }

    /// Passes on that partitions go to another member, and back that they were let go of.
    fn revoke(
        &mut self,
        partitions: Vec<(String, Partition)>,
        number: u64,
        asker: Asker,
    ) -> Incoming {
        for partition in &partitions {
            self.touched.remove(partition);
        }
        let (released, heard) = oneshot::channel();
        tokio::spawn(async move {
            // Dropped unsent, it says the same.
            let _ = heard.await;
            asker.tell(Ask::Released(number));
        });
        Incoming::Revoked {
            partitions,
            released,
        }
    }

    fn let_go(&mut self) -> Incoming {
        let (released, heard) = oneshot::channel();
        self.releasing = Some((heard, Instant::now() + REVOCATION_MAX));
        let partitions = std::mem::take(&mut self.touched).into_iter().collect();
        Incoming::Revoked {
            partitions,
            released,
        }
    }
}

impl Source for RemoteSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.read(Wants::Everything))
    }

    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.read(Wants::Changes))
    }

    fn lease(&self) -> Option<Duration> {
        self.inbox.lease()
    }
}

/// Settles one message, over the connection that it came by.
pub(crate) struct RemoteReceipt {
    asker: Asker,
    delivery: u64,
    is_open: bool,
}

impl RemoteReceipt {
    pub(crate) fn new(asker: Asker, delivery: u64) -> Self {
        Self {
            asker,
            delivery,
            is_open: true,
        }
    }

    async fn settle(mut self: Box<Self>, ask: Ask) -> Result<(), BrokerError> {
        self.is_open = false;
        self.ask(ask).await
    }

    async fn ask(&self, ask: Ask) -> Result<(), BrokerError> {
        if self.asker.is_over() {
            return Err(BrokerError::Refused {
                what: WHAT,
                reason: "the connection that its message came by is gone, and it is given again: finish what is under way before the source is dropped".to_owned(),
            });
        }
        let outcomes = self.asker.ask(ask).await?;
        let outcome = outcomes.into_iter().next().unwrap_or_default();
        outcome.into_result(WHAT)
    }
}

impl Receipt for RemoteReceipt {
    fn ack(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        let ask = Ask::Ack(self.delivery);
        Box::pin(self.settle(ask))
    }

    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        let ask = Ask::GiveBack(self.delivery);
        Box::pin(self.settle(ask))
    }

    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.ask(Ask::Extend(self.delivery)))
    }
}

impl Drop for RemoteReceipt {
    fn drop(&mut self) {
        if self.is_open {
            self.asker.tell(Ask::GiveBack(self.delivery));
        }
    }
}

impl fmt::Debug for RemoteReceipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("RemoteReceipt");
        shown
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}
