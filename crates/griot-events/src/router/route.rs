//! What stands behind a pattern: a handler with its state, and the layers around it.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tower::Service;

use crate::{Answer, BatchHandler, BoxFuture, Event, Failure, Handler};

type Answering = BoxFuture<'static, Result<Answer, Infallible>>;

/// A handler with its state and the layers around it: what [`Router::layer`](crate::Router::layer)
/// gives to a layer. Cheap to clone.
#[derive(Clone)]
pub struct Route(Arc<dyn Fn(Event) -> Answering + Send + Sync>);

impl Route {
    pub(super) fn of_handler<H, T, S>(handler: H, state: S) -> Self
    where
        H: Handler<T, S>,
        S: Clone + Send + Sync + 'static,
    {
        Self(Arc::new(move |event| {
            let (handler, state) = (handler.clone(), state.clone());
            Box::pin(async move { Ok(handler.call(event, state).await) })
        }))
    }

    pub(super) fn of_batch_handler<H, T, S>(handler: H, state: S) -> Self
    where
        H: BatchHandler<T, S>,
        S: Clone + Send + Sync + 'static,
    {
        Self(Arc::new(move |batch| {
            let (handler, state) = (handler.clone(), state.clone());
            Box::pin(async move { Ok(handler.call(batch, state).await) })
        }))
    }

    pub(super) fn of_service<L>(service: L) -> Self
    where
        L: Service<Event, Response = Answer, Error: fmt::Display + Send, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self(Arc::new(move |event| {
            let mut service = service.clone();
            let mut now = Context::from_waker(Waker::noop());
            // Most layers are always ready; then their future is all that there is to wait for.
            match service.poll_ready(&mut now) {
                Poll::Ready(Ok(())) => boxed(service.call(event)),
                Poll::Ready(Err(error)) => boxed(ready(Err(error))),
                Poll::Pending => boxed(async move {
                    poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(event).await
                }),
            }
        }))
    }

    pub(super) fn answer(&self, event: Event) -> Answering {
        (self.0)(event)
    }
}

/// The future in a box: its own, where it is in one that fits.
fn boxed<F, E>(future: F) -> Answering
where
    F: Future<Output = Result<Answer, E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    let mut own = Some(future);
    if let Some(fitting) = (&mut own as &mut dyn Any).downcast_mut::<Option<Answering>>()
        && let Some(answering) = fitting.take()
    {
        return answering;
    }
    #[expect(clippy::expect_used, reason = "only a fitting box is taken out above")]
    let future = own.expect("a future of another type");
    Box::pin(async move {
        let answer = future.await;
        Ok(answer.unwrap_or_else(|error| Failure::from(error).into()))
    })
}

impl Service<Event> for Route {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: Event) -> Answering {
        self.answer(event)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Route")
    }
}
