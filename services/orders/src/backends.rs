//! The seven backends an order needs, as it asks them: over HTTP, or simulated in process. Both
//! ways meet the same code, which turns every answer, no answer and a wrong answer into what an
//! order can act on.

mod authorities;
mod books;
mod client;
mod served;
mod simulation;
mod transport;
pub mod wire;

pub use authorities::Authorities;
pub use served::{openapi, router};
pub use simulation::Simulation;

use crate::OrdersError;
use axum::http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use transport::{Answer, Transport};
use wire::{
    Created, InvoiceChange, InvoiceState, NewInvoice, NewPayment, Notification, Party, Product,
    Promotion,
};

/// How long one call to the simulated backends may take beyond twice their latency.
const SIMULATED_TIMEOUT: Duration = Duration::from_secs(5);

/// The seven backends. A clone shares the connections.
///
/// A GET that is answered with 404 gives `None`. For all else there is a [`Failure`]. Dropping a
/// future may leave a request that has been carried out: ask again under the same key.
#[derive(Debug, Clone)]
pub struct Backends {
    transport: Transport,
}

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Asking again under the same key may help: the backend answered 5xx, 429 or garbage, not in
    /// time, or not at all.
    Retry(String),
    /// Somebody has to look at it: the backend refused the request.
    Refused(String),
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payment {
    /// It was made, and has this id.
    Made(String),
    /// It was declined.
    Declined,
}

impl Backends {
    /// Simulated backends, in process.
    pub fn simulated(simulation: Simulation) -> Self {
        Self {
            transport: Transport::in_process(router(simulation), SIMULATED_TIMEOUT),
        }
    }

    /// The backends under `base_url`, which is `http://…` or `https://…`. A call that takes longer
    /// than `timeout`, from the connection to the last byte of the answer, counts as not answered.
    ///
    /// # Errors
    ///
    /// [`OrdersError::BackendsUrl`] if `base_url` is none with a host, or is `https://` on a machine
    /// that trusts no authority.
    pub fn http(base_url: &str, timeout: Duration) -> Result<Self, OrdersError> {
        Self::http_trusting(&Authorities::platform(), base_url, timeout)
    }

    /// The backends under `base_url`, where certificates signed by `authorities` are good.
    ///
    /// # Errors
    ///
    /// As for [`Backends::http`].
    pub fn http_trusting(
        authorities: &Authorities,
        base_url: &str,
        timeout: Duration,
    ) -> Result<Self, OrdersError> {
        Ok(Self {
            transport: Transport::http(base_url, timeout, authorities)?,
        })
    }

