//! Durable actors: entities that remember everything, survive any crash, and can recite how they got where they are.

#[cfg(feature = "http")]
pub mod http;
