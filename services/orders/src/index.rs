//! The list of orders: which there are, newest first, found by state, customer and merchant. It
//! is kept in memory and built from the journal, so it may be thrown away at any time.

use crate::order::{OrderEvent, OrderState, Placed, Progress};
use griot::core::{Seq, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use uuid::Uuid;

/// How many orders are listed. Beyond it, the ones that ended first are left out; they can still
/// be asked for by id.
const ORDERS_MAX: usize = 200_000;

/// When an order was placed, and its id where several were at once: orders that are placed
/// concurrently may stand in the journal in another order.
type Age = (Timestamp, Uuid);

/// The orders, by their age.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_age: BTreeMap<Age, Summary>,
    by_id: HashMap<Uuid, Age>,
    /// Those that have ended, in the order in which they did.
    ended: VecDeque<Age>,
}

/// What a list says of an order.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) id: Uuid,
    pub(crate) state: OrderState,
    pub(crate) placed_at: Timestamp,
    pub(crate) seq: Seq,
    pub(crate) customer: (String, Option<String>),
    pub(crate) merchant: (String, Option<String>),
    pub(crate) total: Option<i64>,
    progress: Progress,
}

/// Which orders to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) state: Option<OrderState>,
    pub(crate) customer: Option<String>,
    pub(crate) merchant: Option<String>,
    /// Only those older than this one.
    pub(crate) after: Option<Uuid>,
    pub(crate) limit: usize,
}

/// The order that a list should go on after is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownAfter;

impl Index {
    /// Takes in what happened to the order `id`.
    pub(crate) fn apply(&mut self, id: Uuid, seq: Seq, event: &OrderEvent) {
        if let OrderEvent::OrderPlaced(placed) = event {
            let age = (placed.placed_at, id);
            self.by_id.insert(id, age);
            self.by_age.insert(age, Summary::of(id, placed));
        }
        // One that is listed no more changes no more, either.
        let Some(age) = self.by_id.get(&id) else {
            return;
        };
        let Some(summary) = self.by_age.get_mut(age) else {
            return;
        };
        let had_ended = summary.has_ended();
        summary.apply(seq, event);
        if summary.has_ended() && !had_ended {
            self.ended.push_back(*age);
        }
        self.forget_ended();
    }

    /// Forgets orders that ended first. Where more than twice as many are under way, as while a
    /// backend is down for long, the oldest of those go as well; they stay readable by id.
    fn forget_ended(&mut self) {
        while self.by_age.len() > 2 * ORDERS_MAX
            && let Some((_, summary)) = self.by_age.pop_first()
        {
            self.by_id.remove(&summary.id);
        }
        while self.by_age.len() > ORDERS_MAX
            && let Some(age) = self.ended.pop_front()
        {
            // One that needed attention after all stays listed until it ends again.
            if self.by_age.get(&age).is_some_and(Summary::has_ended)
                && let Some(summary) = self.by_age.remove(&age)
            {
                self.by_id.remove(&summary.id);
            }
        }
    }

    /// Those that `query` asks for, newest first.
    pub(crate) fn list(&self, query: &Query) -> Result<Vec<Summary>, UnknownAfter> {
        let before = match query.after {
            Some(id) => Bound::Excluded(*self.by_id.get(&id).ok_or(UnknownAfter)?),
            None => Bound::Unbounded,
        };
        let older = self
            .by_age
            .range((Bound::Unbounded, before))
            .rev()
            .map(|(_, summary)| summary);
        Ok(older
            .filter(|summary| query.admits(summary))
            .take(query.limit)
            .cloned()
            .collect())
    }
}

impl Query {
    fn admits(&self, summary: &Summary) -> bool {
        self.state.is_none_or(|state| summary.state == state)
            && self
                .customer
                .as_ref()
                .is_none_or(|id| summary.customer.0 == *id)
            && self
                .merchant
                .as_ref()
                .is_none_or(|id| summary.merchant.0 == *id)
    }
}

impl Summary {
    fn of(id: Uuid, placed: &Placed) -> Self {
        Self {
            id,
            state: OrderState::Placed,
            placed_at: placed.placed_at,
            seq: Seq::ZERO,
            customer: (placed.request.customer.clone(), None),
            merchant: (placed.request.merchant.clone(), None),
            total: None,
            progress: Progress::default(),
        }
    }

    fn apply(&mut self, seq: Seq, event: &OrderEvent) {
        self.seq = seq;
        self.progress.evolve(event);
        self.state = self.progress.state().unwrap_or(self.state);
        match event {
            OrderEvent::CustomerFetched { name } => self.customer.1 = Some(name.clone()),
            OrderEvent::MerchantFetched { name } => self.merchant.1 = Some(name.clone()),
            OrderEvent::OrderPriced(amounts) => self.total = Some(amounts.total),
            _ => {}
        }
    }

