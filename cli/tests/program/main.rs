//! What the program promises, shown on the program itself: real processes, real signals, real HTTP.
//!
//! A test's name begins with the guarantee of `DESIGN.md` that it shows.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "in a test a panic is the report"
)]

mod alarms;
mod audit;
mod backends;
mod bad_input;
mod carts;
mod copying;
mod full_disk;
mod journals;
mod kill_loop;
mod late;
mod looking;
mod messages;
mod ordering;
mod overload;
mod places;
mod process;
mod read_models;
mod rows;
mod server;
mod serving;
mod shutdown;
#[cfg(feature = "opentelemetry")]
mod telemetry;
mod tls;
