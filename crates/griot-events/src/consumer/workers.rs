//! The tasks that work on messages: a few of them, each with the messages of its lanes.

use std::convert::Infallible;
use std::future::pending;
use std::task::Poll;
use std::thread::available_parallelism;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, poll};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::ReusableBoxFuture;
use tower::Service;

use super::work::{Ended, Work};
use crate::{Answer, Event};

/// Workers for each processor: enough that one whose handler computes for long keeps few lanes waiting.
const PER_PROCESSOR: usize = 4;

/// Messages that a worker takes before it looks at those that wait.
const AT_ONCE: usize = 32;

/// A work that was begun.
type Running = ReusableBoxFuture<'static, Ended>;

/// All workers of a consumer. Dropped, they end at their next await.
///
/// A task for each message would be simpler. It costs the scheduler several times what most
/// handlers need, since most messages are done before they have to wait for anything.
pub(super) struct Workers<S> {
    given: Vec<mpsc::UnboundedSender<Work<S>>>,
    ended: mpsc::UnboundedReceiver<Ended>,
    under_way: usize,
    _tasks: JoinSet<()>,
}

impl<S> Workers<S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    pub(super) fn start() -> Self {
        let count = available_parallelism().map_or(1, usize::from) * PER_PROCESSOR;
        let (tell, ended) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let given = (0..count).map(|_| {
            let (give, given) = mpsc::unbounded_channel();
            tasks.spawn(work(given, tell.clone()));
            give
        });
        Self {
            given: given.collect(),
            ended,
            under_way: 0,
            _tasks: tasks,
        }
    }

    /// Works that were given and did not end.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Gives a message to the worker of its lane.
    pub(super) fn give(&mut self, work: Work<S>) {
        let workers = self.given.len() as u64;
        let place = usize::try_from(work.lane % workers).unwrap_or(0);
        // A worker ends no sooner than this does.
        if let Some(worker) = self.given.get(place)
            && worker.send(work).is_ok()
        {
            self.under_way += 1;
        }
    }

    /// Waits for a work that ends; for ever where none is under way.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub(super) async fn ended(&mut self) -> Ended {
        let Some(ended) = self.ended.recv().await else {
            return pending().await;
        };
        self.under_way -= 1;
        ended
    }

    /// A work that has ended already.
    pub(super) fn ended_already(&mut self) -> Option<Ended> {
        let ended = self.ended.try_recv().ok()?;
        self.under_way -= 1;
        Some(ended)
    }
}

/// Works on what it is given, until nobody gives it anything any more.
async fn work<S>(mut given: mpsc::UnboundedReceiver<Work<S>>, ended: mpsc::UnboundedSender<Ended>)
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let mut waiting = FuturesUnordered::new();
    let mut works = Vec::with_capacity(AT_ONCE);
    // For the next work: the box of the last one that did not have to wait.
    let mut spare = None;
    loop {
        tokio::select! {
            biased;
            Some(one) = waiting.next() => tell(&ended, one),
            count = given.recv_many(&mut works, AT_ONCE) => if count == 0 { return },
        }
        for work in works.drain(..) {
            let mut running = in_box(spare.take(), work.run());
            match poll!(&mut running) {
                Poll::Ready(one) => {
                    tell(&ended, one);
                    spare = Some(running);
                }
                Poll::Pending => waiting.push(running),
            }
        }
    }
}

fn in_box<F>(spare: Option<Running>, future: F) -> Running
where
    F: Future<Output = Ended> + Send + 'static,
{
    match spare {
        Some(mut spare) => {
            spare.set(future);
            spare
        }
        None => Running::new(future),
    }
}

fn tell(ended: &mpsc::UnboundedSender<Ended>, one: Ended) {
    // Nobody listens where the consumer was dropped, and then this ends, too.
    let _ = ended.send(one);
}
