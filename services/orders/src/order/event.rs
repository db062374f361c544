//! What can happen to an order.

use super::{Amounts, OrderRequest, Step};
use crate::backends::wire::{Audience, Notice};
use griot_core::{Event, Timestamp};
use serde::{Deserialize, Serialize};

/// What happened to an order. The names are part of its history, which people and programs read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderEvent {
    /// Somebody ordered something.
    OrderPlaced(Placed),
    /// The customer is known.
    CustomerFetched {
        /// The customer's name.
        name: String,
    },
    /// The merchant is known.
    MerchantFetched {
        /// The merchant's name.
        name: String,
    },
    /// The promotion is known.
    PromotionFetched {
        /// The percentage it takes off.
        percentage: u8,
    },
    /// A product is known.
    ProductFetched {
        /// Which.
        id: String,
        /// What it is called.
        name: String,
        /// What one of it costs, in minor units.
        price: i64,
    },
    /// All is known, and what it costs.
    OrderPriced(Amounts),
    /// There is an invoice.
    InvoiceIssued {
        /// Its id.
        invoice: String,
    },
    /// The invoice is paid.
    OrderPaid {
        /// The payment's id.
        payment: String,
    },
    /// Somebody has been told.
    PartyNotified {
        /// Who.
        to: Audience,
        /// What about.
        kind: Notice,
    },
    /// Everything is done.
    OrderCompleted {},
    /// The order cannot be: something it names does not exist, or it costs too much to count.
    OrderRejected {
        /// Why.
        reason: String,
    },
    /// The order will not be fulfilled.
    OrderCancelled {
        /// Why.
        reason: String,
    },
    /// Nobody has to pay the invoice any more.
    InvoiceVoided {},
    /// A step ended without an outcome and needs attention.
    StepFailed {
        /// Which.
        step: Step,
        /// Why.
        reason: String,
    },
    /// The failed steps were begun again.
    OrderResumed {},
}

/// What was ordered, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// When.
    pub placed_at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub request: OrderRequest,
}

impl Event for OrderEvent {}
