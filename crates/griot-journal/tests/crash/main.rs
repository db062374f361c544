//! Crashes of every kind: power cuts, torn writes, flipped bits, full disks, failed syncs, and
//! processes killed. The disk is a simulated one wherever the order of things matters.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where a promise is broken"
)]

mod damage;
mod faults;
mod golden;
mod limits;
mod processes;
mod reads;
mod workload;
