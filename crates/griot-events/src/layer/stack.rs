//! How a layer is written here, and how it becomes one of tower's.

use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::{Answer, BoxFuture, Event};

/// What is done around a handler, as an async function of the event and what comes next.
///
/// [`Stack`] makes a layer of it. A pair of them is one, too, the first around the second.
pub trait Around: Clone + Send + Sync + 'static {
    /// Handles the event by means of `next`, once, never or again and again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nobody may rely on what it was about to say.
    fn around<N: Next>(
        self,
        event: Event,
        next: N,
    ) -> impl Future<Output = Answer> + Send + 'static;
}

/// What comes next: another layer, or the handler.
pub trait Next: Clone + Send + Sync + 'static {
    /// Has the event handled.
    fn run(self, event: Event) -> impl Future<Output = Answer> + Send + 'static;
}

/// The layer of an [`Around`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Stack<A>(pub A);

/// A service with an [`Around`] around it.
#[derive(Clone, Copy, Debug)]
pub struct Stacked<A, S> {
    around: A,
    inner: S,
}

impl<A, S> Stacked<A, S> {
    pub(super) fn new(around: A, inner: S) -> Self {
        Self { around, inner }
    }
}

impl<A: Clone, S> Layer<S> for Stack<A> {
    type Service = Stacked<A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Stacked::new(self.0.clone(), inner)
    }
}

impl<A, S> Service<Event> for Stacked<A, S>
where
    A: Around,
    S: Service<Event, Response = Answer, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // What it is put around is waited for in the future, where it can be tried again.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: Event) -> Self::Future {
        let handled = self.around.clone().around(event, Last(self.inner.clone()));
        Box::pin(async move { Ok(handled.await) })
    }
}

/// A service as what comes next.
#[derive(Clone)]
struct Last<S>(S);

impl<S> Next for Last<S>
where
    S: Service<Event, Response = Answer, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    async fn run(self, event: Event) -> Answer {
        let Self(mut service) = self;
        let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
        let Ok(answer) = service.call(event).await;
        answer
    }
}

impl<A: Around, B: Around> Around for (A, B) {
    fn around<N: Next>(
        self,
        event: Event,
        next: N,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let (outer, inner) = self;
        outer.around(event, Inner(inner, next))
    }
}

/// A layer and what comes behind it, as what comes next.
#[derive(Clone)]
struct Inner<A, N>(A, N);

impl<A: Around, N: Next> Next for Inner<A, N> {
    fn run(self, event: Event) -> impl Future<Output = Answer> + Send + 'static {
        self.0.around(event, self.1)
    }
}

/// Every layer of the house is a layer of tower by itself, too.
macro_rules! layers {
    ($($name:ident $(<$parameter:ident>)?),+) => {
        $(impl<S $(, $parameter)?> Layer<S> for super::$name $(<$parameter>)? {
            type Service = Stacked<Self, S>;

            fn layer(&self, inner: S) -> Self::Service {
                Stacked::new(self.clone(), inner)
            }
        })+
    };
}

layers!(
    CatchPanic,
    CircuitBreaker,
    ConcurrencyLimit,
    Correlation,
    DeadLetters,
    Deduplicate<K>,
    DefaultStack,
    Metrics,
    Retries,
    Throttle,
    Timeout,
    Trace
);
