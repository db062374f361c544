//! The task that leads a crew of workers: it starts them, and ends them as it is told.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Ended;
use crate::control::{DRAIN, KILL, STOP};
use crate::dead_letter::DeadCause;
use crate::workers::Shared;

pub(crate) struct Foreman<M, O> {
    shared: Arc<Shared<M, O>>,
    id: u64,
    finished: bool,
}

impl<M: Send + 'static, O: Send + 'static> Foreman<M, O> {
    pub(crate) const fn new(shared: Arc<Shared<M, O>>, id: u64) -> Self {
        Self {
            shared,
            id,
            finished: false,
        }
    }

    /// Starts worker 1 to `count`, and leads them to their end.
    pub(crate) async fn lead<F: Future<Output = ()> + Send + 'static>(
        mut self,
        count: usize,
        work: impl Fn(usize, watch::Receiver<bool>) -> F + Send,
    ) {
        let stop = watch::Sender::new(false);
        let mut workers = JoinSet::new();
        for worker in 1..=count {
            workers.spawn(work(worker, stop.subscribe()));
        }
        let mut seen = 0;
        while let Some(flags) = self.next_flags(seen, &mut workers).await {
            seen = flags;
            if flags & KILL != 0 {
                workers.abort_all();
            } else if flags & STOP != 0 {
                stop.send_replace(true);
            } else if flags & DRAIN != 0 {
                self.shared.sender.close();
            }
        }
        let pending = self.shared.inbox.lock().await.take_rest();
        self.finish(&ended(seen), pending);
    }

    /// Other flags than those in `seen`, or `None` when the last worker is done.
    async fn next_flags(&self, seen: u8, workers: &mut JoinSet<()>) -> Option<u8> {
        let control = &self.shared.control;
        poll_fn(|task| {
            control.register(task);
            let flags = control.flags();
            if flags != seen {
                return Poll::Ready(Some(flags));
            }
            while let Poll::Ready(worker) = workers.poll_join_next(task) {
                if worker.is_none() {
                    return Poll::Ready(None);
                }
            }
            Poll::Pending
        })
        .await
    }
}

const fn ended(flags: u8) -> Ended {
    match flags {
        flags if flags & KILL != 0 => Ended::Killed,
        flags if flags & STOP != 0 => Ended::Stopped,
        _ => Ended::Drained,
    }
}

impl<M, O> Foreman<M, O> {
    /// Frees the name, and only then announces the end and hands back the rest.
    fn finish(&mut self, ended: &Ended, pending: VecDeque<M>) {
        self.finished = true;
        self.shared.sender.close();
        self.shared.system.forget(self.id, &self.shared.name);
        let left = self.shared.control.announce(ended, pending);
        for _ in left {
            self.shared.dead(DeadCause::Abandoned);
        }
    }
}

impl<M, O> Drop for Foreman<M, O> {
    /// The runtime ended before the crew did.
    fn drop(&mut self) {
        if !self.finished {
            self.finish(&Ended::Killed, VecDeque::new());
        }
    }
}
