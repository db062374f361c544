//! What every contender's actors count with, and what every contender's producers do.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Tells when so many messages have arrived.
pub struct Meter {
    left: u64,
    done: Option<oneshot::Sender<Instant>>,
}

impl Meter {
    pub fn new(total: u64) -> (Self, oneshot::Receiver<Instant>) {
        let (done, arrived) = oneshot::channel();
        (
            Self {
                left: total,
                done: Some(done),
            },
            arrived,
        )
    }

    pub fn count(&mut self, amount: u64) {
        self.left -= amount;
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            done.send(Instant::now()).expect("the driver waits");
        }
    }
}

/// Runs so many producers at once, and times from their start until everything has arrived.
pub async fn produce<F: Future<Output = ()> + Send + 'static>(
    producers: u64,
    producer: impl Fn() -> F,
    arrived: oneshot::Receiver<Instant>,
) -> Duration {
    let start = Instant::now();
    for _ in 0..producers {
        tokio::spawn(producer());
    }
    arrived.await.expect("every message arrives") - start
}

/// Runs so many askers at once, and times until the last is done.
pub async fn ask<F: Future<Output = ()> + Send + 'static>(
    askers: u64,
    asker: impl Fn() -> F,
) -> Duration {
    let start = Instant::now();
    let askers: Vec<_> = (0..askers).map(|_| tokio::spawn(asker())).collect();
    for asker in askers {
        asker.await.expect("an asker ends well");
    }
    start.elapsed()
}
