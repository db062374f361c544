//! An order: what it is, what happened to it, and what it still needs. Pure; it knows no backend
//! and no clock.
//!
//! An order goes forward by steps, each a request to one backend. [`Order::needs`] says which
//! steps it still needs in its phase; a step that ends without an outcome makes it *stuck* on
//! that step, which people see as the state `needs_attention`.

mod amounts;
pub mod call;
mod decide;
mod event;
mod request;
mod step;

pub use amounts::Amounts;
pub use decide::{Cancel, CancelError, NotStuck, OtherOrder, Place, Resume};
pub use event::{OrderEvent, Placed};
pub use request::{ITEMS_MAX, Invalid, LineItem, OrderRequest, QTY_MAX};
pub use step::Step;

use crate::backends::wire::{Audience, Notice};
use call::Fetched;
use griot::core::Entity;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// The state of an order that was placed, or of one that was not yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What was ordered, once it was.
    pub placed: Option<Placed>,
    /// How far it is, and what it is stuck on.
    pub progress: Progress,
    /// The customer's name, once known.
    pub customer: Option<String>,
    /// The merchant's name, once known.
    pub merchant: Option<String>,
    /// What the promotion takes off, once known.
    pub percentage: Option<u8>,
    /// The products known so far, by id.
    pub products: BTreeMap<String, Fetched>,
    /// How many look-ups have not been answered yet.
    pub unknown: usize,
    /// What it costs, once known.
    pub amounts: Option<Amounts>,
    /// The invoice's id, once there is one.
    pub invoice: Option<String>,
    /// Whether the invoice is void.
    pub voided: bool,
    /// The payment's id, once it is made.
    pub payment: Option<String>,
    /// Who has been told what.
    pub told: BTreeSet<(Audience, Notice)>,
}

/// How far an order is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    phase: Option<Phase>,
    stuck: Vec<Stuck>,
    /// Why it was rejected or cancelled.
    reason: Option<String>,
}

/// How far an order is, failed steps aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What it names is being looked up.
    Placed,
    /// The invoice is being created.
    Priced,
    /// The invoice is being paid.
    Invoiced,
    /// The last ones are being told.
    Paid,
    /// All is done.
    Completed,
    /// It cannot be.
    Rejected,
    /// It will not be; the invoice is being made void and the customer told.
    Cancelled,
}

/// A step that ended without an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Which.
    pub step: Step,
    /// Why.
    pub reason: String,
}

/// The state of an order, as people see it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// It is durable; what it names is being looked up.
    Placed,
    /// It is known what it costs; the invoice is being created.
    Priced,
    /// There is an invoice; it is being paid.
    Invoiced,
    /// It is paid; the last ones are being told.
    Paid,
    /// All is done.
    Completed,
    /// Something it names does not exist, or it costs too much to count.
    Rejected,
    /// It will not be fulfilled; nobody has to pay.
    Cancelled,
    /// A backend kept failing, or refused; nothing is lost, and resuming goes on.
    NeedsAttention,
}

impl OrderState {
    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Priced => "priced",
            Self::Invoiced => "invoiced",
            Self::Paid => "paid",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::NeedsAttention => "needs_attention",
        }
    }
}

impl Progress {
    /// The phase; none before the order is placed.
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// The steps that ended without an outcome.
    pub fn stuck(&self) -> &[Stuck] {
        &self.stuck
    }

    /// The state, as people see it; none before the order is placed.
    pub fn state(&self) -> Option<OrderState> {
        if !self.stuck.is_empty() {
            return Some(OrderState::NeedsAttention);
        }
        self.phase.map(|phase| match phase {
            Phase::Placed => OrderState::Placed,
            Phase::Priced => OrderState::Priced,
            Phase::Invoiced => OrderState::Invoiced,
            Phase::Paid => OrderState::Paid,
            Phase::Completed => OrderState::Completed,
            Phase::Rejected => OrderState::Rejected,
            Phase::Cancelled => OrderState::Cancelled,
        })
    }

    /// Why the order is rejected, cancelled or needs attention.
    pub fn reason(&self) -> Option<&str> {
        let stuck = self.stuck.first().map(|stuck| stuck.reason.as_str());
        stuck.or(self.reason.as_deref())
    }

