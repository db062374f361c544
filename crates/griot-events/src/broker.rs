//! The contract of a broker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use griot_core::Publication;
use tokio::sync::oneshot;

use crate::{BrokerError, Event};

/// A future that a broker returns. Boxed, so that `Arc<dyn Broker>` can be chosen by a URL at start.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where messages come from and go to.
///
/// Every implementation passes the Broker suite of `griot-testkit`.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Publishes messages, in order, and says of each whether the broker has it durably. Messages of
    /// one key that are given in order arrive in that order; where one fails, later ones of its key
    /// fail too, rather than overtake it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, any of them may or may not be published.
    fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> BoxFuture<'_, Vec<Result<(), BrokerError>>>;

    /// Joins a group of subscribers. A group that is new begins with the oldest message that is kept;
    /// one that is known goes on behind the last message that it acknowledged.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unreachable`] while it cannot be reached, and [`BrokerError::Refused`] where
    /// trying again does not help.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the group may have been made; nothing is lost by that.
    fn subscribe(
        &self,
        subscription: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn Source>, BrokerError>>;

    /// Whether it can be reached: for readiness.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unreachable`], with the reason.
    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Finishes what is being published, then closes: every later call fails with
    /// [`BrokerError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Topics by name. A `*` stands for one word between dots, `>` at the end for all that follow,
    /// where the broker has such patterns.
    pub topics: Vec<String>,
    /// Each message goes to one member of a group; every group gets all messages.
    pub group: String,
    /// Messages that may be out and not acknowledged, at most.
    pub in_flight_max: usize,
    /// Which order is kept.
    pub order: Order,
}

/// Which order a group's members see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Messages of one key in the order in which they were published, also where one is given again:
    /// a broker that cannot give a key to one member at a time gives the topic to one.
    #[default]
    PerKey,
    /// None: any member may get any message.
    None,
}

/// A slice of a topic that keeps its own order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

/// A member of a group: where its messages come from. Dropped, it leaves the group, and what it has
/// not acknowledged is given to others.
pub trait Source: Send {
    /// The next message or change. `None` once the broker is closed. It reconnects by itself; an
    /// error says that something is wrong which it goes on trying to mend.
    ///
    /// # Cancel safety
    ///
    /// Dropped, no message is lost: call it again.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>>;

    /// The next change, and never a message: what a member waits for that takes none in, since it has all
    /// it may have, or is paused. Otherwise as [`next`](Self::next). By default it waits for ever, which is
    /// right only for a broker that takes nothing from a member that lives, and that nobody closes.
    ///
    /// # Cancel safety
    ///
    /// Dropped, no change is lost: call it again, or `next`.
    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(std::future::pending())
    }

    /// What [`next`](Source::next) would give, where it need not be waited for: with it a consumer
    /// takes many in one go. `None` says nothing.
    fn at_hand(&mut self) -> Option<Incoming> {
        None
    }

    /// How long a message stays this member's without a sign of life ([`Receipt::extend`]); `None`
    /// for as long as the member lives.
    fn lease(&self) -> Option<Duration>;
}

/// What a [`Source`] gives.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Delivery(Delivery),
    /// These partitions go to another member: finish or drop what is under way of them, acknowledge
    /// what is done, then say so by sending. The broker waits for a while only.
    Revoked {
        /// Topics and their slices.
        partitions: Vec<(String, Partition)>,
        /// Told when nothing of them is under way.
        released: oneshot::Sender<()>,
    },
}

/// A message, and how to settle it.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub event: Event,
    /// How it is settled.
    pub receipt: Box<dyn Receipt>,
}

/// What settles one delivered message. Dropped unused, the message is given again in time.
///
/// Messages may be settled in any order: a broker that can only store how far its reader has come
/// keeps the lowest that is not settled.
pub trait Receipt: fmt::Debug + Send + Sync {
    /// Says that the message is done: it is never given to this group again.
    ///
    /// # Errors
    ///
    /// Where the broker did not hear of it: then it may be given again, behind later ones of its key. A
    /// [`Consumer`](crate::Consumer) knows it then, and acknowledges it anew instead of handling it.
    fn ack(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// Gives the message back, undone: the broker gives it again at once, to any member.
    ///
    /// # Errors
    ///
    /// Where the broker did not hear of it: then it is given again when the lease ends.
    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// Says that it is still being worked on: the lease begins anew.
    ///
    /// # Errors
    ///
    /// Where the broker did not hear of it.
    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>>;
}