    fn has_ended(&self) -> bool {
        matches!(
            self.state,
            OrderState::Completed | OrderState::Rejected | OrderState::Cancelled
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Amounts, LineItem, OrderRequest, Step};

    fn id(n: u64) -> Uuid {
        Uuid::from_u64_pair(0, n)
    }

    fn placed(at: u64, customer: &str) -> OrderEvent {
        let request = OrderRequest {
            customer: customer.into(),
            merchant: "M".into(),
            payment: "P".into(),
            items: vec![LineItem {
                id: "I".into(),
                qty: 1,
            }],
            promo: None,
        };
        OrderEvent::OrderPlaced(Placed {
            placed_at: Timestamp::from_micros(i64::try_from(at).unwrap()),
            request,
        })
    }

    fn stuck() -> OrderEvent {
        OrderEvent::StepFailed {
            step: Step::Invoice,
            reason: "x".into(),
        }
    }

    /// Orders 1, 2, 3, … of customers A, B, A, B, …
    fn index(orders: u64) -> Index {
        let mut index = Index::default();
        for n in 1..=orders {
            let customer = if n % 2 == 1 { "A" } else { "B" };
            index.apply(id(n), Seq(1), &placed(n, customer));
        }
        index
    }

    fn listed(index: &Index, query: &Query) -> Vec<u64> {
        let orders = index.list(query).unwrap();
        orders
            .into_iter()
            .map(|summary| summary.id.as_u64_pair().1)
            .collect()
    }

    fn all() -> Query {
        Query {
            limit: 10,
            ..Query::default()
        }
    }

    #[test]
    fn orders_are_listed_newest_first_and_page_by_page() {
        let index = index(5);
        assert_eq!(listed(&index, &all()), [5, 4, 3, 2, 1]);
        assert_eq!(listed(&index, &Query { limit: 2, ..all() }), [5, 4]);
        assert_eq!(
            listed(
                &index,
                &Query {
                    limit: 2,
                    after: Some(id(4)),
                    ..all()
                }
            ),
            [3, 2]
        );
        assert_eq!(
            listed(
                &index,
                &Query {
                    after: Some(id(1)),
                    ..all()
                }
            ),
            [0; 0]
        );
        assert!(
            index
                .list(&Query {
                    after: Some(id(9)),
                    ..all()
                })
                .is_err()
        );
    }

    #[test]
    fn orders_are_listed_by_when_they_were_placed_and_then_by_id_however_they_were_recorded() {
        let mut index = Index::default();
        for (n, at) in [(3, 7), (1, 7), (4, 5), (2, 7), (5, 9)] {
            index.apply(id(n), Seq(1), &placed(at, "A"));
        }
        assert_eq!(listed(&index, &all()), [5, 3, 2, 1, 4]);
        let after = |n| Query {
            after: Some(id(n)),
            ..all()
        };
        assert_eq!(listed(&index, &after(2)), [1, 4]);
    }

    #[test]
    fn orders_are_found_by_state_customer_and_merchant() {
        let mut index = index(4);
        index.apply(id(3), Seq(2), &OrderEvent::OrderCompleted {});
        let completed = Some(OrderState::Completed);
        assert_eq!(
            listed(
                &index,
                &Query {
                    state: completed,
                    ..all()
                }
            ),
            [3]
        );
        assert_eq!(
            listed(
                &index,
                &Query {
                    customer: Some("A".into()),
                    ..all()
                }
            ),
            [3, 1]
        );
        assert_eq!(
            listed(
                &index,
                &Query {
                    merchant: Some("M".into()),
                    ..all()
                }
            )
            .len(),
            4
        );
        let both = Query {
            state: completed,
            customer: Some("B".into()),
            ..all()
        };
        assert_eq!(listed(&index, &both), [0; 0]);
    }

    #[test]
    fn a_summary_follows_its_order() {
        let mut index = index(1);
        let amounts = Amounts {
            subtotal: 3,
            discount: 1,
            total: 2,
        };
        index.apply(
            id(1),
            Seq(2),
            &OrderEvent::CustomerFetched { name: "Ada".into() },
        );
        index.apply(id(1), Seq(3), &OrderEvent::OrderPriced(amounts));
        index.apply(id(1), Seq(4), &stuck());
        let summary = &index.list(&all()).unwrap()[0];
        assert_eq!((summary.seq, summary.total), (Seq(4), Some(2)));
        assert_eq!(summary.state, OrderState::NeedsAttention);
        assert_eq!(summary.customer, ("A".into(), Some("Ada".into())));
    }

    #[test]
    fn the_list_is_bounded_and_leaves_out_those_that_ended_first() {
        let beyond = u64::try_from(ORDERS_MAX).unwrap();
        let mut index = index(beyond);
        let done = OrderEvent::OrderCompleted {};
        index.apply(id(7), Seq(2), &done);
        index.apply(id(2), Seq(2), &done);
        for n in beyond + 1..=beyond + 3 {
            index.apply(id(n), Seq(1), &placed(n, "A"));
        }
        assert_eq!(index.by_age.len(), ORDERS_MAX + 1);
        let listed = |n| index.by_id.contains_key(&id(n));
        assert!(!listed(7) && !listed(2) && listed(1) && listed(beyond + 3));
    }
}
