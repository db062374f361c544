//! Whether what the service says and what the backends' books say is right, to the last unit of money.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::backends::{Backends, Books};
use crate::ordering::{Acknowledged, Customer, end_of};
use crate::process::until;

/// The parts of a completed order that the books must show, each once.
const STEPS_COMPLETED: [&str; 6] = [
    "invoice",
    "payment",
    "merchant order_placed",
    "customer invoice_issued",
    "merchant payment_received",
    "customer payment_received",
];

/// The parts of an order whose payment was declined, likewise.
const STEPS_CANCELLED: [&str; 5] = [
    "invoice",
    "void",
    "merchant order_placed",
    "customer invoice_issued",
    "customer order_cancelled",
];

/// How many of those parts are notifications.
const TOLD_CANCELLED: usize = 3;

/// How the orders ended.
pub(crate) struct Ends {
    /// Each order as the service shows it.
    pub(crate) orders: Vec<Value>,
    counts: BTreeMap<String, usize>,
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.counts.fmt(f)
    }
}

/// Prices and percentages as the backends give them, each asked for once.
struct Prices<'a> {
    backends: &'a Backends,
    known: Mutex<BTreeMap<String, i64>>,
}

#[derive(Deserialize)]
struct Priced {
    price: i64,
}

#[derive(Deserialize)]
struct Discounted {
    discount: i64,
}

impl Prices<'_> {
    async fn of(&self, id: &str) -> i64 {
        if let Some(price) = self.known.lock().await.get(id) {
            return *price;
        }
        let price = if id.starts_with("PROM") {
            self.backends
                .get::<Discounted>(&format!("/promotions/{id}"))
                .await
                .discount
        } else {
            self.backends
                .get::<Priced>(&format!("/products/{id}"))
                .await
                .price
        };
        self.known.lock().await.insert(id.to_owned(), price);
        price
    }
}

/// Waits until every acknowledged order has ended, and checks its state, amounts and history.
pub(crate) async fn orders(
    customer: &Customer,
    backends: &Backends,
    acknowledged: &[Acknowledged],
) -> Ends {
    let prices = Arc::new(Prices {
        backends,
        known: Mutex::default(),
    });
    let mut ends = Ends {
        orders: Vec::new(),
        counts: BTreeMap::new(),
    };
    for placed in acknowledged {
        let order = customer.ended(&placed.id).await;
        let state = order["state"].as_str().unwrap_or_default().to_owned();
        assert_eq!(state, end_of(&placed.body), "{placed:?} ended as {order}");
        if state != "rejected" {
            amounts(&order, &placed.body, &prices).await;
        }
        let history = settled(customer, &placed.id, &state).await;
        // What was still to be told after a cancellation came after the first look at the order.
        let order = customer.get(&format!("/orders/{}", placed.id)).await;
        self::history(&order, &history);
        *ends.counts.entry(state).or_default() += 1;
        ends.orders.push(order);
    }
    ends
}

/// The history of an order once nothing more will happen to it: a cancelled order is final, but its
/// invoice is still made void and the customer told.
async fn settled(customer: &Customer, id: &str, state: &str) -> Vec<Value> {
    until("nothing more happens to the order", async || {
        let history = customer.get(&format!("/orders/{id}/history")).await;
        let history = history.as_array().expect("an array").clone();
        let voided = history
            .iter()
            .any(|event| event["event"] == "InvoiceVoided");
        let told = history
            .iter()
            .filter(|event| event["event"] == "PartyNotified")
            .count();
        (state != "cancelled" || (voided && told == TOLD_CANCELLED)).then_some(history)
    })
    .await
}

/// Computes the order anew from what was asked for and what the backends charge.
async fn amounts(order: &Value, body: &Value, prices: &Prices<'_>) {
    let mut subtotal = 0;
    let items = body["items"].as_array().expect("items");
    for (asked, shown) in items.iter().zip(order["items"].as_array().expect("items")) {
        let price = prices.of(asked["id"].as_str().expect("an id")).await;
        assert_eq!(shown["price"], price, "{order}");
        assert_eq!(shown["qty"], asked["qty"], "{order}");
        subtotal += price * asked["qty"].as_i64().expect("a quantity");
    }
    let percentage = match body["promo"].as_str() {
        Some(promo) => prices.of(promo).await,
        None => 0,
    };
    let discount = subtotal * percentage / 100;
    assert_eq!(order["subtotal"], subtotal, "{order}");
    assert_eq!(order["discount"], discount, "{order}");
    assert_eq!(order["total"], subtotal - discount, "{order}");
}

