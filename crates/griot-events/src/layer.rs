//! Layers: what is done around every handler.
//!
//! Each is a [`tower::Layer`] that [`Router::layer`](crate::Router::layer) takes, as it takes those of
//! tower. [`DefaultStack`] is what nobody should be without; the others are put inside or around it:
//!
//! ```
//! use std::time::Duration;
//!
//! use griot_events::layer::{ConcurrencyLimit, DefaultStack, Retries, Timeout};
//! use griot_events::Router;
//!
//! # async fn bill() {}
//! let router: Router = Router::new()
//!     .on("orders", bill)
//!     .layer(Timeout(Duration::from_secs(5))) // of each attempt
//!     .layer(DefaultStack {
//!         retries: Retries { attempts_max: 3, ..Retries::default() },
//!         ..DefaultStack::default()
//!     })
//!     .layer(ConcurrencyLimit::new(64)); // of all topics together
//! ```
//!
//! One of one's own is an [`Around`] in a [`Stack`], or any service of tower:
//!
//! ```
//! use griot_events::layer::{Around, Next, Stack};
//! use griot_events::{Answer, Event, Router};
//!
//! #[derive(Clone)]
//! struct Announce;
//!
//! impl Around for Announce {
//!     async fn around<N: Next>(self, event: Event, next: N) -> Answer {
//!         println!("{} from {}", event.id(), event.topic());
//!         next.run(event).await
//!     }
//! }
//!
//! # async fn bill() {}
//! let router: Router = Router::new().on("orders", bill).layer(Stack(Announce));
//! ```

mod catch_panic;
mod circuit_breaker;
mod concurrency_limit;
mod correlation;
mod dead_letters;
mod deduplicate;
mod default_stack;
#[cfg(feature = "opentelemetry")]
mod joined;
mod metrics;
mod retries;
mod seen;
mod stack;
mod throttle;
mod timeout;
mod trace;
mod trace_context;

pub use catch_panic::CatchPanic;
pub use circuit_breaker::CircuitBreaker;
pub use concurrency_limit::ConcurrencyLimit;
pub use correlation::{CORRELATION_ID, Correlation};
pub use dead_letters::{DEAD, DeadLetters};
pub use deduplicate::Deduplicate;
pub use default_stack::DefaultStack;
pub use metrics::Metrics;
pub use retries::Retries;
pub use seen::{Seen, SeenInMemory};
pub use stack::{Around, Next, Stack, Stacked};
pub use throttle::Throttle;
pub use timeout::Timeout;
pub use trace::Trace;
pub use trace_context::{TRACEPARENT, TRACESTATE, TraceContext};

use griot_core::Publication;

/// Adds a header to a message on its way out, where it has none of this name.
pub(crate) fn put_header(publication: &mut Publication, name: &str, value: impl ToString) {
    let headers = &mut publication.headers;
    let there = headers
        .iter()
        .any(|(other, _)| other.eq_ignore_ascii_case(name));
    if !there {
        headers.push((name.to_owned(), value.to_string()));
    }
}
