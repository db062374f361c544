//! Orders that are never lost: the reference service.

pub mod backends;
mod error;

pub use backends::Backends;
pub use error::OrdersError;
