//! Names and numbers: which entity, which place in its stream, which place in the journal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::CoreError;

/// The name of an entity: its kind and its id, written `kind/id`.
///
/// Cheap to clone. The id may be any text of up to [`EntityId::ID_BYTES_MAX`] bytes without
/// control characters; it may itself contain `/`.
///
/// ```
/// use griot_core::EntityId;
/// let id = EntityId::new("account", "alice")?;
/// assert_eq!((id.kind(), id.id(), id.as_str()), ("account", "alice", "account/alice"));
/// assert_eq!("account/alice".parse::<EntityId>()?, id);
/// # Ok::<(), griot_core::CoreError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntityId(Arc<str>);

impl EntityId {
    /// The longest id, in bytes.
    pub const ID_BYTES_MAX: usize = 1024;
    /// The longest kind, in bytes.
    pub const KIND_BYTES_MAX: usize = 64;

    /// Names the entity `id` of `kind`.
    ///
    /// # Errors
    ///
    /// [`CoreError::Kind`] or [`CoreError::Id`] for a part that is empty, too long, or contains
    /// characters that a name must not have.
    pub fn new(kind: &str, id: &str) -> Result<Self, CoreError> {
        let control = |text: &str| text.bytes().any(|byte| byte < b' ' || byte == 0x7f);
        if kind.is_empty()
            || kind.len() > Self::KIND_BYTES_MAX
            || kind.contains('/')
            || control(kind)
        {
            return Err(CoreError::Kind(kind.to_owned()));
        }
        if id.is_empty() || id.len() > Self::ID_BYTES_MAX || control(id) {
            return Err(CoreError::Id { length: id.len() });
        }
        let mut name = String::with_capacity(kind.len() + 1 + id.len());
        name.push_str(kind);
        name.push('/');
        name.push_str(id);
        Ok(Self(name.into()))
    }

    /// The part before the first `/`.
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or("", |(kind, _)| kind)
    }

    /// The part after the first `/`.
    pub fn id(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, id)| id)
    }

    /// The whole name, `kind/id`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of `shards` slices this entity belongs to: its stable hash, modulo the count.
    ///
    /// The answer never changes between versions of griot.
    ///
    /// # Panics
    ///
    /// When `shards` is zero.
    pub fn shard(&self, shards: u32) -> u32 {
        shard_of(stable_hash(self.0.as_bytes()), shards)
    }
}

/// Which of `shards` slices an entity belongs to whose name has this [`stable_hash`].
///
/// # Panics
///
/// When `shards` is zero.
pub fn shard_of(hash: u64, shards: u32) -> u32 {
    // Smaller than `shards`, so it fits.
    u32::try_from(hash % u64::from(shards)).unwrap_or(0)
}

/// The 64-bit hash that decides where an entity lives: XXH3 with seed 0.
///
/// Source: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>. It is stable across
/// versions, machines and processes.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

impl fmt::Display for EntityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EntityId({})", self.0)
    }
}

impl FromStr for EntityId {
    type Err = CoreError;

    fn from_str(name: &str) -> Result<Self, CoreError> {
        let (kind, id) = name
            .split_once('/')
            .ok_or_else(|| CoreError::Kind(name.to_owned()))?;
        Self::new(kind, id)
    }
}

impl TryFrom<String> for EntityId {
    type Error = CoreError;

    fn try_from(name: String) -> Result<Self, CoreError> {
        name.parse()
    }
}

impl From<EntityId> for String {
    fn from(id: EntityId) -> Self {
        id.0.as_ref().to_owned()
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Before the first.
            pub const ZERO: Self = Self(0);
            /// The largest there can be.
            pub const MAX: Self = Self(u64::MAX);

            /// The number itself.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one after this one; the largest stays the largest.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number! {
    /// The place of an event in its entity's stream: 1, 2, 3, … without a gap. 0 is "no event yet".
    Seq
}
number! {
    /// The place of an event in its journal's order of commits, from 1. 0 is "before everything".
    Offset
}
number! {
    /// The fencing number of a shard's owner: whoever claims later has the higher one.
    Epoch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stable_hash_and_the_shard_of_a_name_never_change() {
        assert_eq!(stable_hash(b""), 0x2d06_8005_38d3_94c2);
        let golden: Vec<u32> = ["a", "b", "alice", "0190b5a4", "ü/ñ", "CUST-001"]
            .iter()
            .map(|id| EntityId::new("account", id).unwrap().shard(64))
            .collect();
        assert_eq!(golden, [42, 42, 34, 4, 25, 28]);
    }

    #[test]
    fn a_name_that_could_be_misread_is_refused() {
        for (kind, id) in [
            ("", "a"),
            ("a/b", "c"),
            ("a", ""),
            ("a", "x\ny"),
            ("a\0", "b"),
        ] {
            assert!(EntityId::new(kind, id).is_err(), "{kind:?} {id:?}");
        }
        assert!(EntityId::new("a", &"x".repeat(EntityId::ID_BYTES_MAX)).is_ok());
        assert!(EntityId::new("a", &"x".repeat(EntityId::ID_BYTES_MAX + 1)).is_err());
        assert!("no-slash".parse::<EntityId>().is_err());
        assert!(serde_json::from_str::<EntityId>("\"x\"").is_err());
    }
}
