//! What an order decides: on being placed, cancelled and resumed, and on what became of its steps.

#[cfg(test)]
mod tests;

use super::call::{
    CreateInvoice, FetchCustomer, FetchMerchant, FetchProduct, FetchPromotion, Fetched, Notify,
    Paid, Pay, VoidInvoice,
};
use super::{Amounts, Order, OrderEvent, OrderRequest, OrderState, Phase, Placed, Step};
use crate::backends::wire::{Audience, NewInvoice, NewPayment, Notice, Notification};
use griot::core::{CallFailed, Cx, Entity, Handle, Never, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Places the order. Placing the same order again changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place(pub OrderRequest);

/// Another order was placed under this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherOrder;

/// Cancels the order, as long as nobody can have paid. Cancelling again changes nothing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cancel;

/// Why an order cannot be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelError {
    /// There is no such order.
    NotPlaced,
    /// The payment may have been made.
    PaymentBegun,
    /// It is rejected, so there is nothing to cancel.
    Rejected,
}

/// Begins the failed steps again, under the keys they had.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Resume;

/// The order does not need attention: its state, if there is such an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStuck(pub Option<OrderState>);

const TELL_ORDER_PLACED: Step = Step::Tell(Audience::Merchant, Notice::OrderPlaced);
const TELL_INVOICE_ISSUED: Step = Step::Tell(Audience::Customer, Notice::InvoiceIssued);
const TELL_PAID: [Step; 2] = [
    Step::Tell(Audience::Merchant, Notice::PaymentReceived),
    Step::Tell(Audience::Customer, Notice::PaymentReceived),
];
const TELL_CANCELLED: Step = Step::Tell(Audience::Customer, Notice::OrderCancelled);

impl Handle<Place> for Order {
    type Reply = ();
    type Error = OtherOrder;

    fn decide(&self, Place(request): Place, cx: &mut Cx<Self>) -> Result<(), OtherOrder> {
        if let Some(placed) = &self.placed {
            return if placed.request == request {
                Ok(())
            } else {
                Err(OtherOrder)
            };
        }
        let products: BTreeSet<_> = request.items.iter().map(|item| item.id.clone()).collect();
        let has_promo = request.promo.is_some();
        let placed = Placed {
            placed_at: cx.now(),
            request,
        };
        let next = self.after(OrderEvent::OrderPlaced(placed), cx);
        next.begin(&Step::Customer, cx);
        next.begin(&Step::Merchant, cx);
        if has_promo {
            next.begin(&Step::Promotion, cx);
        }
        for product in products {
            next.begin(&Step::Product(product), cx);
        }
        Ok(())
    }
}

impl Handle<Cancel> for Order {
    type Reply = ();
    type Error = CancelError;

    fn decide(&self, _: Cancel, cx: &mut Cx<Self>) -> Result<(), CancelError> {
        match self.progress.phase {
            None => Err(CancelError::NotPlaced),
            Some(Phase::Cancelled) => Ok(()),
            Some(Phase::Rejected) => Err(CancelError::Rejected),
            Some(Phase::Invoiced | Phase::Paid | Phase::Completed) => {
                Err(CancelError::PaymentBegun)
            }
            Some(Phase::Placed | Phase::Priced) => {
                let reason = "cancelled on request".to_owned();
                let next = self.after(OrderEvent::OrderCancelled { reason }, cx);
                // An invoice that nobody is asking for any more may exist all the same.
                if self.is_stuck_on(&Step::Invoice) {
                    next.begin(&Step::Invoice, cx);
                }
                next.begin(&TELL_CANCELLED, cx);
                Ok(())
            }
        }
    }
}

impl Handle<Resume> for Order {
    type Reply = ();
    type Error = NotStuck;

    fn decide(&self, _: Resume, cx: &mut Cx<Self>) -> Result<(), NotStuck> {
        if self.progress.stuck.is_empty() {
            return Err(NotStuck(self.progress.state()));
        }
        let next = self.after(OrderEvent::OrderResumed {}, cx);
        for stuck in &self.progress.stuck {
            if next.needs(&stuck.step) {
                next.begin(&stuck.step, cx);
            }
        }
        Ok(())
    }
}

impl Handle<Outcome<FetchCustomer>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<FetchCustomer>, cx: &mut Cx<Self>) -> Result<(), Never> {
        let FetchCustomer { customer } = outcome.call;
        let found = outcome.result.map(|name| {
            name.map(|name| OrderEvent::CustomerFetched { name })
                .ok_or_else(|| format!("the customer {customer} does not exist"))
        });
        self.looked_up(Step::Customer, found, cx);
        Ok(())
    }
}

