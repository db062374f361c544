//! Several events that are handled as one.

use std::slice;
use std::sync::Arc;

use super::Event;

impl Event {
    /// Several events as one, in order: what a [`Consumer`](crate::Consumer) gives to the handlers of
    /// [`Router::on_batch`](crate::Router::on_batch), and to the layers around them. To whoever asks it
    /// for anything but [`all`](Self::all) it is the first of them. `None` where there are none.
    ///
    /// ```
    /// # use griot_events::{Content, Headers, Partition};
    /// use griot_events::{Answer, Batch, Event, Router};
    /// use tower::Service;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let event = |offset| Event::new(Content {
    /// #     topic: "orders".to_owned(),
    /// #     key: None,
    /// #     headers: Headers::default(),
    /// #     payload: "{}".into(),
    /// #     partition: Partition(0),
    /// #     offset,
    /// #     published_at: None,
    /// #     redelivered: 0,
    /// # });
    /// let store = async |orders: Vec<Event>| assert_eq!(orders.len(), 3);
    /// let mut router: Router = Router::new().on_batch("orders", Batch::default(), store);
    /// let three = Event::batch([event(1), event(2), event(3)]).unwrap();
    /// assert_eq!(router.call(three).await, Ok(Answer::Ack));
    /// # }
    /// ```
    pub fn batch(events: impl IntoIterator<Item = Self>) -> Option<Self> {
        let events: Vec<Self> = events.into_iter().collect();
        let first = events.first()?.clone();
        let batch = (events.len() > 1).then(|| events.into());
        Some(Self { batch, ..first })
    }

    /// All events of a [batch](Self::batch), in order; of another event, itself.
    pub fn all(&self) -> &[Self] {
        self.batch.as_deref().unwrap_or(slice::from_ref(self))
    }

    /// Whether it stands for two events or more.
    pub fn is_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// The same event for an attempt behind all that were begun on any of its clones.
    pub(crate) fn attempt_anew(&self) -> Self {
        let attempt = self.attempts();
        Self {
            attempt,
            ..self.clone()
        }
        .next_attempt()
    }

    /// What `change` makes of the events of a batch.
    pub(super) fn each(&self, change: impl Fn(&Self) -> Self) -> Option<Arc<[Self]>> {
        let batch = self.batch.as_ref()?;
        Some(batch.iter().map(change).collect())
    }
}
