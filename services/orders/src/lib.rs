//! Orders that are never lost: the reference service.

mod api;
pub mod backends;
mod calls;
mod config;
mod error;
mod index;
mod listing;
pub mod order;
mod orders;

pub use backends::Backends;
pub use config::OrdersConfig;
pub use error::OrdersError;
pub use orders::Orders;
