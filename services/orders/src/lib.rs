//! Orders that are never lost: the reference service.

pub mod backends;
mod error;
pub mod order;

pub use backends::Backends;
pub use error::OrdersError;
