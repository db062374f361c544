//! What this journal says that others do not, inside [`JournalError::Store`] or
//! [`JournalError::Unreachable`].

use std::sync::Arc;
use std::time::Duration;

use griot_journal::JournalError;

/// What can go wrong with this journal only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CassandraError {
    /// The URL says something that cannot be.
    #[error("the Cassandra URL cannot be used: {reason}")]
    Url {
        /// What, and what to say instead.
        reason: String,
    },
    /// The keyspace is not there, and nobody said on how many nodes its data is to lie.
    #[error(
        "the keyspace {keyspace} is not there, and the cluster has {nodes} nodes: make it, or say \
         ?replication=3 or ?replication=DATACENTER:3,…"
    )]
    NoReplication {
        /// Which keyspace.
        keyspace: String,
        /// How many nodes there are.
        nodes: usize,
    },
    /// The only copy is on a node that forgets in a power cut what it has acknowledged.
    #[error(
        "the keyspace {keyspace} has one copy, on a node that would lose writes in a power cut: set \
         commitlog_sync: batch (or group) in cassandra.yaml, or replicate the keyspace"
    )]
    NotDurable {
        /// Which keyspace.
        keyspace: String,
    },
    /// The cluster did not answer.
    #[error("the cluster did not answer within {} s: see whether it is well, or raise timeout_seconds", after.as_secs())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// Other processes were faster each time.
    #[error("other processes appended first for {} s: try again, or have fewer of them write one journal", after.as_secs())]
    Crowded {
        /// How long was tried.
        after: Duration,
    },
    /// A name is longer than Cassandra can look up.
    #[error("{what} of {bytes} bytes is too long for Cassandra, which takes {limit}: shorten it")]
    TooLong {
        /// Of what.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A stored value is none that griot wrote.
    #[error(
        "{what} was not written by griot, or is lost in part: restore the keyspace from a backup"
    )]
    Foreign {
        /// Which.
        what: String,
    },
    /// The cluster, or the way to it, said no.
    #[error("Cassandra: {0}")]
    Cluster(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The cluster cannot be reached, or is not well for now.
    #[error("Cassandra cannot be reached: {0}")]
    Away(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl From<CassandraError> for JournalError {
    fn from(error: CassandraError) -> Self {
        // It passes by itself once somebody starts the servers.
        match error {
            CassandraError::Silent { .. } | CassandraError::Away(_) => {
                Self::Unreachable(Arc::new(error))
            }
            error => Self::Store(Arc::new(error)),
        }
    }
}
