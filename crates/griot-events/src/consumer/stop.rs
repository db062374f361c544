//! Says when nothing new is to begin.

use std::future::pending;

use futures_util::future::select_all;
use tokio::sync::watch;

/// Says when nothing new is to begin of a message, or of any message of a batch.
pub(super) enum Stop {
    Of(watch::Receiver<bool>),
    /// Of different partitions; at least one.
    OfAny(Vec<watch::Receiver<bool>>),
}

impl Stop {
    pub(super) fn of_any<'a>(stops: impl Iterator<Item = &'a watch::Receiver<bool>>) -> Self {
        let mut different: Vec<watch::Receiver<bool>> = Vec::new();
        for stop in stops {
            if !different.iter().any(|other| other.same_channel(stop)) {
                different.push(stop.clone());
            }
        }
        Self::OfAny(different)
    }

    /// Whether it is asked for.
    pub(super) fn is_asked(&self) -> bool {
        match self {
            Self::Of(stop) => *stop.borrow(),
            Self::OfAny(stops) => stops.iter().any(|stop| *stop.borrow()),
        }
    }

    /// Waits until it is asked for.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub(super) async fn asked(&mut self) {
        match self {
            Self::Of(stop) => asked(stop).await,
            Self::OfAny(stops) => {
                let all = stops.iter_mut().map(|stop| Box::pin(asked(stop)));
                select_all(all).await;
            }
        }
    }
}

async fn asked(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody can stop it any more but by dropping it.
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}
