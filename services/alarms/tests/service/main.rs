//! The alarms service behind real brokers: the embedded one, and NATS where there is a server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod hearing;
mod looking;
mod nats;
mod refusals;
mod restarting;
mod service;
mod sharing;
mod verifying;
