//! What people get to see of an order, as JSON.

use crate::order::{Order, OrderState};
use griot::core::{Seq, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A whole order. What is not known yet is null.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OrderView {
    id: String,
    state: OrderState,
    /// When it was placed, RFC 3339.
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    /// How many events it rests on.
    seq: u64,
    customer: PartyView,
    merchant: PartyView,
    items: Vec<ItemView>,
    /// In minor units, like all money here.
    subtotal: Option<i64>,
    discount: Option<i64>,
    total: Option<i64>,
    promo: Option<String>,
    /// The invoice's id.
    invoice: Option<String>,
    /// The payment's id.
    payment: Option<String>,
    /// Why it is rejected, cancelled or needs attention.
    reason: Option<String>,
}

/// A customer or a merchant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PartyView {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
}

/// A line of an order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ItemView {
    id: String,
    name: Option<String>,
    qty: u32,
    /// Of one, in minor units.
    price: Option<i64>,
}

impl OrderView {
    /// Its state.
    pub(crate) fn state(&self) -> OrderState {
        self.state
    }

    /// The order `id` as `order` says, whose last event is `seq`; none before it was placed.
    pub(crate) fn of(id: &str, order: &Order, seq: Seq) -> Option<Self> {
        let placed = order.placed.as_ref()?;
        let request = &placed.request;
        let items = request.items.iter().map(|item| {
            let product = order.products.get(&item.id);
            ItemView {
                id: item.id.clone(),
                name: product.map(|product| product.name.clone()),
                qty: item.qty,
                price: product.map(|product| product.price),
            }
        });
        Some(Self {
            id: id.to_owned(),
            state: order.progress.state()?,
            placed_at: placed.placed_at,
            seq: seq.get(),
            customer: PartyView {
                id: request.customer.clone(),
                name: order.customer.clone(),
            },
            merchant: PartyView {
                id: request.merchant.clone(),
                name: order.merchant.clone(),
            },
            items: items.collect(),
            subtotal: order.amounts.map(|amounts| amounts.subtotal),
            discount: order.amounts.map(|amounts| amounts.discount),
            total: order.amounts.map(|amounts| amounts.total),
            promo: request.promo.clone(),
            invoice: order.invoice.clone(),
            payment: order.payment.clone(),
            reason: order.progress.reason().map(str::to_owned),
        })
    }
}

/// What a placed order is answered with at once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Accepted {
    pub(crate) id: String,
    pub(crate) state: OrderState,
}

/// An order in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SummaryView {
    pub(crate) id: String,
    pub(crate) state: OrderState,
    /// When it was placed, RFC 3339.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) placed_at: Timestamp,
    /// How many events it rests on.
    pub(crate) seq: u64,
    pub(crate) customer: PartyView,
    pub(crate) merchant: PartyView,
    /// In minor units.
    pub(crate) total: Option<i64>,
}
