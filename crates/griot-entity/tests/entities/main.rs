//! What entities promise, each promise a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod asking;
mod draining;
mod effects;
mod failing;
mod gate;
mod ledger;
mod publications;
mod recovering;
mod snapshots;
