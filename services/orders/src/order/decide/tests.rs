//! Given these events, when this command: then those events and effects. And for every order in
//! which backends can answer, fail and be interrupted: nothing is done twice, and it ends.

use super::*;
use crate::order::call::{FetchCustomer, Fetched};
use crate::order::{LineItem, OrderState};
use griot::core::{Call, Effect, EffectId, EntityId, Seq, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn request() -> OrderRequest {
    OrderRequest {
        customer: "CUST-001".into(),
        merchant: "MRCN-001".into(),
        payment: "CARD-001".into(),
        items: vec![
            LineItem {
                id: "IT-001".into(),
                qty: 1,
            },
            LineItem {
                id: "IT-002".into(),
                qty: 2,
            },
            LineItem {
                id: "IT-001".into(),
                qty: 3,
            },
        ],
        promo: Some("PROM-001".into()),
    }
}

fn cx() -> Cx<Order> {
    let id = EntityId::new("order", "o-1").unwrap();
    Cx::new(id, Seq::ZERO, Timestamp::from_micros(0))
}

fn given(events: &[OrderEvent]) -> Order {
    let mut order = Order::default();
    for event in events {
        order.evolve(event);
    }
    order
}

/// The names of the calls, and the events.
fn then(cx: Cx<Order>) -> (Vec<String>, Vec<OrderEvent>) {
    let decision = cx.into_decision();
    assert!(decision.failure.is_none());
    (
        decision
            .effects
            .iter()
            .map(|effect| effect.name().to_owned())
            .collect(),
        decision.events,
    )
}

fn when<C>(order: &Order, command: C) -> (Vec<String>, Vec<OrderEvent>)
where
    Order: Handle<C>,
    <Order as Handle<C>>::Error: std::fmt::Debug,
{
    let mut cx = cx();
    order.decide(command, &mut cx).unwrap();
    then(cx)
}

fn rejected<C>(order: &Order, command: C) -> <Order as Handle<C>>::Error
where
    Order: Handle<C>,
    <Order as Handle<C>>::Reply: std::fmt::Debug,
{
    order.decide(command, &mut cx()).map(|_| ()).unwrap_err()
}

fn outcome<C: Call>(call: C, result: Result<C::Output, CallFailed>) -> Outcome<C> {
    Outcome {
        call,
        effect: EffectId { seq: Seq(1), n: 0 },
        result,
    }
}

fn gave_up() -> CallFailed {
    CallFailed::GaveUp {
        reason: "no answer".into(),
        attempts: 7,
    }
}

fn placed() -> OrderEvent {
    OrderEvent::OrderPlaced(Placed {
        placed_at: Timestamp::from_micros(0),
        request: request(),
    })
}

fn fetched() -> Vec<OrderEvent> {
    vec![
        placed(),
        OrderEvent::CustomerFetched { name: "Ada".into() },
        OrderEvent::MerchantFetched {
            name: "Shop".into(),
        },
        OrderEvent::PromotionFetched { percentage: 10 },
        OrderEvent::ProductFetched {
            id: "IT-001".into(),
            name: "Pen".into(),
            price: 99,
        },
    ]
}

fn last_product() -> OrderEvent {
    OrderEvent::ProductFetched {
        id: "IT-002".into(),
        name: "Ink".into(),
        price: 250,
    }
}

fn priced() -> Vec<OrderEvent> {
    let amounts = Amounts {
        subtotal: 896,
        discount: 89,
        total: 807,
    };
    [
        fetched(),
        vec![last_product(), OrderEvent::OrderPriced(amounts)],
    ]
    .concat()
}

fn invoiced() -> Vec<OrderEvent> {
    [
        priced(),
        vec![OrderEvent::InvoiceIssued {
            invoice: "INV-1".into(),
        }],
    ]
    .concat()
}

fn fail(step: Step) -> OrderEvent {
    OrderEvent::StepFailed {
        step,
        reason: "gave up after 7 attempts: no answer".into(),
    }
}

fn cancelled() -> OrderEvent {
    OrderEvent::OrderCancelled {
        reason: "cancelled on request".into(),
    }
}

fn create_invoice() -> CreateInvoice {
    CreateInvoice(NewInvoice {
        order: "o-1".into(),
        customer: "CUST-001".into(),
        promo: Some("PROM-001".into()),
        subtotal: 896,
        discount: 89,
        total: 807,
    })
}

fn pay() -> Pay {
    Pay(NewPayment {
        invoice_id: "INV-1".into(),
        method_id: "CARD-001".into(),
        amount: 807,
    })
}

fn notify(to: Audience, kind: Notice) -> Notify {
    let (recipient, order) = ("x".into(), "o-1".into());
    Notify(Notification {
        to,
        recipient,
        kind,
        order,
        invoice: None,
    })
}

#[test]
fn placing_looks_everything_up_at_once_and_each_product_once() {
    let (calls, events) = when(&Order::default(), Place(request()));
    let expected = [
        "fetch-customer",
        "fetch-merchant",
        "fetch-promotion",
        "fetch-product",
        "fetch-product",
    ];
    assert_eq!(calls, expected);
    assert_eq!(events, [placed()]);
    let without = OrderRequest {
        promo: None,
        ..request()
    };
    assert_eq!(when(&Order::default(), Place(without)).0.len(), 4);
}

#[test]
fn placing_the_same_order_again_changes_nothing_and_another_one_is_rejected() {
    let order = given(&[placed()]);
    assert_eq!(when(&order, Place(request())), (vec![], vec![]));
    let other = OrderRequest {
        payment: "CASH".into(),
        ..request()
    };
    assert_eq!(rejected(&order, Place(other)), OtherOrder);
}

#[test]
fn the_last_look_up_prices_the_order_and_has_the_invoice_created() {
    let call = || FetchProduct {
        product: "IT-002".into(),
    };
    let ink = Fetched {
        name: "Ink".into(),
        price: 250,
    };
    let order = given(&fetched());
    let mut cx = cx();
    order
        .decide(outcome(call(), Ok(Some(ink))), &mut cx)
        .unwrap();
    let decision = cx.into_decision();
    assert_eq!(decision.events, priced()[5..]);
    let Effect::Call { name, payload } = &decision.effects[0] else {
        panic!("no call")
    };
    assert_eq!(name, "create-invoice");
    assert_eq!(payload, &serde_json::to_vec(&create_invoice()).unwrap());
}

#[test]
fn what_does_not_exist_rejects_the_order() {
    let reason = |reason: &str| {
        vec![OrderEvent::OrderRejected {
            reason: reason.into(),
        }]
    };
    let order = given(&[placed()]);
    let customer = FetchCustomer {
        customer: "CUST-001".into(),
    };
    let (calls, events) = when(&order, outcome(customer, Ok(None)));
    assert_eq!(
        (calls.len(), events),
        (0, reason("the customer CUST-001 does not exist"))
    );
    let product = FetchProduct {
        product: "IT-002".into(),
    };
    let (_, events) = when(&given(&fetched()), outcome(product, Ok(None)));
    assert_eq!(events, reason("the product IT-002 does not exist"));
    let late = FetchMerchant {
        merchant: "MRCN-001".into(),
    };
    let order = given(&[vec![placed()], reason("x")].concat());
    assert_eq!(
        when(&order, outcome(late, Ok(Some("Shop".into())))),
        (vec![], vec![])
    );
    assert!(order.is_final());
}

#[test]
fn an_amount_that_does_not_fit_rejects_the_order() {
    let product = FetchProduct {
        product: "IT-002".into(),
    };
    let gold = Fetched {
        name: "Gold".into(),
        price: i64::MAX,
    };
    let (calls, events) = when(&given(&fetched()), outcome(product, Ok(Some(gold))));
    assert!(calls.is_empty());
    assert!(
        matches!(&events[..], [_, OrderEvent::OrderRejected { .. }]),
        "{events:?}"
    );
}

#[test]
fn an_invoice_is_paid_while_both_are_told_of_it() {
    let (calls, events) = when(
        &given(&priced()),
        outcome(create_invoice(), Ok("INV-1".into())),
    );
    assert_eq!(calls, ["pay", "notify", "notify"]);
    assert_eq!(events, invoiced()[7..]);
}

#[test]
fn a_declined_payment_cancels_the_order_voids_the_invoice_and_tells_the_customer() {
    let (calls, events) = when(&given(&invoiced()), outcome(pay(), Ok(Paid::Declined)));
    assert_eq!(calls, ["void-invoice", "notify"]);
    let order = given(&[invoiced(), events].concat());
    assert_eq!(order.progress.state(), Some(OrderState::Cancelled));
    assert_eq!(order.progress.reason(), Some("the payment was declined"));
    assert!(!order.is_final());
}

#[test]
fn an_order_is_completed_once_paid_and_all_four_notices_are_out() {
    let mut events = invoiced();
    events.push(OrderEvent::OrderPaid {
        payment: "PMT-1".into(),
    });
    let told = [
        (Audience::Merchant, Notice::OrderPlaced),
        (Audience::Customer, Notice::PaymentReceived),
        (Audience::Customer, Notice::InvoiceIssued),
        (Audience::Merchant, Notice::PaymentReceived),
    ];
    for (to, kind) in told {
        assert!(!given(&events).is_final());
        events.extend(when(&given(&events), outcome(notify(to, kind), Ok(()))).1);
    }
    assert_eq!(events.last(), Some(&OrderEvent::OrderCompleted {}));
    assert_eq!(given(&events).progress.state(), Some(OrderState::Completed));
}

#[test]
fn cancelling_is_possible_until_there_is_an_invoice_to_pay() {
    for events in [vec![placed()], fetched(), priced()] {
        let (calls, events_after) = when(&given(&events), Cancel);
        assert_eq!(
            (calls, events_after),
            (vec!["notify".to_owned()], vec![cancelled()])
        );
    }
    let paid = [
        invoiced(),
        vec![OrderEvent::OrderPaid {
            payment: "P".into(),
        }],
    ]
    .concat();
    let stuck = [invoiced(), vec![fail(Step::Payment)]].concat();
    for events in [invoiced(), paid, stuck] {
        assert_eq!(rejected(&given(&events), Cancel), CancelError::PaymentBegun);
    }
    assert_eq!(
        when(&given(&[placed(), cancelled()]), Cancel),
        (vec![], vec![])
    );
    assert_eq!(rejected(&Order::default(), Cancel), CancelError::NotPlaced);
    let rejection = OrderEvent::OrderRejected { reason: "x".into() };
    assert_eq!(
        rejected(&given(&[placed(), rejection]), Cancel),
        CancelError::Rejected
    );
}

#[test]
fn an_invoice_that_arrives_after_the_cancellation_is_made_void_and_never_paid() {
    let mut events = [priced(), vec![cancelled()]].concat();
    let order = given(&events);
    assert!(!order.is_final());
    let (calls, more) = when(&order, outcome(create_invoice(), Ok("INV-1".into())));
    assert_eq!(calls, ["void-invoice"]);
    events.extend(more);
    assert_eq!(given(&events).progress.state(), Some(OrderState::Cancelled));
    let void = VoidInvoice {
        invoice: "INV-1".into(),
    };
    events.extend(when(&given(&events), outcome(void, Ok(()))).1);
    let told = outcome(notify(Audience::Customer, Notice::OrderCancelled), Ok(()));
    events.extend(when(&given(&events), told).1);
    assert!(given(&events).is_final());
}

#[test]
fn cancelling_an_order_stuck_on_its_invoice_asks_for_the_invoice_to_make_it_void() {
    let order = given(&[priced(), vec![fail(Step::Invoice)]].concat());
    assert_eq!(order.progress.state(), Some(OrderState::NeedsAttention));
    let (calls, events) = when(&order, Cancel);
    assert_eq!(calls, ["create-invoice", "notify"]);
    assert_eq!(events, [cancelled()]);
}

#[test]
fn resuming_begins_exactly_the_failed_steps_again() {
    let stuck = vec![fail(Step::Merchant), fail(Step::Product("IT-002".into()))];
    let order = given(&[vec![placed()], stuck].concat());
    assert_eq!(order.progress.state(), Some(OrderState::NeedsAttention));
    let (calls, events) = when(&order, Resume);
    assert_eq!(calls, ["fetch-merchant", "fetch-product"]);
    assert_eq!(events, [OrderEvent::OrderResumed {}]);
    assert_eq!(rejected(&Order::default(), Resume), NotStuck(None));
    assert_eq!(
        rejected(&given(&[placed()]), Resume),
        NotStuck(Some(OrderState::Placed))
    );
}

#[test]
fn a_failed_step_needs_attention_and_says_why() {
    let (calls, events) = when(&given(&invoiced()), outcome(pay(), Err(gave_up())));
    assert!(calls.is_empty());
    assert_eq!(events, [fail(Step::Payment)]);
    let order = given(&[invoiced(), events].concat());
    assert_eq!(order.progress.state(), Some(OrderState::NeedsAttention));
    assert_eq!(
        order.progress.reason(),
        Some("gave up after 7 attempts: no answer")
    );
}

/// Every step by what it asks of whom, as the backends would tell repeats.
fn step_of(effect: &Effect) -> String {
    match effect {
        Effect::Call { name, payload } if name == "notify" => {
            let Notify(notice) = serde_json::from_slice(payload).unwrap();
            Step::Tell(notice.to, notice.kind).to_string()
        }
        Effect::Call { name, payload } => format!("{name} {}", String::from_utf8_lossy(payload)),
        other => panic!("an order makes calls only, not {other:?}"),
    }
}

/// Gives the order the outcome of `effect`: what it asked for, or a failure.
fn answer(order: &Order, effect: &Effect, ok: bool, declined: bool, cx: &mut Cx<Order>) {
    fn give<C: Call>(order: &Order, payload: &[u8], ok: bool, output: C::Output, cx: &mut Cx<Order>)
    where
        Order: Handle<Outcome<C>, Error = Never>,
    {
        let call: C = serde_json::from_slice(payload).unwrap();
        let result = if ok { Ok(output) } else { Err(gave_up()) };
        order.decide(outcome(call, result), cx).unwrap();
    }
    let Effect::Call { name, payload } = effect else {
        panic!("not a call")
    };
    let made = Paid::Made {
        payment: "PMT-1".into(),
    };
    let paid = if declined { Paid::Declined } else { made };
    let product = Some(Fetched {
        name: "Pen".into(),
        price: 5,
    });
    match &**name {
        "fetch-customer" => give::<FetchCustomer>(order, payload, ok, Some("Ada".into()), cx),
        "fetch-merchant" => give::<FetchMerchant>(order, payload, ok, Some("Shop".into()), cx),
        "fetch-promotion" => give::<FetchPromotion>(order, payload, ok, Some(10), cx),
        "fetch-product" => give::<FetchProduct>(order, payload, ok, product, cx),
        "create-invoice" => give::<CreateInvoice>(order, payload, ok, "INV-1".into(), cx),
        "pay" => give::<Pay>(order, payload, ok, paid, cx),
        "void-invoice" => give::<VoidInvoice>(order, payload, ok, (), cx),
        "notify" => give::<Notify>(order, payload, ok, (), cx),
        other => panic!("an unknown call {other}"),
    }
}

/// An order and its calls that are under way, as a runtime would keep them.
#[derive(Default)]
struct Run {
    order: Order,
    under_way: Vec<Effect>,
    /// How often each step succeeded.
    done: BTreeMap<String, u32>,
}

impl Run {
    fn take(&mut self, cx: Cx<Order>) {
        let decision = cx.into_decision();
        for event in &decision.events {
            self.order.evolve(event);
        }
        for effect in decision.effects {
            assert!(
                !self.under_way.contains(&effect),
                "{} is under way twice",
                step_of(&effect)
            );
            let done = self.done.get(&step_of(&effect));
            assert_eq!(
                done,
                None,
                "{} was done and is begun again",
                step_of(&effect)
            );
            self.under_way.push(effect);
        }
    }

    fn command<C>(&mut self, command: C) -> bool
    where
        Order: Handle<C>,
    {
        let mut cx = cx();
        let accepted = self.order.decide(command, &mut cx).is_ok();
        if accepted {
            self.take(cx);
        }
        accepted
    }

    fn settle(&mut self, index: usize, ok: bool, declined: bool) {
        let effect = self.under_way.remove(index % self.under_way.len());
        if ok {
            *self.done.entry(step_of(&effect)).or_default() += 1;
        }
        let mut cx = cx();
        answer(&self.order, &effect, ok, declined, &mut cx);
        self.take(cx);
    }

    fn count(&self, step: &str) -> usize {
        self.done
            .keys()
            .filter(|done| done.starts_with(step))
            .count()
    }
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    Answer(usize),
    Failure(usize),
    Cancel,
    Resume,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => any::<usize>().prop_map(Happens::Answer),
        3 => any::<usize>().prop_map(Happens::Failure),
        1 => Just(Happens::Cancel),
        3 => Just(Happens::Resume),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_in_whatever_order_no_step_is_done_twice_and_the_order_ends(
        story in prop::collection::vec(happens(), 0..40),
        declined in any::<bool>(),
    ) {
        let mut run = Run::default();
        run.command(Place(request()));
        for happens in story {
            match happens {
                Happens::Answer(_) | Happens::Failure(_) if run.under_way.is_empty() => {}
                Happens::Answer(index) => run.settle(index, true, declined),
                Happens::Failure(index) => run.settle(index, false, declined),
                Happens::Cancel => {
                    let may_be_paid = run.count("pay") > 0
                        || run.under_way.iter().any(|effect| effect.name() == "pay");
                    let accepted = run.command(Cancel);
                    let is_cancelled = run.order.progress.phase() == Some(Phase::Cancelled);
                    prop_assert!(is_cancelled || !accepted);
                    prop_assert!(!may_be_paid || is_cancelled == (run.count("pay") > 0 && declined));
                }
                Happens::Resume => {
                    let was_stuck = !run.order.progress.stuck().is_empty();
                    prop_assert_eq!(run.command(Resume), was_stuck);
                }
            }
        }
        // The backends recover and somebody resumes: now it must end.
        run.command(Resume);
        while !run.under_way.is_empty() {
            run.settle(0, true, declined);
        }
        prop_assert!(run.order.is_final());
        match run.order.progress.state() {
            Some(OrderState::Completed) => {
                prop_assert_eq!((run.count("create-invoice"), run.count("pay")), (1, 1));
                prop_assert_eq!((run.order.told.len(), run.count("void-invoice")), (4, 0));
            }
            Some(OrderState::Cancelled) => {
                prop_assert_eq!(run.count("void-invoice"), run.count("create-invoice"));
                prop_assert_eq!(run.count("customer/order_cancelled"), 1);
                prop_assert_eq!(run.count("pay"), usize::from(declined && run.count("pay") > 0));
            }
            other => prop_assert!(false, "it ended as {:?}", other),
        }
    }
}
