//! Crashes of every kind: power cuts, torn writes, flipped bits, full disks, failed syncs, and
//! processes killed. The disk is a simulated one wherever the order of things matters.

mod damage;
mod faults;
mod golden;
mod processes;
mod reads;
mod workload;
