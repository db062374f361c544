//! The way into a broker, and out of it.

use tokio::sync::{Mutex, RwLock, RwLockReadGuard, mpsc, watch};

use crate::BrokerError;

/// Lets calls in until it is closed, and closes behind the last that is within.
#[derive(Debug)]
pub struct Gate {
    /// Held for reading by every call that is within.
    within: RwLock<()>,
    closing: watch::Sender<bool>,
    members: Mutex<Members>,
}

/// How many members there are: each holds the sender, and nothing is left to receive when all are gone.
#[derive(Debug)]
struct Members {
    sender: Option<mpsc::Sender<()>>,
    gone: mpsc::Receiver<()>,
}

/// A member that the broker does not close without. Dropped, it is gone.
#[derive(Clone, Debug)]
pub struct Stay(#[expect(dead_code, reason = "it says something by being there")] mpsc::Sender<()>);

impl Default for Gate {
    fn default() -> Self {
        let (sender, gone) = mpsc::channel(1);
        Self {
            within: RwLock::new(()),
            closing: watch::Sender::new(false),
            members: Mutex::new(Members {
                sender: Some(sender),
                gone,
            }),
        }
    }
}

impl Gate {
    /// Lets a call in that a close waits for, until what this returns is dropped.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn enter(&self) -> Result<RwLockReadGuard<'_, ()>, BrokerError> {
        let within = self.within.read().await;
        self.check().map(|()| within)
    }

    /// Lets a member in, that is told by [`closing`](Self::closing) when it is to leave.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn join(&self) -> Result<Stay, BrokerError> {
        self.check()?;
        let sender = self.members.lock().await.sender.clone();
        sender.map(Stay).ok_or(BrokerError::Closed)
    }

    /// Whether it is open still.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Closed`].
    pub fn check(&self) -> Result<(), BrokerError> {
        if *self.closing.borrow() {
            return Err(BrokerError::Closed);
        }
        Ok(())
    }

    /// Says when it closes.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Closes: waits for the calls within, then tells the members, and waits until they are gone. Called
    /// again, it waits as well.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may be closed or not; call it again.
    pub async fn close(&self) {
        let alone = self.within.write().await;
        self.closing.send_replace(true);
        drop(alone);
        let mut members = self.members.lock().await;
        members.sender = None;
        while members.gone.recv().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn it_closes_behind_the_last_call_and_the_last_member() {
        let gate = Gate::default();
        let (within, stay) = (gate.enter().await.unwrap(), gate.join().await.unwrap());
        let mut closing = Box::pin(gate.close());
        assert!(closing.as_mut().now_or_never().is_none());
        gate.check().unwrap();
        drop(within);
        assert!(closing.as_mut().now_or_never().is_none());
        assert!(*gate.closing().borrow());
        for refused in [gate.enter().await.map(drop), gate.check()] {
            assert!(matches!(refused, Err(BrokerError::Closed)));
        }
        assert!(matches!(gate.join().await, Err(BrokerError::Closed)));
        drop(stay);
        closing.await;
        gate.close().await;
    }
}
