//! Placing one order so that it is placed exactly once, whatever happens on the way.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::failure::Failure;

/// The first pause before an order is sent again; each next one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// The longest pause before an order is sent again.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How much longer than it was asked to a request may take.
const ANSWER_MARGIN: Duration = Duration::from_secs(10);

/// A client that places orders and looks at them.
#[derive(Debug)]
pub(super) struct Placing {
    client: Client,
    orders: String,
    run: String,
    wait: Duration,
    give_up: Duration,
}

/// What became of one order that was sent.
#[derive(Debug)]
pub(super) struct Placed {
    /// From the first attempt to the answer.
    pub(super) latency: Duration,
    /// How often it was sent again.
    pub(super) retries: u64,
    /// Where it stands, or why nobody acknowledged it.
    pub(super) answer: Result<(String, Stand), String>,
}

/// Where an acknowledged order stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// In a state that nothing follows.
    Ended(String),
    /// On its way, in this state.
    Underway(String),
}

/// The part of an order that matters here.
#[derive(Deserialize)]
struct Order {
    id: String,
    state: String,
}

impl Order {
    fn stand(self) -> Stand {
        match self.state.as_str() {
            "completed" | "rejected" | "cancelled" => Stand::Ended(self.state),
            _ => Stand::Underway(self.state),
        }
    }
}

/// What one attempt came to.
enum Attempt {
    Acknowledged(Order),
    Again { after: Duration, reason: String },
    Refused(String),
}

impl Placing {
    /// A client of the service at the base URL `to`.
    ///
    /// # Errors
    ///
    /// [`Failure::Client`] when the HTTP client cannot be set up.
    pub(super) fn new(to: &str, wait: Duration, give_up: Duration) -> Result<Self, Failure> {
        let client = Client::builder()
            .timeout(wait + ANSWER_MARGIN)
            .tcp_nodelay(true)
            .build()
            .map_err(Failure::Client)?;
        Ok(Self {
            client,
            orders: format!("{to}/orders"),
            run: format!("load-{:016x}", fastrand::u64(..)),
            wait,
            give_up,
        })
    }

    /// Sends order `number` under its key until somebody answers, or the time to give up is there.
    pub(super) async fn place(&self, number: u64) -> Placed {
        let start = Instant::now();
        let mut backoff = BACKOFF_FIRST;
        let mut retries = 0;
        let answer = loop {
            match self.attempt(number).await {
                Attempt::Acknowledged(order) => break Ok((order.id.clone(), order.stand())),
                Attempt::Refused(reason) => break Err(reason),
                Attempt::Again { reason, .. } if start.elapsed() >= self.give_up => {
                    break Err(reason);
                }
                Attempt::Again { after, .. } => {
                    let pause = after.max(backoff);
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    retries += 1;
                }
            }
        };
        Placed {
            latency: start.elapsed(),
            retries,
            answer,
        }
    }

    /// Where the order `id` stands; nothing if nobody answers.
    pub(super) async fn look(&self, id: &str) -> Option<Stand> {
        let response = self
            .client
            .get(format!("{}/{id}", self.orders))
            .send()
            .await
            .ok()?;
        Some(response.json::<Order>().await.ok()?.stand())
    }

    async fn attempt(&self, number: u64) -> Attempt {
        let request = self
            .client
            .post(&self.orders)
            .header("Idempotency-Key", format!("{}-{number}", self.run))
            .json(&order(number));
        let request = match self.wait.as_secs() {
            0 => request,
            seconds => request.header("Prefer", format!("wait={seconds}")),
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Attempt::Again {
                    after: Duration::ZERO,
                    reason: kind(&error).to_owned(),
                };
            }
        };
        let status = response.status();
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => match response.json().await {
                Ok(order) => Attempt::Acknowledged(order),
                Err(error) => Attempt::Again {
                    after: Duration::ZERO,
                    reason: kind(&error).to_owned(),
                },
            },
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let seconds = response
                    .headers()
                    .get("Retry-After")
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                let after = Duration::from_secs(seconds.unwrap_or(0)).min(BACKOFF_MAX);
                Attempt::Again {
                    after,
                    reason: format!("answered {status}"),
                }
            }
            _ => Attempt::Refused(format!("answered {status}")),
        }
    }
}

/// The kinds of failure worth telling apart in a table.
fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_decode() {
        "an answer that is no order"
    } else {
        "connection broken"
    }
}

/// Order `number`: varied, and the same in every run.
fn order(number: u64) -> serde_json::Value {
    let items: Vec<_> = (0..=number % 3)
        .map(|item| json!({ "id": format!("IT-{:03}", (number + item) % 500), "qty": 1 + item }))
        .collect();
    let mut order = json!({
        "customer": format!("CUST-{:03}", number % 1000),
        "merchant": format!("MRCN-{:03}", number % 100),
        "payment": format!("CARD-{:03}", number % 1000),
        "items": items,
    });
    if number.is_multiple_of(2) {
        order["promo"] = json!(format!("PROM-{:03}", number % 10));
    }
    order
}
