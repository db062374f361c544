//! Entities on a journal: shards, recovery, effects, timers, idempotency, passivation.
