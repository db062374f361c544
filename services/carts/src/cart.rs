//! A cart: which items are in it.

mod decide;
mod event;

pub use decide::{Add, AddError, Added, NoSuchItem, Remove, Removed};
pub use event::CartEvent;

use griot::core::{Entity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ulid::Ulid;

/// How many items a cart holds.
pub const ITEMS_MAX: usize = 1_000;

/// The longest name of an item, in characters.
pub const NAME_CHARS_MAX: usize = 255;

/// A cart. The default is one that nothing was ever put into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    items: BTreeMap<Ulid, Item>,
}

/// An item in a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name, which no other item in the cart has.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Entity for Cart {
    const KIND: &'static str = "cart";
    type Event = CartEvent;

    fn evolve(&mut self, event: &CartEvent) {
        match event.clone() {
            CartEvent::ItemAdded {
                item_id,
                name,
                created_at,
            } => {
                self.items.insert(item_id, Item { name, created_at });
            }
            CartEvent::ItemRemoved { item_id } => {
                self.items.remove(&item_id);
            }
        }
    }
}

impl Cart {
    /// What is in it, by when it was added.
    pub fn items(&self) -> impl Iterator<Item = (Ulid, &Item)> {
        self.items.iter().map(|(id, item)| (*id, item))
    }
}
