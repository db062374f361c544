//! What the seven backends send and are sent, as JSON. What a backend says is checked here, while
//! it is read, so that nothing behind this file meets a price below zero or an id that is no id.

use griot::http::Object;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest id, in bytes, of anything that has one.
pub const ID_BYTES_MAX: usize = 255;

/// The longest name, in bytes, that a backend may give to anything.
pub const NAME_BYTES_MAX: usize = 1_024;

/// Says why `id` cannot be the id of anything, if it cannot: ids become one segment of a URL.
///
/// # Errors
///
/// The rule that `id` breaks.
pub fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(format!("must be 1 to {ID_BYTES_MAX} bytes"));
    }
    if id.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    if matches!(id, "." | "..") {
        return Err("must not be a dot or two".to_owned());
    }
    Ok(())
}

/// A customer or a merchant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Party {
    /// Its id.
    pub id: String,
    /// Where the notification service reaches it.
    pub email: String,
    /// What it is called.
    #[serde(deserialize_with = "name")]
    pub name: String,
}

/// What a promotion takes off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Promotion {
    /// Its id.
    pub id: String,
    /// What it is called.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The percentage of the subtotal it takes off, 0 to 100.
    #[serde(deserialize_with = "percentage")]
    pub discount: u8,
}

/// What a product costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Product {
    /// Its id.
    pub id: String,
    /// What it is called.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The price of one, in minor units, not below 0.
    #[serde(deserialize_with = "price")]
    pub price: i64,
}

/// An invoice to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewInvoice {
    /// The order it is for.
    pub order: String,
    /// Who has to pay.
    pub customer: String,
    /// The promotion that was applied.
    pub promo: Option<String>,
    /// The sum over the items, in minor units.
    pub subtotal: i64,
    /// What the promotion takes off.
    pub discount: i64,
    /// What is to be paid: `subtotal - discount`.
    pub total: i64,
}

/// A change to an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceChange {
    /// The state it shall have.
    pub state: InvoiceState,
}

/// What an invoice can be changed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvoiceState {
    /// Nobody has to pay it any more.
    Void,
}

/// A payment to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewPayment {
    /// The invoice to pay.
    pub invoice_id: String,
    /// The customer's card, balance or whatever pays.
    pub method_id: String,
    /// How much, in minor units.
    pub amount: i64,
}

/// A message to somebody who takes part in an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notification {
    /// Which of the two it goes to.
    pub to: Audience,
    /// The id of that merchant or customer.
    pub recipient: String,
    /// What it is about.
    pub kind: Notice,
    /// The order it is about.
    pub order: String,
    /// That order's invoice, where there is one.
    pub invoice: Option<String>,
}

/// Who takes part in an order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Who sells.
    Merchant,
    /// Who buys.
    Customer,
}

impl Audience {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merchant => "merchant",
            Self::Customer => "customer",
        }
    }
}

/// What a notification is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// There is an order to fulfil.
    OrderPlaced,
    /// There is an invoice to pay.
    InvoiceIssued,
    /// The invoice has been paid.
    PaymentReceived,
    /// The order will not be fulfilled.
    OrderCancelled,
}

impl Notice {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderPlaced => "order_placed",
            Self::InvoiceIssued => "invoice_issued",
            Self::PaymentReceived => "payment_received",
            Self::OrderCancelled => "order_cancelled",
        }
    }
}

/// The answer to a creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// The id of what was created.
    #[serde(deserialize_with = "id")]
    pub id: String,
}

/// Reads an answer, which must be a JSON object that keeps the rules of its type.
pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes).map(|Object(answer)| answer)
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    check_id(&id).map_err(|rule| D::Error::custom(format!("an id {rule}")))?;
    Ok(id)
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(D::Error::custom(format!(
            "a name must be at most {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(name)
}

fn percentage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match u8::deserialize(deserializer)? {
        percentage @ 0..=100 => Ok(percentage),
        other => Err(D::Error::custom(format!(
            "a discount must be 0 to 100 percent, not {other}"
        ))),
    }
}

fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    match i64::deserialize(deserializer)? {
        price @ 0.. => Ok(price),
        other => Err(D::Error::custom(format!(
            "a price must not be below 0, and is {other}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_one_segment_of_a_url() {
        for id in ["CUST-001", "é/?#%", " ", "...", &"x".repeat(255)] {
            assert_eq!(check_id(id), Ok(()), "{id:?}");
        }
        for id in ["", ".", "..", "a\nb", "\u{0}", &"x".repeat(256)] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn answers_that_break_a_rule_are_not_taken() {
        let product = |price: &str| {
            read::<Product>(format!(r#"{{"id":"IT","name":"n","price":{price}}}"#).as_bytes())
                .is_ok()
        };
        assert!(product("0") && product("9223372036854775807"));
        for price in ["-1", "1.5", "\"1\"", "null", "9223372036854775808"] {
            assert!(!product(price), "{price}");
        }
        let promotion = |discount: &str| {
            read::<Promotion>(
                format!(r#"{{"id":"P","name":"n","discount":{discount}}}"#).as_bytes(),
            )
            .is_ok()
        };
        assert!(promotion("0") && promotion("100"));
        assert!(!promotion("101") && !promotion("-1") && !promotion("256"));
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        let party = format!(r#"{{"id":"C","email":"e","name":"{long}"}}"#);
        assert!(read::<Party>(party.as_bytes()).is_err());
        for created in [
            r#"{"id":""}"#,
            r#"["INV-1"]"#,
            r#"{"id":".."}"#,
            "",
            "<html>",
            "{}",
        ] {
            assert!(read::<Created>(created.as_bytes()).is_err(), "{created}");
        }
    }
}
