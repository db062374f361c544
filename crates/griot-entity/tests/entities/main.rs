//! What entities promise, each promise a test.

mod asking;
mod draining;
mod effects;
mod failing;
mod gate;
mod ledger;
mod recovering;
mod snapshots;
