//! A client's place in its group: the source on the server, and what came from it and is not settled.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use griot_events::{BrokerError, Incoming, Receipt, Source};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::wire::{Delivered, Outcome, Reply, Revoked, Say};

/// The pause before a source that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Dropped, it gives back all that the client had.
pub(crate) struct Seat {
    source: Box<dyn Source>,
    /// Where a lease has ended, the message is given again while the client still has the first.
    held_max: usize,
    held: HashMap<u64, Held>,
    releasing: HashMap<u64, oneshot::Sender<()>>,
    /// The number of the next delivery or revocation.
    number: u64,
    ask_at: Option<Instant>,
}

/// A receipt, or what is to become of it once its lease has been extended.
enum Held {
    Here(Box<dyn Receipt>),
    Extending(Option<(u64, Settling)>),
}

/// How a message is settled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settling {
    Ack,
    GiveBack,
}

/// What a question about a delivery comes to.
pub(crate) enum Settled {
    /// The broker is asked.
    Asked(BoxFuture<'static, Result<(), BrokerError>>),
    /// The broker is asked for a longer lease, and the receipt comes back.
    Extending(BoxFuture<'static, (Box<dyn Receipt>, Result<(), BrokerError>)>),
    /// It is asked as soon as the lease was extended.
    Later,
    /// There is no such delivery.
    Unknown,
}

impl Seat {
    pub(crate) fn new(source: Box<dyn Source>, in_flight_max: usize) -> Self {
        Self {
            source,
            held_max: in_flight_max.saturating_mul(2),
            held: HashMap::new(),
            releasing: HashMap::new(),
            number: 1,
            ask_at: None,
        }
    }

    /// What the source has next, for ever where there is no seat or no room. It may be dropped at any
    /// time.
    pub(crate) async fn next(seat: &mut Option<Self>) -> Option<Result<Incoming, BrokerError>> {
        let seat = match seat {
            Some(seat) if seat.held.len() < seat.held_max => seat,
            _ => pending().await,
        };
        if let Some(ask_at) = seat.ask_at {
            sleep_until(ask_at).await;
        }
        seat.source.next().await
    }

    /// What the client is told of it.
    pub(crate) fn tell(&mut self, incoming: Result<Incoming, BrokerError>) -> Bytes {
        let number = self.number;
        self.ask_at = None;
        Reply::write(match incoming {
            Ok(Incoming::Delivery(delivery)) => {
                self.number += 1;
                self.held.insert(number, Held::Here(delivery.receipt));
                Say::Delivery(Delivered::new(number, &delivery.event))
            }
            Ok(Incoming::Revoked {
                partitions,
                released,
            }) => {
                self.number += 1;
                self.releasing.insert(number, released);
                Say::Revoked(Revoked::new(number, partitions))
            }
            Err(error) => {
                self.ask_at = Some(Instant::now() + PAUSE);
                Say::Trouble(Outcome::of(Err(error)))
            }
        })
    }

    pub(crate) fn settle(&mut self, number: u64, delivery: u64, how: Settling) -> Settled {
        match self.held.remove(&delivery) {
            Some(Held::Here(receipt)) => Settled::Asked(how.with(receipt)),
            Some(Held::Extending(None)) => {
                let after = Held::Extending(Some((number, how)));
                self.held.insert(delivery, after);
                Settled::Later
            }
            Some(settling) => {
                self.held.insert(delivery, settling);
                Settled::Unknown
            }
            None => Settled::Unknown,
        }
    }

    pub(crate) fn extend(&mut self, delivery: u64) -> Settled {
        match self.held.remove(&delivery) {
            Some(Held::Here(receipt)) => {
                self.held.insert(delivery, Held::Extending(None));
                Settled::Extending(
                    async move {
                        let outcome = receipt.extend().await;
                        (receipt, outcome)
                    }
                    .boxed(),
                )
            }
            Some(extending) => {
                self.held.insert(delivery, extending);
                Settled::Unknown
            }
            None => Settled::Unknown,
        }
    }

    /// The receipt comes back. Where it was to be settled meanwhile, under which number, and how.
    pub(crate) fn extended(
        &mut self,
        delivery: u64,
        receipt: Box<dyn Receipt>,
    ) -> Option<(u64, Settled)> {
        if let Some(Held::Extending(Some((number, how)))) = self.held.remove(&delivery) {
            return Some((number, Settled::Asked(how.with(receipt))));
        }
        self.held.insert(delivery, Held::Here(receipt));
        None
    }

    /// Nothing is under way any more of what was revoked.
    pub(crate) fn released(&mut self, revocation: u64) -> Option<oneshot::Sender<()>> {
        self.releasing.remove(&revocation)
    }

    pub(crate) fn lease(&self) -> Option<Duration> {
        self.source.lease()
    }
}

impl Settling {
    fn with(self, receipt: Box<dyn Receipt>) -> BoxFuture<'static, Result<(), BrokerError>> {
        match self {
            Self::Ack => receipt.ack(),
            Self::GiveBack => receipt.give_back(),
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Seat");
        shown
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}
