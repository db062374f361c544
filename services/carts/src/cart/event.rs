//! What can happen to a cart.

use griot::core::{Event, Timestamp};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// What happened to a cart. The names are part of the history, which people and programs read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CartEvent {
    /// An item was put into it.
    ItemAdded {
        /// Which, from now on.
        item_id: Ulid,
        /// Its name.
        name: String,
        /// When.
        created_at: Timestamp,
    },
    /// An item was taken out of it.
    ItemRemoved {
        /// Which.
        item_id: Ulid,
    },
}

impl Event for CartEvent {}
