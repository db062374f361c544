//! Leaving alone what fails anyway.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Around, Next};
use crate::{Answer, Event};

/// Opens after so many failures in a row, over all routes it is put around: then [`Answer::Retry`] is
/// the answer, without a call of the handler. After a pause one event is let through; where it goes
/// well, all are.
///
/// A failure is an answer of [`Answer::Retry`] or [`Answer::DeadLetter`]. Its place is around
/// [`Retries`](super::Retries) or [`DefaultStack`](super::DefaultStack): what it turns away then
/// waits at the broker. Inside of them it uses up attempts, and makes dead letters of good events.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    failures_max: u32,
    pause: Duration,
    circuit: Arc<Mutex<Circuit>>,
}

#[derive(Debug)]
enum Circuit {
    /// All go through; so many failed in a row.
    Closed { failures: u32 },
    /// None goes through until then.
    Open { until: Instant },
    /// One is on its way, to see.
    Trying,
}

impl CircuitBreaker {
    /// Opens after `failures_max` failures in a row, for the time `pause`.
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        Self {
            failures_max,
            pause,
            circuit: Arc::new(Mutex::new(Circuit::Closed { failures: 0 })),
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the event through, or says why not.
    fn enter(&self) -> Result<Passage<'_>, String> {
        let mut circuit = self.circuit();
        let now = Instant::now();
        let trying = match *circuit {
            Circuit::Closed { .. } => false,
            Circuit::Open { until } if until <= now => true,
            Circuit::Open { until } => {
                let left = until - now;
                return Err(format!("the circuit is open for another {left:.1?}"));
            }
            Circuit::Trying => return Err("the circuit is open, one event tries it".to_owned()),
        };
        if trying {
            *circuit = Circuit::Trying;
        }
        Ok(Passage {
            breaker: self,
            trying,
            failed: None,
        })
    }
}

/// An event on its way through.
struct Passage<'a> {
    breaker: &'a CircuitBreaker,
    trying: bool,
    /// Whether it failed, once that is known.
    failed: Option<bool>,
}

impl Drop for Passage<'_> {
    /// Here, so that an event that is dropped on its way, or panics, does not leave the circuit as it is
    /// for ever.
    fn drop(&mut self) {
        let mut circuit = self.breaker.circuit();
        let now = Instant::now();
        let open = |until| {
            tracing::warn!(failures = self.breaker.failures_max, "a circuit is open");
            Circuit::Open { until }
        };
        *circuit = match (&*circuit, self.failed) {
            (Circuit::Trying, Some(false)) if self.trying => Circuit::Closed { failures: 0 },
            (Circuit::Trying, Some(true)) if self.trying => open(now + self.breaker.pause),
            (Circuit::Trying, None) if self.trying => Circuit::Open { until: now },
            (Circuit::Closed { .. }, Some(false)) => Circuit::Closed { failures: 0 },
            (Circuit::Closed { failures }, Some(true)) => match failures + 1 {
                failures if failures < self.breaker.failures_max => Circuit::Closed { failures },
                _ => open(now + self.breaker.pause),
            },
            // Others have decided since it went in.
            _ => return,
        };
    }
}

impl Around for CircuitBreaker {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let mut passage = match self.enter() {
            Ok(passage) => passage,
            Err(reason) => return Answer::Retry { reason },
        };
        let answer = next.run(event).await;
        passage.failed = Some(matches!(
            answer,
            Answer::Retry { .. } | Answer::DeadLetter { .. }
        ));
        answer
    }
}