/// A history has no gap, no repeat, goes forward in time, and tells each thing once and in order.
fn history(order: &Value, history: &[Value]) {
    let seqs: Vec<u64> = history
        .iter()
        .map(|event| event["seq"].as_u64().expect("seq"))
        .collect();
    let expected: Vec<u64> = (1..).take(history.len()).collect();
    assert_eq!(seqs, expected, "{order} {history:?}");
    assert_eq!(order["seq"], history.len(), "{order} {history:?}");
    let times: Vec<jiff::Timestamp> = history
        .iter()
        .map(|event| event["at"].as_str().expect("at").parse().expect("a time"))
        .collect();
    assert!(times.is_sorted(), "time goes back in {history:?}");

    let place = |name: &str| history.iter().position(|event| event["event"] == name);
    assert_eq!(place("OrderPlaced"), Some(0), "{history:?}");
    let milestones: &[&str] = match order["state"].as_str() {
        Some("completed") => &[
            "OrderPlaced",
            "OrderPriced",
            "InvoiceIssued",
            "OrderPaid",
            "OrderCompleted",
        ],
        Some("cancelled") => &[
            "OrderPlaced",
            "OrderPriced",
            "InvoiceIssued",
            "OrderCancelled",
        ],
        _ => &["OrderPlaced", "OrderRejected"],
    };
    let places: Vec<usize> = milestones
        .iter()
        .map(|name| place(name).unwrap_or_else(|| panic!("no {name} in {history:?}")))
        .collect();
    assert!(places.is_sorted(), "out of order: {history:?}");
    for name in milestones {
        let told = history
            .iter()
            .filter(|event| event["event"] == **name)
            .count();
        assert_eq!(told, 1, "{name} is told {told} times in {history:?}");
    }
}

/// The same key with the same body has the same answer, and with another body none.
pub(crate) async fn same_key_same_answer(customer: &Customer, acknowledged: &[Acknowledged]) {
    for (number, placed) in acknowledged.iter().enumerate() {
        let (status, answer) = customer
            .send(&placed.key, &placed.body, None)
            .await
            .expect("an answer");
        assert!(status.is_success(), "{status} {answer}");
        assert_eq!(answer["id"], placed.id, "{placed:?}");
        if number % 8 == 0 {
            let mut another = placed.body.clone();
            another["payment"] = "CARD-ANOTHER".into();
            let (status, answer) = customer
                .send(&placed.key, &another, None)
                .await
                .expect("an answer");
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        }
    }
}

/// Checks that the books show each step of each order once, whatever it was asked under, and that no
/// money moved but what the orders say; gives how many steps were asked for more than once.
pub(crate) async fn books(backends: &Backends, orders: &[Value]) -> usize {
    let books: Books = backends.get("/books").await;
    assert_eq!(
        books.forgotten, 0,
        "the books are not complete, so they show nothing"
    );
    let mut effects: BTreeMap<(&str, &str), (u64, Option<i64>)> = BTreeMap::new();
    for (key, page) in &books.keys {
        assert_eq!(page.conflicts, 0, "two requests under {key}: {page:?}");
        // By what it is about, not by key: two keys for one step would be two effects as well.
        let entry = effects.entry((&page.subject, &page.what)).or_default();
        entry.0 += page.effects;
        entry.1 = page.amount;
        assert!(entry.0 <= 1, "done twice, under {key}: {page:?}");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for order in orders {
        let (id, invoice) = (text(&order["id"]), text(&order["invoice"]));
        let about = |what: &str| {
            if matches!(what, "payment" | "void") {
                invoice.clone()
            } else {
                id.clone()
            }
        };
        let done = |what: &str| {
            effects
                .get(&(about(what).as_str(), what))
                .copied()
                .unwrap_or_default()
        };
        let expected: &[&str] = match order["state"].as_str() {
            Some("completed") => &STEPS_COMPLETED,
            Some("cancelled") => &STEPS_CANCELLED,
            _ => &[],
        };
        for step in expected {
            assert_eq!(done(step).0, 1, "{step} of {order}");
        }
        if order["state"] == "completed" {
            assert_eq!(done("payment").1, order["total"].as_i64(), "{order}");
            assert_eq!(done("void").0, 0, "a paid invoice was voided: {order}");
        } else {
            assert_eq!(done("payment").0, 0, "paid, but not completed: {order}");
        }
    }
    books.keys.values().filter(|page| page.asked > 1).count()
}
