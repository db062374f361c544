//! How many connections there is room for under the operating system's limit on open files.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open beside the connections of clients: segments, connections to backends.
const BESIDE_CONNECTIONS: u64 = 2048;

/// For each connection that is served, how many may be turned away at the same time.
const TURNED_AWAY_FOR_EACH: u64 = 4;

/// How many connections are dealt with at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Those that are served.
    pub(crate) served: usize,
    /// Those that are told to come again later.
    pub(crate) turned_away: usize,
}

impl Room {
    /// Room to serve `connections` at a time: raises the limit on open files as far as they need and
    /// the system allows, and makes do with what there is.
    pub(crate) fn make(connections: NonZeroU32) -> Self {
        let wanted = u64::from(connections.get()) * (1 + TURNED_AWAY_FOR_EACH);
        let files = raise_files_max(wanted + BESIDE_CONNECTIONS);
        let room = Self::within(connections, files);
        if u64::try_from(room.served).is_ok_and(|served| served < u64::from(connections.get())) {
            tracing::warn!(
                wanted = connections,
                served = room.served,
                "fewer connections at a time than asked for: raise the limit on open files (ulimit -n)"
            );
        }
        room
    }

    fn within(connections: NonZeroU32, files: u64) -> Self {
        // Where files are short, half of them are still for clients.
        let for_clients = files.saturating_sub(BESIDE_CONNECTIONS).max(files / 2);
        let served = u64::from(connections.get()).min(for_clients / 2).max(1);
        let turned_away = (served * TURNED_AWAY_FOR_EACH)
            .min(for_clients - served.min(for_clients))
            .max(1);
        let size = |count| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            served: size(served),
            turned_away: size(turned_away),
        }
    }
}

/// Raises the limit to `wanted` or as near as is allowed, and gives the limit that holds.
fn raise_files_max(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current else {
        return u64::MAX;
    };
    let possible = wanted.min(maximum.unwrap_or(u64::MAX));
    if possible <= current {
        return current;
    }
    let raised = Rlimit {
        current: Some(possible),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).map_or(current, |()| possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_what_is_asked_where_files_suffice_and_for_some_where_they_are_short() {
        let asked = NonZeroU32::new(4096).unwrap();
        let room = |files| Room::within(asked, files);
        assert_eq!(
            room(20_000),
            Room {
                served: 4096,
                turned_away: 13_856
            }
        );
        assert_eq!(
            room(u64::MAX),
            Room {
                served: 4096,
                turned_away: 16_384
            }
        );
        assert_eq!(
            room(1024),
            Room {
                served: 256,
                turned_away: 256
            }
        );
        assert_eq!(
            room(4),
            Room {
                served: 1,
                turned_away: 1
            }
        );
    }
}
