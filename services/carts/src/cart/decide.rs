//! What a cart decides: on items that are put in, and on those that are taken out.

use super::{Cart, CartEvent, ITEMS_MAX};
use griot::core::{Cx, Handle, Seq, stable_hash};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Puts an item into the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// Its name.
    pub name: String,
}

/// An item was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Which it is.
    pub item_id: Ulid,
    /// The cart's sequence since.
    pub seq: Seq,
}

/// Why an item is not put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AddError {
    /// There is one of this name.
    #[error("item already exists")]
    AlreadyExists,
    /// There is no room.
    #[error("the cart is full: it holds {ITEMS_MAX} items, take one out first")]
    Full,
}

/// Takes an item out of the cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// Which.
    pub item_id: Ulid,
}

/// An item was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The cart's sequence since.
    pub seq: Seq,
}

/// No such item is in the cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("there is no such item in the cart")]
pub struct NoSuchItem;

impl Handle<Add> for Cart {
    type Reply = Added;
    type Error = AddError;

    fn decide(&self, Add { name }: Add, cx: &mut Cx<Self>) -> Result<Added, AddError> {
        if self.items.values().any(|item| item.name == name) {
            return Err(AddError::AlreadyExists);
        }
        if self.items.len() >= ITEMS_MAX {
            return Err(AddError::Full);
        }
        let item_id = next_id(cx);
        let created_at = cx.now();
        cx.emit(CartEvent::ItemAdded {
            item_id,
            name,
            created_at,
        });
        let seq = cx.seq().next();
        Ok(Added { item_id, seq })
    }
}

impl Handle<Remove> for Cart {
    type Reply = Removed;
    type Error = NoSuchItem;

    fn decide(&self, Remove { item_id }: Remove, cx: &mut Cx<Self>) -> Result<Removed, NoSuchItem> {
        if !self.items.contains_key(&item_id) {
            return Err(NoSuchItem);
        }
        cx.emit(CartEvent::ItemRemoved { item_id });
        let seq = cx.seq().next();
        Ok(Removed { seq })
    }
}

/// A name for the item that this decision adds: by its moment, then by the cart's sequence, so that items sort as they
/// came; then by a hash of the two and the cart, which tells it from those of other carts. All of it comes from the
/// context, since a decision draws no random numbers.
fn next_id(cx: &Cx<Cart>) -> Ulid {
    let millis = u64::try_from(cx.now().as_micros()).unwrap_or(0) / 1_000;
    let seq = cx.seq().get();
    let hash = stable_hash(format!("{} {seq} {}", cx.id(), cx.now().as_micros()).as_bytes());
    Ulid::from_parts(millis, u128::from(seq & 0xffff) << 64 | u128::from(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use griot::core::{Entity, EntityId, Timestamp};

    fn ask<C>(
        cart: &mut Cart,
        seq: u64,
        command: C,
    ) -> Result<<Cart as Handle<C>>::Reply, <Cart as Handle<C>>::Error>
    where
        Cart: Handle<C>,
    {
        let id = EntityId::new("cart", "ann").unwrap();
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let mut cx = Cx::new(id, Seq(seq), now);
        let reply = cart.decide(command, &mut cx)?;
        for event in cx.into_decision().events {
            cart.evolve(&event);
        }
        Ok(reply)
    }

    fn add(cart: &mut Cart, seq: u64, name: &str) -> Result<Added, AddError> {
        let name = name.to_owned();
        ask(cart, seq, Add { name })
    }

    #[test]
    fn items_of_one_moment_sort_as_they_came_and_a_decision_is_the_same_each_time() {
        let mut cart = Cart::default();
        let ids: Vec<_> = ["z", "a", "m"]
            .into_iter()
            .zip(0..)
            .map(|(name, seq)| add(&mut cart, seq, name).unwrap().item_id)
            .collect();
        assert!(ids.is_sorted());
        let names: Vec<_> = cart.items().map(|(_, item)| item.name.as_str()).collect();
        assert_eq!(names, ["z", "a", "m"]);
        assert_eq!(add(&mut Cart::default(), 0, "z").unwrap().item_id, ids[0]);
        assert_eq!(ids[0].timestamp_ms(), 1_700_000_000_000);
    }

    #[test]
    fn a_name_is_in_a_cart_once_and_again_after_it_was_taken_out() {
        let mut cart = Cart::default();
        let first = add(&mut cart, 0, "milk").unwrap();
        assert_eq!(first.seq, Seq(1));
        assert_eq!(add(&mut cart, 1, "milk"), Err(AddError::AlreadyExists));
        assert!(add(&mut cart, 1, "Milk").is_ok());
        let item_id = first.item_id;
        let removed = ask(&mut cart, 2, Remove { item_id }).unwrap();
        assert_eq!(removed.seq, Seq(3));
        assert_eq!(ask(&mut cart, 3, Remove { item_id }), Err(NoSuchItem));
        assert_ne!(add(&mut cart, 3, "milk").unwrap().item_id, item_id);
    }

    #[test]
    fn g10_a_cart_has_room_for_so_many_items() {
        let mut cart = Cart::default();
        for seq in 0..1_000 {
            add(&mut cart, seq, &seq.to_string()).unwrap();
        }
        assert_eq!(add(&mut cart, 1_000, "one more"), Err(AddError::Full));
    }
}
