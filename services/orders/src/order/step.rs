//! The steps of an order: each is one request to one backend, and runs to its end once.

use crate::backends::wire::{Audience, Notice};
use griot::core::EntityId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One request to one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Look up the customer.
    Customer,
    /// Look up the merchant.
    Merchant,
    /// Look up the promotion.
    Promotion,
    /// Look up this product.
    Product(String),
    /// Create the invoice.
    Invoice,
    /// Pay the invoice.
    Payment,
    /// Make the invoice void.
    Void,
    /// Tell one of the two.
    Tell(Audience, Notice),
}

impl Step {
    /// The `Idempotency-Key` of this step of this order: the same at every retry, after every
    /// restart and when the order is resumed.
    pub fn key(&self, order: &EntityId) -> String {
        format!("{}/{self}", order.id())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer => formatter.write_str("customer"),
            Self::Merchant => formatter.write_str("merchant"),
            Self::Promotion => formatter.write_str("promotion"),
            Self::Product(id) => write!(formatter, "product/{id}"),
            Self::Invoice => formatter.write_str("invoice"),
            Self::Payment => formatter.write_str("payment"),
            Self::Void => formatter.write_str("void"),
            Self::Tell(to, notice) => write!(formatter, "{}/{}", to.name(), notice.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_the_steps_never_change() {
        let order = EntityId::new("order", "1-2").unwrap();
        let keys = [
            (Step::Invoice, "1-2/invoice"),
            (Step::Payment, "1-2/payment"),
            (Step::Void, "1-2/void"),
            (
                Step::Tell(Audience::Merchant, Notice::OrderPlaced),
                "1-2/merchant/order_placed",
            ),
            (
                Step::Tell(Audience::Customer, Notice::InvoiceIssued),
                "1-2/customer/invoice_issued",
            ),
            (
                Step::Tell(Audience::Merchant, Notice::PaymentReceived),
                "1-2/merchant/payment_received",
            ),
            (
                Step::Tell(Audience::Customer, Notice::PaymentReceived),
                "1-2/customer/payment_received",
            ),
            (
                Step::Tell(Audience::Customer, Notice::OrderCancelled),
                "1-2/customer/order_cancelled",
            ),
        ];
        for (step, key) in keys {
            assert_eq!(step.key(&order), key);
        }
    }
}
