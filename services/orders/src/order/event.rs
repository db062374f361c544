//! What can happen to an order.

use super::{Amounts, OrderRequest, Step};
use crate::backends::wire::{Audience, Notice};
use griot::core::{Event, Timestamp};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{LineItem, Order};
    use griot::core::codec::{decode_event, encode_event};
    use griot_testkit::{EventsLock, refold};

    #[test]
    fn no_stored_shape_changes_without_a_new_version_and_all_of_the_past_is_read() {
        let samples = golden().into_iter().map(|(event, _)| event);
        EventsLock::at(concat!(env!("CARGO_MANIFEST_DIR"), "/events.lock")).check::<Order>(samples);
    }

    #[test]
    fn recorded_orders_come_to_what_they_came_to() {
        refold::<Order>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/streams"));
    }

    /// What is stored today must be readable for ever, and people read it in histories.
    #[test]
    fn the_stored_form_of_each_event_never_changes() {
        for (event, stored) in golden() {
            let (name, payload) = encode_event(&event).unwrap();
            assert_eq!(
                format!("{name} {}", std::str::from_utf8(&payload).unwrap()),
                stored
            );
            assert_eq!(decode_event::<OrderEvent>(name, &payload).unwrap(), event);
        }
    }

    fn placed(promo: Option<String>) -> OrderEvent {
        let items = vec![LineItem {
            id: "IT-001".into(),
            qty: 2,
        }];
        OrderEvent::OrderPlaced(Placed {
            placed_at: Timestamp::from_micros(1_000_000),
            request: OrderRequest {
                customer: "CUST-001".into(),
                merchant: "MRCN-001".into(),
                payment: "CARD-001".into(),
                items,
                promo,
            },
        })
    }

    /// Events of each kind, as they are stored.
    fn golden() -> impl IntoIterator<Item = (OrderEvent, &'static str)> {
        let text = || "x".to_owned();
        let amounts = Amounts {
            subtotal: 3,
            discount: 1,
            total: 2,
        };
        let tell = Step::Tell(Audience::Merchant, Notice::OrderPlaced);
        [
            (
                placed(None),
                r#"OrderPlaced {"placed_at":"1970-01-01T00:00:01.000000Z","customer":"CUST-001","merchant":"MRCN-001","payment":"CARD-001","items":[{"id":"IT-001","qty":2}],"promo":null}"#,
            ),
            (
                placed(Some("PROM-001".into())),
                r#"OrderPlaced {"placed_at":"1970-01-01T00:00:01.000000Z","customer":"CUST-001","merchant":"MRCN-001","payment":"CARD-001","items":[{"id":"IT-001","qty":2}],"promo":"PROM-001"}"#,
            ),
            (
                OrderEvent::CustomerFetched { name: text() },
                r#"CustomerFetched {"name":"x"}"#,
            ),
            (
                OrderEvent::MerchantFetched { name: text() },
                r#"MerchantFetched {"name":"x"}"#,
            ),
            (
                OrderEvent::PromotionFetched { percentage: 9 },
                r#"PromotionFetched {"percentage":9}"#,
            ),
            (
                OrderEvent::ProductFetched {
                    id: "i".into(),
                    name: text(),
                    price: 5,
                },
                r#"ProductFetched {"id":"i","name":"x","price":5}"#,
            ),
            (
                OrderEvent::OrderPriced(amounts),
                r#"OrderPriced {"subtotal":3,"discount":1,"total":2}"#,
            ),
            (
                OrderEvent::InvoiceIssued { invoice: text() },
                r#"InvoiceIssued {"invoice":"x"}"#,
            ),
            (
                OrderEvent::OrderPaid { payment: text() },
                r#"OrderPaid {"payment":"x"}"#,
            ),
            (
                OrderEvent::PartyNotified {
                    to: Audience::Customer,
                    kind: Notice::PaymentReceived,
                },
                r#"PartyNotified {"to":"customer","kind":"payment_received"}"#,
            ),
            (OrderEvent::OrderCompleted {}, "OrderCompleted {}"),
            (
                OrderEvent::OrderRejected { reason: text() },
                r#"OrderRejected {"reason":"x"}"#,
            ),
            (
                OrderEvent::OrderCancelled { reason: text() },
                r#"OrderCancelled {"reason":"x"}"#,
            ),
            (OrderEvent::InvoiceVoided {}, "InvoiceVoided {}"),
            (
                OrderEvent::StepFailed {
                    step: tell,
                    reason: text(),
                },
                r#"StepFailed {"step":{"tell":["merchant","order_placed"]},"reason":"x"}"#,
            ),
            (
                OrderEvent::StepFailed {
                    step: Step::Product("i".into()),
                    reason: text(),
                },
                r#"StepFailed {"step":{"product":"i"},"reason":"x"}"#,
            ),
            (
                OrderEvent::StepFailed {
                    step: Step::Invoice,
                    reason: text(),
                },
                r#"StepFailed {"step":"invoice","reason":"x"}"#,
            ),
            (OrderEvent::OrderResumed {}, "OrderResumed {}"),
        ]
    }
}
