//! What a list says of an order, and how it follows the order's events. Pure.

use crate::order::{OrderEvent, OrderState, Placed, Progress};
use griot::core::{Seq, Timestamp};

/// What a list says of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) id: String,
    pub(crate) placed_at: Timestamp,
    pub(crate) seq: Seq,
    pub(crate) customer: (String, Option<String>),
    pub(crate) merchant: (String, Option<String>),
    pub(crate) total: Option<i64>,
    /// How far it is, from which its state follows.
    pub(crate) progress: Progress,
}

impl Summary {
    /// Of an order that was placed; that it was has still to be [applied](Summary::apply).
    pub(crate) fn of(id: &str, placed: &Placed) -> Self {
        Self {
            id: id.to_owned(),
            placed_at: placed.placed_at,
            seq: Seq::ZERO,
            customer: (placed.request.customer.clone(), None),
            merchant: (placed.request.merchant.clone(), None),
            total: None,
            progress: Progress::default(),
        }
    }

    /// Takes in what happened.
    pub(crate) fn apply(&mut self, seq: Seq, event: &OrderEvent) {
        self.seq = seq;
        self.progress.evolve(event);
        match event {
            OrderEvent::CustomerFetched { name } => self.customer.1 = Some(name.clone()),
            OrderEvent::MerchantFetched { name } => self.merchant.1 = Some(name.clone()),
            OrderEvent::OrderPriced(amounts) => self.total = Some(amounts.total),
            _ => {}
        }
    }

    /// Its state.
    pub(crate) fn state(&self) -> OrderState {
        self.progress.state().unwrap_or(OrderState::Placed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Amounts, LineItem, OrderRequest, Step};

    #[test]
    fn a_summary_follows_its_order() {
        let items = vec![LineItem {
            id: "I".into(),
            qty: 1,
        }];
        let placed = Placed {
            placed_at: Timestamp::from_micros(7),
            request: OrderRequest {
                customer: "C".into(),
                merchant: "M".into(),
                payment: "P".into(),
                items,
                promo: None,
            },
        };
        let mut summary = Summary::of("1", &placed);
        let amounts = Amounts {
            subtotal: 3,
            discount: 1,
            total: 2,
        };
        let stuck = OrderEvent::StepFailed {
            step: Step::Invoice,
            reason: "x".into(),
        };
        let events = [
            OrderEvent::OrderPlaced(placed),
            OrderEvent::CustomerFetched { name: "Ada".into() },
            OrderEvent::OrderPriced(amounts),
            stuck,
        ];
        let states = [
            OrderState::Placed,
            OrderState::Placed,
            OrderState::Priced,
            OrderState::NeedsAttention,
        ];
        for ((event, state), seq) in events.iter().zip(states).zip(1..) {
            summary.apply(Seq(seq), event);
            assert_eq!(summary.state(), state);
        }
        assert_eq!((summary.seq, summary.total), (Seq(4), Some(2)));
        assert_eq!(summary.customer, ("C".into(), Some("Ada".into())));
        assert_eq!(summary.merchant, ("M".into(), None));
    }
}
