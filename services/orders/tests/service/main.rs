//! The orders service over real HTTP, on the embedded journal, against backends that a test can
//! make fail in every way.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod backend;
mod failing;
mod looking;
mod outcomes;
mod placing;
mod refusals;
mod restarting;
mod service;