    /// How long one call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.transport.timeout()
    }

    /// How many calls of one kind they take at a time.
    pub(crate) fn calls_max(&self) -> usize {
        self.transport.calls_max()
    }

    /// Looks up a customer.
    ///
    /// # Errors
    ///
    /// A [`Failure`], as for every other call here.
    pub async fn customer(&self, id: &str) -> Result<Option<Party>, Failure> {
        self.look_up("customers", id).await
    }

    /// Looks up a merchant.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub async fn merchant(&self, id: &str) -> Result<Option<Party>, Failure> {
        self.look_up("merchants", id).await
    }

    /// Looks up a promotion.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub async fn promotion(&self, id: &str) -> Result<Option<Promotion>, Failure> {
        self.look_up("promotions", id).await
    }

    /// Looks up a product.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub async fn product(&self, id: &str) -> Result<Option<Product>, Failure> {
        self.look_up("products", id).await
    }

    /// Creates an invoice and gives its id.
    ///
    /// # Errors
    ///
    /// A [`Failure`]; it may have been created all the same.
    pub async fn create_invoice(&self, key: &str, invoice: &NewInvoice) -> Result<String, Failure> {
        let created: Created = self
            .write(Method::POST, &["invoices"], key, invoice)
            .await?
            .read()?;
        Ok(created.id)
    }

    /// Makes an invoice void.
    ///
    /// # Errors
    ///
    /// A [`Failure`]; it may be void all the same.
    pub async fn void_invoice(&self, key: &str, invoice: &str) -> Result<(), Failure> {
        let change = InvoiceChange {
            state: InvoiceState::Void,
        };
        self.write(Method::PUT, &["invoices", invoice], key, &change)
            .await?
            .accept()
    }

    /// Pays an invoice.
    ///
    /// # Errors
    ///
    /// A [`Failure`]; it may have been paid all the same.
    pub async fn pay(&self, key: &str, payment: &NewPayment) -> Result<Payment, Failure> {
        let answer = self
            .write(Method::POST, &["payments"], key, payment)
            .await?;
        if answer.status == StatusCode::PAYMENT_REQUIRED {
            return Ok(Payment::Declined);
        }
        let created: Created = answer.read()?;
        Ok(Payment::Made(created.id))
    }

    /// Tells somebody something.
    ///
    /// # Errors
    ///
    /// A [`Failure`]; it may have been told all the same.
    pub async fn notify(&self, key: &str, notification: &Notification) -> Result<(), Failure> {
        self.write(Method::POST, &["notifications"], key, notification)
            .await?
            .accept()
    }

    async fn look_up<T: DeserializeOwned>(
        &self,
        backend: &'static str,
        id: &str,
    ) -> Result<Option<T>, Failure> {
        let answer = self
            .ask(Method::GET, &[backend, id], None, Vec::new())
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer.read().map(Some)
    }

    async fn write(
        &self,
        method: Method,
        path: &[&str],
        key: &str,
        body: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Failure::Refused(format!("the request cannot be written as JSON: {error}"))
        })?;
        self.ask(method, path, Some(key), body).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        key: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let backend = path.first().copied().unwrap_or_default().to_owned();
        let asked_at = Instant::now();
        let answer = self.transport.ask(method, path, key, body).await;
        let status = answer
            .as_ref()
            .map_or("none", |answer| status_class(answer.status));
        metrics::counter!("orders_backend_answers_total", "backend" => backend.clone(), "status" => status)
            .increment(1);
        metrics::histogram!("orders_backend_seconds", "backend" => backend)
            .record(asked_at.elapsed().as_secs_f64());
        answer
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "2xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::wire::{Audience, Notice};
    use super::*;

    fn simulated(fail_rate: f64) -> Backends {
        let declined = vec!["CARD-BAD".to_owned()];
        Backends::simulated(Simulation::new(
            Duration::from_millis(1),
            fail_rate,
            declined,
        ))
    }

    fn payment(method: &str) -> NewPayment {
        NewPayment {
            invoice_id: "INV-1".into(),
            method_id: method.into(),
            amount: 1,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_id_exists_and_always_says_the_same_but_for_missing_ones() {
        let (one, other) = (simulated(0.0), simulated(0.0));
        for id in ["IT-001", "a/b", "ü ?#%2F", "x"] {
            let product = one.product(id).await.unwrap().unwrap();
            assert_eq!(product.id, id);
            assert!((100..10_000).contains(&product.price));
            assert_eq!(other.product(id).await.unwrap(), Some(product));
            assert_eq!(one.customer(id).await.unwrap().unwrap().id, id);
            assert_eq!(one.merchant(id).await.unwrap().unwrap().id, id);
            assert!(one.promotion(id).await.unwrap().unwrap().discount <= 50);
        }
        assert_eq!(one.product("MISSING-1").await.unwrap(), None);
        assert_eq!(one.customer("MISSING").await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_gets_one_answer_also_from_another_instance() {
        let (one, other) = (simulated(0.0), simulated(0.0));
        let made = one.pay("o/payment", &payment("CARD")).await.unwrap();
        assert_eq!(one.pay("o/payment", &payment("CARD")).await.unwrap(), made);
        assert_eq!(
            other.pay("o/payment", &payment("CARD")).await.unwrap(),
            made
        );
        assert_ne!(one.pay("p/payment", &payment("CARD")).await.unwrap(), made);
        let another = one.pay("o/payment", &payment("CASH")).await.unwrap_err();
        assert!(matches!(another, Failure::Refused(_)), "{another:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_declined_method_is_declined_every_time() {
        let backends = simulated(0.0);
        for _ in 0..2 {
            assert_eq!(
                backends.pay("k", &payment("CARD-BAD")).await.unwrap(),
                Payment::Declined
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_backend_asks_for_a_retry_and_a_retry_succeeds_with_one_effect() {
        let simulation = Simulation::new(Duration::from_millis(1), 0.5, Vec::new());
        let backends = Backends::simulated(simulation.clone());
        let notification = Notification {
            to: Audience::Customer,
            recipient: "C".into(),
            kind: Notice::InvoiceIssued,
            order: "o".into(),
            invoice: Some("INV-1".into()),
        };
        for key in 0..100 {
            let key = key.to_string();
            while let Err(failure) = backends.notify(&key, &notification).await {
                assert!(matches!(failure, Failure::Retry(_)), "{failure:?}");
            }
            while let Err(failure) = backends.void_invoice(&format!("{key}/v"), "INV-1").await {
                assert!(matches!(failure, Failure::Retry(_)), "{failure:?}");
            }
        }
        let books = simulation.books().unwrap();
        let books: serde_json::Value = serde_json::from_slice(&books).unwrap();
        let pages = books["keys"].as_object().unwrap();
        assert_eq!(pages.len(), 200);
        assert!(
            pages
                .values()
                .all(|page| page["effects"] == 1 && page["conflicts"] == 0)
        );
        assert!(
            pages
                .values()
                .any(|page| page["asked"].as_u64().unwrap() > 1)
        );
    }
}
