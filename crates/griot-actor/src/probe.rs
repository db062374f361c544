//! For tests: an end of the line that can be asked what arrived.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::mailbox::{Closed, Receiver, Sender, TrySendError, mailbox};
use crate::recipient::{Deliver, Recipient};

/// How many messages a probe holds that the test has not looked at.
const PROBE_CAPACITY: usize = 65_536;

/// A recipient without an actor behind it.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use std::time::Duration;
/// use griot_actor::Probe;
///
/// let mut probe = Probe::new("listener");
/// probe.recipient().tell("hello").await.unwrap();
/// assert_eq!(probe.next(Duration::from_secs(5)).await, Some("hello"));
/// # }
/// ```
pub struct Probe<M> {
    name: &'static str,
    sender: Sender<M>,
    receiver: Receiver<M>,
    batch: VecDeque<M>,
}

impl<M: Send + 'static> Probe<M> {
    /// A probe that has seen nothing yet.
    pub fn new(name: &'static str) -> Self {
        let (sender, receiver) = mailbox(PROBE_CAPACITY);
        Self {
            name,
            sender,
            receiver,
            batch: VecDeque::new(),
        }
    }

    /// Where messages for the probe go.
    pub fn recipient(&self) -> Recipient<M> {
        Recipient::new(ToProbe {
            name: self.name,
            sender: self.sender.clone(),
        })
    }

    /// The next message, or `None` if there is none within `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, no message is lost.
    pub async fn next(&mut self, deadline: Duration) -> Option<M> {
        if self.batch.is_empty() {
            // Late is the same as nothing: the batch stays empty.
            drop(timeout(deadline, self.receiver.receive_batch(&mut self.batch)).await);
        }
        self.batch.pop_front()
    }

    /// Everything that has arrived by now.
    pub fn take(&mut self) -> Vec<M> {
        self.receiver.try_receive_batch(&mut self.batch);
        self.batch.drain(..).collect()
    }
}

impl<M> fmt::Debug for Probe<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

struct ToProbe<M> {
    name: &'static str,
    sender: Sender<M>,
}

impl<M: Send + 'static> Deliver<M> for ToProbe<M> {
    fn name(&self) -> &str {
        self.name
    }

    fn try_deliver(&self, message: M) -> Result<(), TrySendError<M>> {
        self.sender.try_send(message)
    }

    fn deliver(&self, message: M) -> BoxFuture<'_, Result<(), Closed<M>>> {
        Box::pin(self.sender.send(message))
    }
}
