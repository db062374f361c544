//! What a server gave a subscription and nobody took yet. It is bounded by what may be in flight.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use griot_events::{BrokerError, Delivery, Partition};
use tokio::sync::Notify;

use crate::link::Asker;

/// Revocations and the like that may wait beside messages.
const ASIDE: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Inbox {
    /// How much may wait.
    room: usize,
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    given: VecDeque<Given>,
    /// The connection was lost: what came over it is given to others, or again.
    is_lost: bool,
    trouble: Option<BrokerError>,
    lease: Option<Duration>,
}

/// What a server gives.
#[derive(Debug)]
pub(crate) enum Given {
    Message(Delivery),
    /// Slices that go to another member, and under which number the server is told, over this
    /// connection, that nothing of them is under way.
    Revoked(Vec<(String, Partition)>, u64, Asker),
}

/// What a reader is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Everything,
    Changes,
}

/// What the inbox has next.
#[derive(Debug)]
pub(crate) enum Next {
    Given(Given),
    Lost,
    Trouble(BrokerError),
}

impl Queue {
    /// The next revocation. Messages of its slices that nobody took go back, by their receipts.
    fn take_revoked(&mut self) -> Option<Given> {
        let is_revoked = |given: &Given| matches!(given, Given::Revoked(..));
        let revoked = self.given.remove(self.given.iter().position(is_revoked)?)?;
        if let Given::Revoked(slices, ..) = &revoked {
            self.given.retain(|given| match given {
                Given::Message(delivery) => {
                    let (topic, partition) = (delivery.event.topic(), delivery.event.position().0);
                    let is_of =
                        |slice: &(String, Partition)| slice.0 == topic && slice.1 == partition;
                    !slices.iter().any(is_of)
                }
                Given::Revoked(..) => true,
            });
        }
        Some(revoked)
    }
}

impl Inbox {
    /// For a subscription with so many messages in flight. Where a lease has ended a message is there
    /// twice.
    pub(crate) fn new(in_flight_max: usize) -> Self {
        Self {
            room: in_flight_max.saturating_mul(2).saturating_add(ASIDE),
            queue: Mutex::default(),
            filled: Notify::new(),
        }
    }

    /// Puts something in; `false` where the server sent more than was asked for.
    #[must_use]
    pub(crate) fn put(&self, given: Given) -> bool {
        let mut queue = self.lock();
        if queue.given.len() >= self.room {
            return false;
        }
        queue.given.push_back(given);
        drop(queue);
        self.filled.notify_one();
        true
    }

    /// Says that the connection was lost: what has not been taken is gone with it.
    pub(crate) fn lose(&self) {
        let mut queue = self.lock();
        queue.given.clear();
        queue.is_lost = true;
        drop(queue);
        self.filled.notify_one();
    }

    /// Says what is wrong; only the newest is kept.
    pub(crate) fn complain(&self, error: BrokerError) {
        self.lock().trouble = Some(error);
        self.filled.notify_one();
    }

    /// What there is next. It may be dropped at any time.
    pub(crate) async fn next(&self, wants: Wants) -> Next {
        loop {
            if let Some(next) = self.take(wants) {
                return next;
            }
            self.filled.notified().await;
        }
    }

    pub(crate) fn lease(&self) -> Option<Duration> {
        self.lock().lease
    }

    pub(crate) fn set_lease(&self, lease: Option<Duration>) {
        self.lock().lease = lease;
    }

    fn take(&self, wants: Wants) -> Option<Next> {
        let mut queue = self.lock();
        if std::mem::take(&mut queue.is_lost) {
            return Some(Next::Lost);
        }
        if let Some(error) = queue.trouble.take() {
            return Some(Next::Trouble(error));
        }
        match wants {
            Wants::Everything => queue.given.pop_front().map(Next::Given),
            Wants::Changes => queue.take_revoked().map(Next::Given),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
