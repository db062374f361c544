//! A client that places orders and does not let go until it has an answer.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::backends::CARD_DECLINED;
use crate::process::until;

/// How long one attempt may take; the service may be killed in the middle of it.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// How long to wait for a new service after one did not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// An order that the service said it has.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// The key it was placed under.
    pub(crate) key: String,
    /// The body it was placed with.
    pub(crate) body: Value,
    /// The id that the service gave it.
    pub(crate) id: String,
}

/// An order that differs with `number`: one in 16 has a card that is declined, one in 16 a
/// customer who does not exist.
pub(crate) fn order(number: u64) -> Value {
    let items: Vec<Value> = (0..=number % 4)
        .map(|item| json!({ "id": format!("IT-{:03}", (number * 7 + item) % 100), "qty": 1 + (number + item) % 9 }))
        .collect();
    let mut order = json!({
        "customer": format!("CUST-{:03}", number % 50),
        "merchant": format!("MRCN-{:03}", number % 10),
        "payment": format!("CARD-{:03}", number % 50),
        "items": items,
    });
    match number % 16 {
        3 => order["payment"] = CARD_DECLINED.into(),
        7 => order["customer"] = format!("MISSING-{number}").into(),
        _ => {}
    }
    if number.is_multiple_of(3) {
        order["promo"] = format!("PROM-{:03}", number % 20).into();
    }
    order
}

/// The state that an order with this body must end in.
pub(crate) fn end_of(body: &Value) -> &'static str {
    let says = |field: &str, start: &str| {
        body[field]
            .as_str()
            .is_some_and(|text| text.starts_with(start))
    };
    if says("customer", "MISSING") {
        "rejected"
    } else if says("payment", CARD_DECLINED) {
        "cancelled"
    } else {
        "completed"
    }
}

/// Someone who orders from a service whose address changes each time it is killed.
#[derive(Clone)]
pub(crate) struct Customer {
    client: Client,
    service: watch::Receiver<String>,
}

impl Customer {
    /// A customer of the service whose newest base URL is in `service`.
    pub(crate) fn of(service: watch::Receiver<String>) -> Self {
        let client = Client::builder()
            .timeout(ATTEMPT_MAX)
            .build()
            .expect("a client");
        Self { client, service }
    }

    /// Sends an order once.
    pub(crate) async fn send(
        &self,
        key: &str,
        body: &Value,
        wait: Option<u32>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let url = format!("{}/orders", self.service.borrow().as_str());
        let mut request = self
            .client
            .post(url)
            .header("Idempotency-Key", key)
            .json(body);
        if let Some(seconds) = wait {
            request = request.header("Prefer", format!("wait={seconds}"));
        }
        let response = request.send().await?;
        Ok((response.status(), response.json().await?))
    }

    /// Sends an order under its key until the service acknowledges it.
    ///
    /// # Panics
    ///
    /// If the service answers anything but an acknowledgement or "later".
    pub(crate) async fn place(
        &mut self,
        key: String,
        body: Value,
        wait: Option<u32>,
    ) -> Acknowledged {
        loop {
            match self.send(&key, &body, wait).await {
                Ok((StatusCode::OK | StatusCode::ACCEPTED, answer)) => {
                    let id = answer["id"]
                        .as_str()
                        .unwrap_or_else(|| panic!("no id in {answer}"))
                        .to_owned();
                    return Acknowledged { key, body, id };
                }
                Ok((StatusCode::SERVICE_UNAVAILABLE, _)) | Err(_) => {
                    let _ = tokio::time::timeout(PAUSE, self.service.changed()).await;
                }
                Ok((status, answer)) => panic!("{key}: {status} {answer}"),
            }
        }
    }

    /// What is at `path` of the service, asked again for as long as the service is too busy.
    ///
    /// # Panics
    ///
    /// If it is not there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        until("the service answers", async || {
            let url = format!("{}{path}", self.service.borrow().as_str());
            let response = self.client.get(url).send().await.ok()?;
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                return None;
            }
            assert!(
                response.status().is_success(),
                "{path}: {}",
                response.status()
            );
            response.json().await.ok()
        })
        .await
    }

    /// The order `id`, once it has ended.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        until("the order ends", async || {
            let order = self.get(&format!("/orders/{id}")).await;
            let ended = matches!(
                order["state"].as_str(),
                Some("completed" | "rejected" | "cancelled")
            );
            ended.then_some(order)
        })
        .await
    }
}

/// A customer of a service that stays where it is.
pub(crate) fn customer_of(url: &str) -> Customer {
    Customer::of(watch::channel(url.to_owned()).1)
}
