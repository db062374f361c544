//! Whether the journal takes what entities decide.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The last trouble with the journal, until an append succeeds.
#[derive(Debug, Default)]
pub(crate) struct Health {
    troubled: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Health {
    pub(crate) fn trouble(&self, what: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
        self.troubled.store(true, Ordering::Release);
    }

    pub(crate) fn mend(&self) {
        if self.troubled.swap(false, Ordering::AcqRel) {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(crate) fn current(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }
}
