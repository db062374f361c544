//! How each step of an order is done: its call, made to the backend that can do it.

use crate::OrdersConfig;
use crate::backends::{Backends, Failure, Payment};
use crate::order::call::{
    CreateInvoice, FetchCustomer, FetchMerchant, FetchProduct, FetchPromotion, Fetched, Notify,
    Paid, Pay, VoidInvoice,
};
use crate::order::{Order, Step};
use griot::core::{Call, Handle, Outcome};
use griot::{CallContext, CallError, CallPolicy, Entities};
use std::time::Duration;

/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// The kind `order`, with every call it makes. Each kind of call is bounded by itself, so a
/// backend that fails holds up no other.
pub(crate) fn entities(backends: &Backends, config: &OrdersConfig) -> Entities<Order> {
    let calls = Calls {
        backends: backends.clone(),
        policy: CallPolicy {
            concurrency_max: config.calls.concurrency_max.min(backends.calls_max()),
            // The backends' own timeout ends a call with a better reason.
            timeout: config
                .calls
                .timeout
                .max(backends.timeout() + Duration::from_secs(1)),
            ..config.calls
        },
    };
    let entities = Entities::new().limits(config.limits.clone());
    let entities = calls.add(entities, fetch_customer);
    let entities = calls.add(entities, fetch_merchant);
    let entities = calls.add(entities, fetch_promotion);
    let entities = calls.add(entities, fetch_product);
    let entities = calls.add(entities, create_invoice);
    let entities = calls.add(entities, pay);
    let entities = calls.add(entities, void_invoice);
    calls.add(entities, notify)
}

struct Calls {
    backends: Backends,
    policy: CallPolicy,
}

impl Calls {
    fn add<C, F, Fut>(&self, entities: Entities<Order>, function: F) -> Entities<Order>
    where
        C: Call,
        Order: Handle<Outcome<C>>,
        F: Fn(Backends, C, CallContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C::Output, CallError>> + Send + 'static,
    {
        let backends = self.backends.clone();
        entities.call(self.policy, move |call, cx| {
            function(backends.clone(), call, cx)
        })
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry(reason) => Self::Retry(brief(reason)),
            Failure::Refused(reason) => Self::Fail(brief(reason)),
        }
    }
}

/// What a backend says wrong may be quoted in a reason, and a reason is kept for ever.
fn brief(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        reason.push('…');
    }
    reason
}

async fn fetch_customer(
    backends: Backends,
    call: FetchCustomer,
    _: CallContext,
) -> Result<Option<String>, CallError> {
    let customer = backends.customer(&call.customer).await?;
    Ok(customer.map(|customer| customer.name))
}

async fn fetch_merchant(
    backends: Backends,
    call: FetchMerchant,
    _: CallContext,
) -> Result<Option<String>, CallError> {
    let merchant = backends.merchant(&call.merchant).await?;
    Ok(merchant.map(|merchant| merchant.name))
}

async fn fetch_promotion(
    backends: Backends,
    call: FetchPromotion,
    _: CallContext,
) -> Result<Option<u8>, CallError> {
    let promotion = backends.promotion(&call.promo).await?;
    Ok(promotion.map(|promotion| promotion.discount))
}

async fn fetch_product(
    backends: Backends,
    call: FetchProduct,
    _: CallContext,
) -> Result<Option<Fetched>, CallError> {
    let product = backends.product(&call.product).await?;
    Ok(product.map(|product| Fetched {
        name: product.name,
        price: product.price,
    }))
}

async fn create_invoice(
    backends: Backends,
    CreateInvoice(invoice): CreateInvoice,
    cx: CallContext,
) -> Result<String, CallError> {
    Ok(backends
        .create_invoice(&Step::Invoice.key(cx.entity()), &invoice)
        .await?)
}

async fn pay(backends: Backends, Pay(payment): Pay, cx: CallContext) -> Result<Paid, CallError> {
    match backends
        .pay(&Step::Payment.key(cx.entity()), &payment)
        .await?
    {
        Payment::Made(payment) => Ok(Paid::Made { payment }),
        Payment::Declined => Ok(Paid::Declined),
    }
}

async fn void_invoice(
    backends: Backends,
    call: VoidInvoice,
    cx: CallContext,
) -> Result<(), CallError> {
    Ok(backends
        .void_invoice(&Step::Void.key(cx.entity()), &call.invoice)
        .await?)
}

async fn notify(
    backends: Backends,
    Notify(notification): Notify,
    cx: CallContext,
) -> Result<(), CallError> {
    let step = Step::Tell(notification.to, notification.kind);
    Ok(backends
        .notify(&step.key(cx.entity()), &notification)
        .await?)
}
