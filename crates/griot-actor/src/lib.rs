//! In-memory actors: mailbox, workers, pipelines, supervision, registry, timers.

pub mod mailbox;