    /// Takes in what happened.
    pub fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::OrderPlaced(_) => self.phase = Some(Phase::Placed),
            OrderEvent::OrderPriced(_) => self.phase = Some(Phase::Priced),
            // An order that was cancelled while its invoice was on the way stays cancelled.
            OrderEvent::InvoiceIssued { .. } if self.phase == Some(Phase::Cancelled) => {}
            OrderEvent::InvoiceIssued { .. } => self.phase = Some(Phase::Invoiced),
            OrderEvent::OrderPaid { .. } => self.phase = Some(Phase::Paid),
            OrderEvent::OrderCompleted {} => self.phase = Some(Phase::Completed),
            OrderEvent::OrderRejected { reason } => self.end(Phase::Rejected, reason),
            OrderEvent::OrderCancelled { reason } => self.end(Phase::Cancelled, reason),
            OrderEvent::StepFailed { step, reason } => {
                self.stuck.push(Stuck {
                    step: step.clone(),
                    reason: reason.clone(),
                });
            }
            OrderEvent::OrderResumed {} => self.stuck.clear(),
            OrderEvent::CustomerFetched { .. }
            | OrderEvent::MerchantFetched { .. }
            | OrderEvent::PromotionFetched { .. }
            | OrderEvent::ProductFetched { .. }
            | OrderEvent::PartyNotified { .. }
            | OrderEvent::InvoiceVoided {} => {}
        }
    }

    fn end(&mut self, phase: Phase, reason: &str) {
        self.phase = Some(phase);
        self.reason = Some(reason.to_owned());
        self.stuck.clear();
    }
}

impl Order {
    /// Whether this step has still to be done, in this phase.
    pub fn needs(&self, step: &Step) -> bool {
        let Some(phase) = self.progress.phase else {
            return false;
        };
        match step {
            Step::Customer => phase == Phase::Placed && self.customer.is_none(),
            Step::Merchant => phase == Phase::Placed && self.merchant.is_none(),
            Step::Promotion => phase == Phase::Placed && self.percentage.is_none(),
            Step::Product(id) => phase == Phase::Placed && !self.products.contains_key(id),
            // Also once cancelled: an invoice that may exist has to be known to be made void.
            Step::Invoice => self.amounts.is_some() && self.invoice.is_none(),
            Step::Payment => phase == Phase::Invoiced,
            Step::Void => phase == Phase::Cancelled && self.invoice.is_some() && !self.voided,
            Step::Tell(to, notice) => {
                let due = match notice {
                    Notice::OrderPlaced | Notice::InvoiceIssued => {
                        matches!(phase, Phase::Invoiced | Phase::Paid)
                    }
                    Notice::PaymentReceived => phase == Phase::Paid,
                    Notice::OrderCancelled => phase == Phase::Cancelled,
                };
                due && !self.told.contains(&(*to, *notice))
            }
        }
    }

    /// Whether nothing will happen to it any more.
    pub fn is_final(&self) -> bool {
        match self.progress.phase {
            Some(Phase::Completed | Phase::Rejected) => true,
            Some(Phase::Cancelled) => {
                let told = Step::Tell(Audience::Customer, Notice::OrderCancelled);
                ![Step::Invoice, Step::Void, told]
                    .iter()
                    .any(|step| self.needs(step))
            }
            _ => false,
        }
    }
}

impl Entity for Order {
    const KIND: &'static str = "order";
    type Event = OrderEvent;

    fn evolve(&mut self, event: &OrderEvent) {
        self.progress.evolve(event);
        match event {
            OrderEvent::OrderPlaced(placed) => {
                let request = &placed.request;
                let products: BTreeSet<_> = request.items.iter().map(|item| &item.id).collect();
                self.unknown = 2 + usize::from(request.promo.is_some()) + products.len();
                self.placed = Some(placed.clone());
            }
            OrderEvent::CustomerFetched { name } => {
                self.customer = Some(name.clone());
                self.unknown = self.unknown.saturating_sub(1);
            }
            OrderEvent::MerchantFetched { name } => {
                self.merchant = Some(name.clone());
                self.unknown = self.unknown.saturating_sub(1);
            }
            OrderEvent::PromotionFetched { percentage } => {
                self.percentage = Some(*percentage);
                self.unknown = self.unknown.saturating_sub(1);
            }
            OrderEvent::ProductFetched { id, name, price } => {
                let fetched = Fetched {
                    name: name.clone(),
                    price: *price,
                };
                self.products.insert(id.clone(), fetched);
                self.unknown = self.unknown.saturating_sub(1);
            }
            OrderEvent::OrderPriced(amounts) => self.amounts = Some(*amounts),
            OrderEvent::InvoiceIssued { invoice } => self.invoice = Some(invoice.clone()),
            OrderEvent::OrderPaid { payment } => self.payment = Some(payment.clone()),
            OrderEvent::PartyNotified { to, kind } => {
                self.told.insert((*to, *kind));
            }
            OrderEvent::InvoiceVoided {} => self.voided = true,
            OrderEvent::OrderCompleted {}
            | OrderEvent::OrderRejected { .. }
            | OrderEvent::OrderCancelled { .. }
            | OrderEvent::StepFailed { .. }
            | OrderEvent::OrderResumed {} => {}
        }
    }
}
