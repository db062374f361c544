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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cart::Cart;
    use griot_testkit::EventsLock;

    #[test]
    fn no_stored_shape_changes_without_a_new_version_and_all_of_the_past_is_read() {
        let item_id = Ulid::from_parts(1_700_000_000_000, 7);
        let added = CartEvent::ItemAdded {
            item_id,
            name: "milk".to_owned(),
            created_at: Timestamp::from_micros(1_700_000_000_000_001),
        };
        let samples = [added, CartEvent::ItemRemoved { item_id }];
        EventsLock::at(concat!(env!("CARGO_MANIFEST_DIR"), "/events.lock")).check::<Cart>(samples);
    }
}
