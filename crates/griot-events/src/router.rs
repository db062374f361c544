//! Which handler gets which event.

mod batch;
mod pattern;
mod route;
mod table;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

pub use batch::Batch;
pub use route::Route;

use self::pattern::Pattern;
pub(crate) use self::pattern::is_dead;
use self::table::{Endpoint, Table};
use crate::{Answer, BatchHandler, BoxFuture, DeadLetter, Event, Handler};

/// Which handler gets which event, by topic and by name.
///
/// ```
/// use griot_events::{Json, Router};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct OrderPlaced { total: u64 }
///
/// async fn placed(Json(order): Json<OrderPlaced>) {}
/// async fn other_orders() {}
/// async fn stock() {}
///
/// let router: Router = Router::new()
///     .on_event("orders", "OrderPlaced", placed)
///     .on("orders", other_orders)
///     .nest("warehouse", Router::new().on("stock.*", stock));
/// assert_eq!(router.topics(), ["orders", "warehouse.stock.*"]);
/// ```
///
/// In a topic a `*` stands for one word between dots, and `>` at the end for one word or more. The
/// most exact wins: what asks for the event's name before what does not; then, word by word from the
/// left, a word before `*`, and `*` before `>`.
///
/// Nothing vanishes: an event that nobody asks for goes to the [fallback](Router::fallback), which
/// makes a dead letter of it unless told otherwise.
///
/// **Dead letters** lie in topics whose last word is [`dead`](crate::layer::DEAD). Neither `*` nor `>`
/// stands for that word, so that no dead letter of `orders.*` comes back through `orders.*` for ever:
/// whoever handles dead letters says so, as in `orders.dead` or `orders.*.dead`. Those that come in
/// only because a pattern such as `orders.>` was subscribed to are passed over, acknowledged.
///
/// **Batches**: a handler of [`on_batch`](Router::on_batch) gets many events at once, a `Vec` of them,
/// as a [`Consumer`](crate::Consumer) gathers them; [`Batch`] says how.
///
/// An event costs one allocation from router to answer, the handler's future, beside what the handler
/// needs; with [`DefaultStack`](crate::layer::DefaultStack) around it two.
///
/// Once its state is there ([`with_state`](Router::with_state); `()` needs none) it is a
/// [`tower::Service`], cheap to clone.
///
/// ```compile_fail,E0277
/// # use griot_events::{Event, Router};
/// # use tower::Service;
/// fn handle(mut router: Router<String>, event: Event) {
///     Service::call(&mut router, event); // its state is missing
/// }
/// ```
pub struct Router<S = ()> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    table: Table<S>,
    fallback: Endpoint<S>,
    /// Not the fallback that a router has anyway.
    fallback_chosen: bool,
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// A router that makes a dead letter of every event.
    pub fn new() -> Self {
        let inner = Inner {
            table: Table::default(),
            fallback: Endpoint::of_handler(nobody),
            fallback_chosen: false,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Handles the events of a topic, whatever their name.
    ///
    /// # Panics
    ///
    /// If the topic is handled already, or is no topic: an empty word, or a `*` or `>` that is not a
    /// word of its own or not in its place.
    #[must_use]
    pub fn on<H: Handler<T, S>, T: 'static>(self, topic: &str, handler: H) -> Self {
        self.route(Pattern::parse(topic), None, Endpoint::of_handler(handler))
    }

    /// Handles the events of a topic that are called `name`: that have it in the header
    /// [`EVENT_NAME`](crate::EVENT_NAME).
    ///
    /// # Panics
    ///
    /// If this name is handled already in this topic, or if it is no topic, as in [`on`](Router::on).
    #[must_use]
    pub fn on_event<H: Handler<T, S>, T: 'static>(
        self,
        topic: &str,
        name: &str,
        handler: H,
    ) -> Self {
        let endpoint = Endpoint::of_handler(handler);
        self.route(Pattern::parse(topic), Some(name), endpoint)
    }

    /// Handles the events of a topic, whatever their name, many at a time: in batches that a
    /// [`Consumer`](crate::Consumer) gathers, each answered once for all of it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use griot_events::{Batch, Event, Router};
    ///
    /// async fn store(orders: Vec<Event>) -> std::io::Result<()> {
    ///     println!("{} orders in one write", orders.len());
    ///     Ok(())
    /// }
    ///
    /// let batch = Batch { events_max: 500, wait_max: Duration::from_millis(50) };
    /// let router: Router = Router::new().on_batch("orders", batch, store);
    /// ```
    ///
    /// # Panics
    ///
    /// As [`on`](Router::on).
    #[must_use]
    pub fn on_batch<H: BatchHandler<T, S>, T: 'static>(
        self,
        topic: &str,
        batch: Batch,
        handler: H,
    ) -> Self {
        let endpoint = Endpoint::of_batch_handler(batch, handler);
        self.route(Pattern::parse(topic), None, endpoint)
    }

    /// Handles the events of a topic that are called `name` in batches, as [`on_batch`](Router::on_batch)
    /// does those of any name.
    ///
    /// # Panics
    ///
    /// As [`on_event`](Router::on_event).
    #[must_use]
    pub fn on_event_batch<H: BatchHandler<T, S>, T: 'static>(
        self,
        topic: &str,
        name: &str,
        batch: Batch,
        handler: H,
    ) -> Self {
        let endpoint = Endpoint::of_batch_handler(batch, handler);
        self.route(Pattern::parse(topic), Some(name), endpoint)
    }

    /// Handles the events called `name` in whatever topics are subscribed to; it adds none to
    /// [`topics`](Router::topics). In a [nested](Router::nest) router: in the prefix as a topic, and
    /// all that begin with it.
    ///
    /// # Panics
    ///
    /// If this name is handled already in every topic.
    #[must_use]
    pub fn event<H: Handler<T, S>, T: 'static>(self, name: &str, handler: H) -> Self {
        let endpoint = Endpoint::of_handler(handler);
        self.route(Pattern::everywhere(), Some(name), endpoint)
    }

    /// Handles what nobody else does, in place of a dead letter.
    #[must_use]
    pub fn fallback<H: Handler<T, S>, T: 'static>(mut self, handler: H) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.fallback = Endpoint::of_handler(handler);
        inner.fallback_chosen = true;
        self
    }

    /// Puts the routes of another router behind a prefix: its `stock` becomes `warehouse.stock`. Its
    /// fallback, where it chose one, gets what begins with the prefix and nobody else handles.
    ///
    /// # Panics
    ///
    /// If one of its routes is handled already, or the prefix is no topic or has a `>`.
    #[must_use]
    pub fn nest(mut self, prefix: &str, router: Self) -> Self {
        let prefix = Pattern::parse(prefix);
        let nested = Arc::unwrap_or_clone(router.inner);
        for (pattern, name, endpoint) in nested.table.into_routes() {
            self = self.route(prefix.join(&pattern), name.as_deref(), endpoint);
        }
        if nested.fallback_chosen {
            self = self.route(prefix.join(&Pattern::everywhere()), None, nested.fallback);
        }
        self
    }

    /// Adds the routes of another router, and its fallback where it chose one.
    ///
    /// # Panics
    ///
    /// If one of its routes is handled already, or both chose a fallback.
    #[must_use]
    pub fn merge(mut self, router: Self) -> Self {
        let other = Arc::unwrap_or_clone(router.inner);
        for (pattern, name, endpoint) in other.table.into_routes() {
            self = self.route(pattern, name.as_deref(), endpoint);
        }
        if other.fallback_chosen {
            let inner = Arc::make_mut(&mut self.inner);
            assert!(
                !inner.fallback_chosen,
                "both routers have a fallback: remove one before merging them"
            );
            inner.fallback = other.fallback;
            inner.fallback_chosen = true;
        }
        self
    }

    /// Puts a layer around all routes there are so far, each by itself, and around the fallback.
    /// The layer that is added last is the outermost. What it answers with an error is
    /// [retried](Answer::Retry), so that every layer of tower fits.
    ///
    /// To put it around some routes only, give them a router of their own and
    /// [merge](Router::merge) it.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Event, Response = Answer, Error: fmt::Display + Send, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let inner = Arc::make_mut(&mut self.inner);
        let around = |endpoint: &Endpoint<S>| {
            let layer = layer.clone();
            endpoint.map(move |route| Route::of_service(layer.layer(route)))
        };
        inner.table = inner.table.map(around);
        inner.fallback = around(&inner.fallback);
        self
    }

    /// Gives the handlers their state. The router that comes of it needs another, mostly `()`: none.
    #[must_use]
    pub fn with_state<T: 'static>(self, state: S) -> Router<T> {
        let filled = |endpoint: &Endpoint<S>| endpoint.with_state(&state);
        let inner = Inner {
            table: self.inner.table.map(filled),
            fallback: filled(&self.inner.fallback),
            fallback_chosen: self.inner.fallback_chosen,
        };
        Router {
            inner: Arc::new(inner),
        }
    }

    /// What to subscribe to: each topic and pattern that has a route, once, sorted.
    pub fn topics(&self) -> Vec<String> {
        let mut topics = self.inner.table.topics();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Which route handles an event, if one does, and how it is gathered with others there, if it is. The
    /// pattern is an allocation of that route's own, by which it is told from all others of this router.
    pub fn handled_by(&self, event: &Event) -> Option<(&Arc<str>, Option<Batch>)> {
        let table = &self.inner.table;
        if is_dead(event.topic()) && table.strays_in(event.topic()) {
            return None;
        }
        let (pattern, endpoint) = table.find(event.topic(), event.name())?;
        Some((pattern, endpoint.batch))
    }

    fn route(mut self, pattern: Pattern, name: Option<&str>, endpoint: Endpoint<S>) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.table.insert(pattern, name, endpoint);
        self
    }
}

