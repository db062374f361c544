//! The message that everybody publishes and consumes.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ruststream_nats::prelude::Outgoing;
use serde::{Deserialize, Serialize};

/// Times within a run are counted from here.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Some 190 bytes of JSON.
#[derive(Clone, Debug, Serialize, Deserialize, Outgoing)]
pub struct Order {
    pub id: u64,
    /// Its key: messages of one customer keep their order.
    pub customer: String,
    pub merchant: String,
    pub items: Vec<Item>,
    pub total: u64,
    pub sent_nanos: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    pub id: String,
    pub quantity: u32,
    pub price: u64,
}

impl Order {
    /// An order of the customer `id % customers`.
    pub fn new(id: u64, customers: u64) -> Self {
        let item = |id: &str, price| Item {
            id: id.to_owned(),
            quantity: 2,
            price,
        };
        Self {
            id,
            customer: format!("CUST-{:05}", id % customers),
            merchant: "MRCN-001".to_owned(),
            items: vec![item("IT-001", 1_500), item("IT-002", 799)],
            total: 4_598,
            sent_nanos: u64::try_from(BEGIN.elapsed().as_nanos()).unwrap(),
        }
    }

    /// How long ago it was made.
    pub fn age(&self) -> Duration {
        BEGIN
            .elapsed()
            .checked_sub(Duration::from_nanos(self.sent_nanos))
            .unwrap()
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap()
    }

    pub fn from_json(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap()
    }
}
