//! Whether the journal takes what entities decide.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last trouble with the journal, until an append succeeds.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Whether there is one; changed under its lock, and looked at by every append without it.
    troubled: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Health {
    pub(crate) fn trouble(&self, what: &str) {
        let mut trouble = self.lock();
        *trouble = Some(what.to_owned());
        self.troubled.store(true, Ordering::Release);
    }

    pub(crate) fn mend(&self) {
        if self.troubled.load(Ordering::Acquire) {
            let mut trouble = self.lock();
            *trouble = None;
            self.troubled.store(false, Ordering::Release);
        }
    }

    pub(crate) fn current(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
