//! The operating system's limit on open files, which every connection counts against.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open beside the connections: segments, pools to backends, logs.
const BESIDE_CONNECTIONS: usize = 512;

/// Raises the limit on open files as far as `connections` need it and gives the number of
/// connections that it leaves room for.
pub(crate) fn connections_possible(connections: NonZeroU32) -> usize {
    let connections = usize::try_from(connections.get()).unwrap_or(usize::MAX - BESIDE_CONNECTIONS);
    let wanted = u64::try_from(connections + BESIDE_CONNECTIONS).unwrap_or(u64::MAX);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let possible = wanted.min(maximum.unwrap_or(u64::MAX));
    let reached = match current {
        Some(current) if current < possible => {
            let raised = Rlimit {
                current: Some(possible),
                maximum,
            };
            setrlimit(Resource::Nofile, raised).map_or(current, |()| possible)
        }
        Some(current) => current,
        None => u64::MAX,
    };
    let room = usize::try_from(reached)
        .unwrap_or(usize::MAX)
        .saturating_sub(BESIDE_CONNECTIONS);
    if room < connections {
        tracing::warn!(
            wanted = connections,
            room,
            "fewer connections at a time: raise the limit on open files (ulimit -n)"
        );
    }
    room.clamp(1, connections)
}
