//! The journal contract, the embedded log and the in-memory journal.