impl Handle<Outcome<FetchMerchant>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<FetchMerchant>, cx: &mut Cx<Self>) -> Result<(), Never> {
        let FetchMerchant { merchant } = outcome.call;
        let found = outcome.result.map(|name| {
            name.map(|name| OrderEvent::MerchantFetched { name })
                .ok_or_else(|| format!("the merchant {merchant} does not exist"))
        });
        self.looked_up(Step::Merchant, found, cx);
        Ok(())
    }
}

impl Handle<Outcome<FetchPromotion>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<FetchPromotion>, cx: &mut Cx<Self>) -> Result<(), Never> {
        let FetchPromotion { promo } = outcome.call;
        let found = outcome.result.map(|percentage| {
            percentage
                .map(|percentage| OrderEvent::PromotionFetched { percentage })
                .ok_or_else(|| format!("the promotion {promo} does not exist"))
        });
        self.looked_up(Step::Promotion, found, cx);
        Ok(())
    }
}

impl Handle<Outcome<FetchProduct>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<FetchProduct>, cx: &mut Cx<Self>) -> Result<(), Never> {
        let FetchProduct { product } = outcome.call;
        let step = Step::Product(product.clone());
        let found = outcome.result.map(|fetched| match fetched {
            Some(Fetched { name, price }) => Ok(OrderEvent::ProductFetched {
                id: product,
                name,
                price,
            }),
            None => Err(format!("the product {product} does not exist")),
        });
        self.looked_up(step, found, cx);
        Ok(())
    }
}

impl Handle<Outcome<CreateInvoice>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<CreateInvoice>, cx: &mut Cx<Self>) -> Result<(), Never> {
        if !self.needs(&Step::Invoice) {
            return Ok(());
        }
        match outcome.result {
            Err(failed) => self.fail(Step::Invoice, &failed, cx),
            Ok(invoice) => {
                let next = self.after(OrderEvent::InvoiceIssued { invoice }, cx);
                if next.needs(&Step::Void) {
                    next.begin(&Step::Void, cx);
                } else {
                    next.begin(&Step::Payment, cx);
                    next.begin(&TELL_ORDER_PLACED, cx);
                    next.begin(&TELL_INVOICE_ISSUED, cx);
                }
            }
        }
        Ok(())
    }
}

impl Handle<Outcome<Pay>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<Pay>, cx: &mut Cx<Self>) -> Result<(), Never> {
        if !self.needs(&Step::Payment) {
            return Ok(());
        }
        match outcome.result {
            Err(failed) => self.fail(Step::Payment, &failed, cx),
            Ok(Paid::Made { payment }) => {
                let next = self.after(OrderEvent::OrderPaid { payment }, cx);
                for step in &TELL_PAID {
                    next.begin(step, cx);
                }
            }
            Ok(Paid::Declined) => {
                let reason = "the payment was declined".to_owned();
                let next = self.after(OrderEvent::OrderCancelled { reason }, cx);
                next.begin(&Step::Void, cx);
                next.begin(&TELL_CANCELLED, cx);
            }
        }
        Ok(())
    }
}

impl Handle<Outcome<VoidInvoice>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<VoidInvoice>, cx: &mut Cx<Self>) -> Result<(), Never> {
        if self.needs(&Step::Void) {
            match outcome.result {
                Err(failed) => self.fail(Step::Void, &failed, cx),
                Ok(()) => cx.emit(OrderEvent::InvoiceVoided {}),
            }
        }
        Ok(())
    }
}

