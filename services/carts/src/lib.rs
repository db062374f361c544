//! Carts: each is an entity, and the items of all of them are a table.
//!
//! A [`cart`] is pure: it decides whether an item goes in or out, and names new items by ULIDs, which sort by when
//! they were added. What went into carts is also kept in the table `items(id, cart, name, created_at)` of a read model,
//! which other programs may query in SQL, in SQLite, PostgreSQL or MySQL. It shows each event exactly once, and a
//! moment later; who has just written and wants to see it says so, `GET /items?wait_for={cart}:{seq}`.
//!
//! It is not a framework: what other services could use stands in `griot`.
//!
//! ```
//! use griot_carts::{Carts, CartsConfig};
//! use griot::sql::SqlTarget;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "multi_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let config = CartsConfig::default();
//! let griot = Carts::register(griot::open(directory).await?, &config).start().await?;
//! let url = directory.join("read-model.sqlite").display().to_string(); // or postgres://…
//! let target = SqlTarget::open(&url, Carts::tables()).await?;
//! let carts = Carts::start(griot.clone(), target, &config).await?;
//! let app = griot::http::answer_with_problems(carts.router()); // POST /carts/ann/items
//!
//! carts.drain(Duration::from_secs(20)).await; // first, since it reads the journal
//! assert!(griot.drain(Duration::from_secs(20)).await.in_time);
//! # drop(app);
//! # Ok(())
//! # }
//! ```

mod api;
pub mod cart;
mod carts;
mod config;
mod items;

pub use carts::Carts;
pub use config::CartsConfig;
