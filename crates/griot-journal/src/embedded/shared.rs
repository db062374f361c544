//! What the committer and the journal's callers share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use griot_core::Offset;
use tokio::sync::{Semaphore, watch};

use super::options::READS_MAX;
use super::queue::Queue;
use super::segments::{Maker, Segments};
use crate::JournalError;
use crate::index::Index;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) segments: Segments,
    pub(crate) reads: Semaphore,
    maker: Maker,
    index: Mutex<Index>,
    tip: watch::Sender<Tip>,
}

/// How far the journal is, and whether it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub(crate) offset: Offset,
    pub(crate) ended: Option<JournalError>,
}

impl Shared {
    pub(crate) fn new(maker: Maker, segments: Segments, index: Index) -> Self {
        let offset = index.durable_offset();
        Self {
            queue: Queue::default(),
            segments,
            reads: Semaphore::new(READS_MAX),
            maker,
            index: Mutex::new(index),
            tip: watch::Sender::new(Tip {
                offset,
                ended: None,
            }),
        }
    }

    /// The index. It is never held across I/O, save where the committer compares a repeated key.
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn maker(&self) -> &Maker {
        &self.maker
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Tip> {
        self.tip.subscribe()
    }

    /// Tells those who follow how far the journal is now.
    pub(crate) fn advance(&self) {
        let offset = self.index().durable_offset();
        self.tip.send_if_modified(|tip| {
            let advanced = tip.offset != offset;
            tip.offset = offset;
            advanced
        });
    }

    pub(crate) fn poisoned(&self, error: &JournalError) {
        self.tip.send_modify(|tip| tip.ended = Some(error.clone()));
    }

    pub(crate) fn closed(&self) {
        self.tip.send_modify(|tip| {
            tip.ended.get_or_insert(JournalError::Closed);
        });
    }
}