impl Handle<Outcome<Notify>> for Order {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<Notify>, cx: &mut Cx<Self>) -> Result<(), Never> {
        let Notify(Notification { to, kind, .. }) = outcome.call;
        let step = Step::Tell(to, kind);
        match outcome.result {
            Err(failed) if self.needs(&step) => self.fail(step, &failed, cx),
            // Who has been told has been told, also if it was cancelled meanwhile.
            Ok(()) if !self.told.contains(&(to, kind)) => {
                let next = self.after(OrderEvent::PartyNotified { to, kind }, cx);
                let mut left = TELL_PAID
                    .iter()
                    .chain([&TELL_ORDER_PLACED, &TELL_INVOICE_ISSUED]);
                let is_paid = next.progress.phase == Some(Phase::Paid);
                if is_paid && !left.any(|step| next.needs(step)) {
                    cx.emit(OrderEvent::OrderCompleted {});
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Order {
    /// Says that `event` happened and gives the state after it.
    fn after(&self, event: OrderEvent, cx: &mut Cx<Self>) -> Self {
        let mut next = self.clone();
        next.evolve(&event);
        cx.emit(event);
        next
    }

    fn fail(&self, step: Step, failed: &CallFailed, cx: &mut Cx<Self>) {
        // A failure of a step that has failed and was not begun again is an echo.
        if !self.is_stuck_on(&step) {
            cx.emit(OrderEvent::StepFailed {
                step,
                reason: failed.to_string(),
            });
        }
    }

    fn is_stuck_on(&self, step: &Step) -> bool {
        self.progress.stuck.iter().any(|stuck| stuck.step == *step)
    }

    /// Takes in the outcome of a look-up: what is known now, or what does not exist.
    fn looked_up(
        &self,
        step: Step,
        found: Result<Result<OrderEvent, String>, CallFailed>,
        cx: &mut Cx<Self>,
    ) {
        if !self.needs(&step) {
            return;
        }
        match found {
            Err(failed) => self.fail(step, &failed, cx),
            Ok(Err(reason)) => cx.emit(OrderEvent::OrderRejected { reason }),
            Ok(Ok(event)) if self.unknown > 1 => cx.emit(event),
            Ok(Ok(event)) => self.after(event, cx).price(cx),
        }
    }

    /// Says what the order costs, now that everything is known, and has the invoice created.
    fn price(&self, cx: &mut Cx<Self>) {
        let items = self.placed.iter().flat_map(|placed| &placed.request.items);
        let lines = items.filter_map(|item| {
            let product = self.products.get(&item.id)?;
            Some((item.qty, product.price))
        });
        match Amounts::of(lines, self.percentage.unwrap_or(0)) {
            Some(amounts) => {
                let next = self.after(OrderEvent::OrderPriced(amounts), cx);
                next.begin(&Step::Invoice, cx);
            }
            None => cx.emit(OrderEvent::OrderRejected {
                reason: "what it costs is too much to be counted in 64 bits".to_owned(),
            }),
        }
    }

    /// Has a step done. What the step needs to know is known by then; one that needs more than is
    /// known is not begun.
    fn begin(&self, step: &Step, cx: &mut Cx<Self>) {
        let Some(Placed { request, .. }) = &self.placed else {
            return;
        };
        match step {
            Step::Customer => {
                cx.call(FetchCustomer {
                    customer: request.customer.clone(),
                });
            }
            Step::Merchant => {
                cx.call(FetchMerchant {
                    merchant: request.merchant.clone(),
                });
            }
            Step::Promotion => {
                if let Some(promo) = request.promo.clone() {
                    cx.call(FetchPromotion { promo });
                }
            }
            Step::Product(product) => {
                cx.call(FetchProduct {
                    product: product.clone(),
                });
            }
            Step::Invoice => self.begin_invoice(request, cx),
            Step::Payment => self.begin_payment(request, cx),
            Step::Void => {
                if let Some(invoice) = self.invoice.clone() {
                    cx.call(VoidInvoice { invoice });
                }
            }
            Step::Tell(to, kind) => {
                let recipient = match to {
                    Audience::Merchant => request.merchant.clone(),
                    Audience::Customer => request.customer.clone(),
                };
                let order = cx.id().id().to_owned();
                let invoice = self.invoice.clone();
                cx.call(Notify(Notification {
                    to: *to,
                    recipient,
                    kind: *kind,
                    order,
                    invoice,
                }));
            }
        }
    }

    fn begin_invoice(&self, request: &OrderRequest, cx: &mut Cx<Self>) {
        if let Some(Amounts {
            subtotal,
            discount,
            total,
        }) = self.amounts
        {
            cx.call(CreateInvoice(NewInvoice {
                order: cx.id().id().to_owned(),
                customer: request.customer.clone(),
                promo: request.promo.clone(),
                subtotal,
                discount,
                total,
            }));
        }
    }

    fn begin_payment(&self, request: &OrderRequest, cx: &mut Cx<Self>) {
        if let (Some(invoice), Some(amounts)) = (&self.invoice, self.amounts) {
            cx.call(Pay(NewPayment {
                invoice_id: invoice.clone(),
                method_id: request.payment.clone(),
                amount: amounts.total,
            }));
        }
    }
}
