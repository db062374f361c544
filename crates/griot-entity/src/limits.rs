//! Every limit of the entity runtime, with its name.

use std::time::Duration;

use crate::EntityError;

/// The limits of one kind of entity.
///
/// A command that meets one is answered [`Busy`](crate::AskError::Busy); nothing is ever dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that share the entities, each owning those whose name hashes to it. One or two for
    /// each core is best: fewer make larger batches.
    pub shards: u32,
    /// Commands that may wait in one shard's mailbox.
    pub mailbox_commands_max: usize,
    /// Decisions that go into one append.
    pub batch_appends_max: usize,
    /// Bytes of events, effects and replies after which an append takes no more decisions; also the
    /// most that one decision may have.
    pub batch_bytes_max: usize,
    /// Answers of one shard that wait for the journal.
    pub held_answers_max: usize,
    /// Entities of this kind in memory. The ones idle longest leave first.
    pub entities_in_memory_max: usize,
    /// How long an entity stays in memory without a command.
    pub passivate_after: Duration,
    /// Commands that may wait for one entity's recovery.
    pub recovery_commands_max: usize,
    /// Recoveries that read the journal at a time.
    pub recoveries_max: usize,
    /// Waits for a state ([`wait_until`](crate::EntityRef::wait_until)) on one entity at a time.
    pub waits_max: usize,
    /// Effects of this kind of entity without an outcome, beyond which commands from outside that
    /// would add to them are answered `Busy`.
    pub effects_max: usize,
    /// Command keys that an entity remembers, newest first.
    pub keys_max: usize,
    /// How long an entity remembers a command's key.
    pub keys_kept_for: Duration,
    /// Events between two snapshots of an entity; 0 for none.
    pub snapshot_every: u64,
    /// Snapshots kept of an entity.
    pub snapshots_kept: usize,
    /// How long an asker waits where it does not say.
    pub ask_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shards: 4,
            mailbox_commands_max: 4_096,
            batch_appends_max: 4_096,
            batch_bytes_max: 24 << 20,
            held_answers_max: 65_536,
            entities_in_memory_max: 1_000_000,
            passivate_after: Duration::from_mins(5),
            recovery_commands_max: 1_024,
            recoveries_max: 64,
            waits_max: 1_024,
            effects_max: 100_000,
            keys_max: 1_000,
            keys_kept_for: Duration::from_hours(24),
            snapshot_every: 500,
            snapshots_kept: 2,
            ask_deadline: Duration::from_secs(30),
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), EntityError> {
        let at_least_one = [
            ("shards", usize::try_from(self.shards).unwrap_or(usize::MAX)),
            ("mailbox_commands_max", self.mailbox_commands_max),
            ("batch_appends_max", self.batch_appends_max),
            ("entities_in_memory_max", self.entities_in_memory_max),
            ("batch_appends_max", self.batch_appends_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("held_answers_max", self.held_answers_max),
            ("recovery_commands_max", self.recovery_commands_max),
            ("keys_max", self.keys_max),
            ("recoveries_max", self.recoveries_max),
            ("effects_max", self.effects_max),
            ("snapshots_kept", self.snapshots_kept),
        ];
        match at_least_one.into_iter().find(|(_, value)| *value == 0) {
            None => Ok(()),
            Some((name, value)) => Err(EntityError::Limit {
                name,
                value: value.to_string(),
                reason: "it must be at least 1",
            }),
        }
    }
}