/// The fallback of a router that chose none.
async fn nobody(event: Event) -> DeadLetter<String> {
    let topic = event.topic();
    DeadLetter(match event.name() {
        Some(name) => format!("no handler for the event `{name}` of the topic `{topic}`"),
        None => format!("no handler for the topic `{topic}`"),
    })
}

impl Service<Event> for Router<()> {
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: Event) -> Self::Future {
        let Inner {
            table, fallback, ..
        } = &*self.inner;
        if is_dead(event.topic()) && table.strays_in(event.topic()) {
            let (topic, id) = (event.topic(), event.id());
            tracing::debug!(
                topic,
                id,
                "a dead letter that nobody asked for is passed over"
            );
            return Box::pin(async { Ok(Answer::Ack) });
        }
        let found = table.find(event.topic(), event.name());
        if event.is_batch() && found.is_none_or(|(_, endpoint)| endpoint.batch.is_none()) {
            // Its handler would see the first of them, and the others would be acknowledged unseen.
            let reason = "a batch for a handler of single events".to_owned();
            return Box::pin(async { Ok(Answer::DeadLetter { reason }) });
        }
        if let Some((pattern, endpoint)) = found {
            let event = event.routed(Arc::clone(pattern));
            return endpoint.route().answer(event);
        }
        fallback.route().answer(event)
    }
}

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<S> Clone for Inner<S> {
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
            fallback: self.fallback.clone(),
            fallback_chosen: self.fallback_chosen,
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Router")
            .field("topics", &self.inner.table.topics())
            .finish_non_exhaustive()
    }
}
