//! What people get to see of carts, as JSON.

use crate::cart::{Added, Cart};
use crate::items::{Listed, Page};
use griot::core::{Seq, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to put into a cart.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub(crate) struct NewItem {
    /// No other item in the cart has it.
    #[schema(example = "milk", min_length = 1, max_length = 255)]
    pub(crate) name: String,
}

/// What was put into a cart.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AddedView {
    /// A ULID: items sort by when they were added.
    #[schema(example = "01KAM5Y3T80001R7MM3CCGJ7HP")]
    item_id: String,
    /// How many events the cart has now: `GET /items?wait_for={cart}:{seq}` shows it.
    seq: u64,
}

impl AddedView {
    pub(crate) fn of(added: Added) -> Self {
        Self {
            item_id: added.item_id.to_string(),
            seq: added.seq.get(),
        }
    }
}

/// A cart.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CartView {
    cart: String,
    /// How many events it rests on.
    seq: u64,
    /// What is in it, by when it was added.
    items: Vec<ItemView>,
}

/// An item in a cart.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ItemView {
    item_id: String,
    name: String,
    /// When it was added, RFC 3339.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl CartView {
    /// A cart whose last event is `seq`; `None` for one that nothing ever happened to.
    pub(crate) fn of(id: &str, cart: &Cart, seq: Seq) -> Option<Self> {
        let items = cart.items().map(|(item_id, item)| ItemView {
            item_id: item_id.to_string(),
            name: item.name.clone(),
            created_at: item.created_at,
        });
        (seq > Seq::ZERO).then(|| Self {
            cart: id.to_owned(),
            seq: seq.get(),
            items: items.collect(),
        })
    }
}

/// Where something is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Href {
    pub(crate) href: String,
}

/// Items of all carts, as HAL.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ItemsView {
    #[serde(rename = "_links")]
    pub(crate) links: ItemsLinks,
    /// How many are here.
    count: usize,
    /// How many there are in all.
    total: u64,
    #[serde(rename = "_embedded")]
    embedded: Embedded,
}

/// Where a page of items is, and where the next one is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ItemsLinks {
    #[serde(rename = "self")]
    pub(crate) this: Href,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Href>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct Embedded {
    items: Vec<ListedView>,
}

/// An item of some cart.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ListedView {
    id: String,
    cart: String,
    name: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(rename = "_links")]
    links: ListedLinks,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct ListedLinks {
    cart: Href,
}

impl ItemsView {
    pub(crate) fn of(page: Page, links: ItemsLinks) -> Self {
        let items: Vec<_> = page.items.into_iter().map(ListedView::of).collect();
        Self {
            links,
            count: items.len(),
            total: page.total,
            embedded: Embedded { items },
        }
    }
}

impl ListedView {
    fn of(item: Listed) -> Self {
        let cart = Href {
            href: super::list::path_of_cart(&item.cart),
        };
        Self {
            id: item.id,
            cart: item.cart,
            name: item.name,
            created_at: item.created_at,
            links: ListedLinks { cart },
        }
    }
}
