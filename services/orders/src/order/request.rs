//! What somebody orders.

use crate::backends::wire::check_id;
use griot::http::Object;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The most items an order can have.
pub const ITEMS_MAX: usize = 1_000;

/// The most of one item.
pub const QTY_MAX: u32 = 1_000_000;

/// An order as somebody sends it. The API refuses fields that are not here: an order that leaves out
/// what its customer wrote would be another order. It is part of an event as well, and there a later
/// version may have written more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "customer": "CUST-001", "merchant": "MRCN-001", "payment": "CARD-001",
    "items": [{"id": "IT-001", "qty": 1}, {"id": "IT-002", "qty": 2}], "promo": "PROM-001",
}))]
pub struct OrderRequest {
    /// Who buys.
    #[schema(min_length = 1, max_length = 255)]
    pub customer: String,
    /// Who sells.
    #[schema(min_length = 1, max_length = 255)]
    pub merchant: String,
    /// The card, balance or whatever pays.
    #[schema(min_length = 1, max_length = 255)]
    pub payment: String,
    /// What is bought: 1 to 1,000 items.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 1000)]
    pub items: Vec<LineItem>,
    /// The promotion that applies, if any.
    #[schema(min_length = 1, max_length = 255)]
    pub promo: Option<String>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineItem {
    /// The product.
    #[schema(min_length = 1, max_length = 255)]
    pub id: String,
    /// How many of it: 1 to 1,000,000.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub qty: u32,
}

/// A value that an order must not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Where it is, like `items[3].qty`.
    pub field: String,
    /// What it must be.
    pub rule: String,
}

impl OrderRequest {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first one that must not be.
    pub fn check(&self) -> Result<(), Invalid> {
        let id = |field: &str, id: &str| {
            check_id(id).map_err(|rule| Invalid {
                field: field.to_owned(),
                rule,
            })
        };
        id("customer", &self.customer)?;
        id("merchant", &self.merchant)?;
        id("payment", &self.payment)?;
        if let Some(promo) = &self.promo {
            id("promo", promo)?;
        }
        if self.items.is_empty() || self.items.len() > ITEMS_MAX {
            let rule = format!("must be 1 to {ITEMS_MAX} items, not {}", self.items.len());
            return Err(Invalid {
                field: "items".to_owned(),
                rule,
            });
        }
        for (index, item) in self.items.iter().enumerate() {
            id(&format!("items[{index}].id"), &item.id)?;
            if !(1..=QTY_MAX).contains(&item.qty) {
                let rule = format!("must be from 1 to {QTY_MAX}, not {}", item.qty);
                return Err(Invalid {
                    field: format!("items[{index}].qty"),
                    rule,
                });
            }
        }
        Ok(())
    }
}

fn objects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LineItem>, D::Error> {
    let items = Vec::<Object<LineItem>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|Object(item)| item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> OrderRequest {
        OrderRequest {
            customer: "C".into(),
            merchant: "M".into(),
            payment: "P".into(),
            items: vec![LineItem {
                id: "I".into(),
                qty: 1,
            }],
            promo: None,
        }
    }

    #[test]
    fn the_first_wrong_value_is_named() {
        let field = |change: fn(&mut OrderRequest)| {
            let mut request = request();
            change(&mut request);
            request.check().err().map(|invalid| invalid.field)
        };
        assert_eq!(field(|_| ()), None);
        assert_eq!(
            field(|request| request.customer.clear()).as_deref(),
            Some("customer")
        );
        assert_eq!(
            field(|request| request.merchant = "..".into()).as_deref(),
            Some("merchant")
        );
        assert_eq!(
            field(|request| request.payment = "a\n".into()).as_deref(),
            Some("payment")
        );
        assert_eq!(
            field(|request| request.promo = Some(String::new())).as_deref(),
            Some("promo")
        );
        assert_eq!(
            field(|request| request.items.clear()).as_deref(),
            Some("items")
        );
        assert_eq!(
            field(|request| request.items[0].qty = 0).as_deref(),
            Some("items[0].qty")
        );
        assert_eq!(
            field(|request| request.items[0].id.clear()).as_deref(),
            Some("items[0].id")
        );
        assert_eq!(field(|request| request.items[0].qty = QTY_MAX), None);
        let more = |request: &mut OrderRequest| request.items[0].qty = QTY_MAX + 1;
        assert_eq!(field(more).as_deref(), Some("items[0].qty"));
    }

    #[test]
    fn a_stored_order_may_have_fields_of_a_later_version() {
        let mut stored = serde_json::to_value(request()).unwrap();
        stored["gift"] = true.into();
        stored["items"][0]["price"] = 7.into();
        let read: OrderRequest = serde_json::from_value(stored).unwrap();
        assert_eq!(read, request());
    }

    #[test]
    fn an_order_has_at_most_a_thousand_items() {
        let mut request = request();
        request.items = vec![request.items[0].clone(); ITEMS_MAX];
        assert_eq!(request.check(), Ok(()));
        request.items.push(request.items[0].clone());
        assert_eq!(request.check().unwrap_err().field, "items");
    }
}
