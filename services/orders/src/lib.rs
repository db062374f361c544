//! Orders that are never lost: the reference service.
//!
//! An order needs seven services of other people: it looks up a customer, a merchant, a promotion
//! and products, has an invoice created and paid, and tells both sides. Any of them may be slow,
//! fail, or take effect and then say that it failed; and this program may be killed at any moment.
//! All the same every order that was acknowledged ends, and no step takes effect twice.
//!
//! The [`order`] itself is pure: it decides which steps are next. Each step is a call, recorded in
//! the same append as the decision that wants it, made to the [`backends`] under a key that never
//! changes, until it has an outcome. The rest is a list, a table of a read model that other programs may query in
//! SQL, and an HTTP API.
//!
//! It is not a framework: what other services could use stands in `griot`.
//!
//! ```
//! use griot::Griot;
//! use griot::journal::MemoryJournal;
//! use griot::sql::SqlTarget;
//! use griot_orders::backends::Simulation;
//! use griot_orders::{Backends, Orders, OrdersConfig};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let journal = Arc::new(MemoryJournal::new());
//! let backends = Backends::simulated(Simulation::new(Duration::from_millis(20), 0.0, vec![]));
//! let config = OrdersConfig::default();
//! let griot = Griot::builder(journal.clone(), journal);
//! let griot = Orders::register(griot, &backends, &config).start().await?;
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let url = directory.join("read-model.sqlite").display().to_string(); // or postgres://…
//! let target = SqlTarget::open(&url, Orders::tables()).await?;
//! let orders = Orders::start(griot.clone(), target, &config).await?;
//!
//! let app = griot::http::answer_with_problems(orders.router());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let serving = tokio::spawn(async { axum::serve(listener, app).await });
//!
//! orders.drain(Duration::from_secs(20)).await; // first, since it reads the journal
//! let drained = griot.drain(Duration::from_secs(20)).await;
//! assert!(drained.in_time);
//! # serving.abort();
//! # Ok(())
//! # }
//! ```

mod api;
pub mod backends;
mod calls;
mod config;
mod error;
mod list;
pub mod order;
mod orders;
mod summary;

pub use backends::Backends;
pub use config::OrdersConfig;
pub use error::OrdersError;
pub use orders::Orders;
