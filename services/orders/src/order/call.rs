//! The steps of an order as calls: data that survives a crash, each with what it comes to.

use crate::backends::wire::{NewInvoice, NewPayment, Notification};
use griot::core::Call;
use serde::{Deserialize, Serialize};

/// Looks up the customer; gives the name, if there is such a customer.
#[derive(Debug, Serialize, Deserialize)]
pub struct FetchCustomer {
    /// The customer.
    pub customer: String,
}

impl Call for FetchCustomer {
    const NAME: &'static str = "fetch-customer";
    type Output = Option<String>;
}

/// Looks up the merchant; gives the name, if there is such a merchant.
#[derive(Debug, Serialize, Deserialize)]
pub struct FetchMerchant {
    /// The merchant.
    pub merchant: String,
}

impl Call for FetchMerchant {
    const NAME: &'static str = "fetch-merchant";
    type Output = Option<String>;
}

/// Looks up the promotion; gives the percentage, if there is such a promotion.
#[derive(Debug, Serialize, Deserialize)]
pub struct FetchPromotion {
    /// The promotion.
    pub promo: String,
}

impl Call for FetchPromotion {
    const NAME: &'static str = "fetch-promotion";
    type Output = Option<u8>;
}

/// Looks up a product; gives name and price, if there is such a product.
#[derive(Debug, Serialize, Deserialize)]
pub struct FetchProduct {
    /// The product.
    pub product: String,
}

impl Call for FetchProduct {
    const NAME: &'static str = "fetch-product";
    type Output = Option<Fetched>;
}

/// What an order needs to know of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// What it is called.
    pub name: String,
    /// What one of it costs, in minor units.
    pub price: i64,
}

/// Creates the invoice; gives its id.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreateInvoice(pub NewInvoice);

impl Call for CreateInvoice {
    const NAME: &'static str = "create-invoice";
    type Output = String;
}

/// Pays the invoice.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pay(pub NewPayment);

impl Call for Pay {
    const NAME: &'static str = "pay";
    type Output = Paid;
}

/// What became of a payment.
#[derive(Debug, Serialize, Deserialize)]
pub enum Paid {
    /// It was made.
    Made {
        /// Its id.
        payment: String,
    },
    /// It was declined.
    Declined,
}

/// Makes the invoice void.
#[derive(Debug, Serialize, Deserialize)]
pub struct VoidInvoice {
    /// The invoice.
    pub invoice: String,
}

impl Call for VoidInvoice {
    const NAME: &'static str = "void-invoice";
    type Output = ();
}

/// Tells somebody something.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notify(pub Notification);

impl Call for Notify {
    const NAME: &'static str = "notify";
    type Output = ();
}
