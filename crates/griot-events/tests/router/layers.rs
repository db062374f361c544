//! What each layer does, by itself and with the others.

mod alone;
mod dead_letters;
mod shared;
mod together;
mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use griot_events::Answer;

/// A handler that gives these answers one after the other, and then the last again; and how often it
/// was called.
#[derive(Clone)]
struct Script {
    answers: Arc<[Answer]>,
    calls: Arc<AtomicU32>,
}

impl Script {
    fn new(answers: impl Into<Arc<[Answer]>>) -> Self {
        Self {
            answers: answers.into(),
            calls: Arc::default(),
        }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    fn next(&self) -> Answer {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) as usize;
        let call = call.min(self.answers.len() - 1);
        self.answers[call].clone()
    }

    /// It as a handler.
    fn handler(&self) -> impl griot_events::Handler<(), ()> {
        let script = self.clone();
        move || std::future::ready(script.next())
    }
}
