//! One connection to the server: what its client asks is asked of the broker, and answered.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::{FutureExt, StreamExt};
use griot_events::{Broker, BrokerError, Receipt, Source};
use tokio::time::{Instant, sleep_until, timeout};

use crate::frame::{Frame, Goodbye, Heard, Outbox, write};
use crate::limits::{ANSWERS_WAITING_MAX, Limits, PUBLISHING_BYTES_MAX};
use crate::seat::{Seat, Settled, Settling};
use crate::wire::{Answer, Ask, Outcome, Publish, Reply, Request, Say, Subscribe, Subscribed};

/// How long a client that is sent away may take to hear why.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// How long what was under way when its connection ended may take to finish.
const FINISH_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Conversation {
    broker: Arc<dyn Broker>,
    limits: Arc<Limits>,
    /// What the broker was asked. Begun in the order in which it was asked: an acknowledgement
    /// counts before the release of its partition, and a publication before the next of its key.
    works: FuturesUnordered<BoxFuture<'static, Done>>,
    /// What the client is told as soon as there is room.
    replies: VecDeque<Bytes>,
    publishing_bytes: usize,
    seat: Option<Seat>,
    /// Whether it has a seat, or will have: one connection has one.
    is_joining: bool,
}

/// What has come of something that the broker was asked.
enum Done {
    Answered(u64, Vec<Result<(), BrokerError>>),
    Published(u64, Vec<Result<(), BrokerError>>, usize),
    Joined(u64, Result<Box<dyn Source>, BrokerError>, usize),
    Extended(u64, u64, Box<dyn Receipt>, Result<(), BrokerError>),
    /// Nobody waits for it.
    Told,
}

/// How a conversation ends.
enum Ending {
    /// The client left, or is dead.
    Gone,
    /// It is sent away.
    Said(Goodbye),
}

impl Conversation {
    pub(crate) fn new(broker: Arc<dyn Broker>, limits: Arc<Limits>) -> Self {
        Self {
            broker,
            limits,
            works: FuturesUnordered::new(),
            replies: VecDeque::new(),
            publishing_bytes: 0,
            seat: None,
            is_joining: false,
        }
    }

    /// Holds it to its end, and finishes what it began.
    pub(crate) async fn hold(mut self, socket: WebSocket) {
        self.converse(socket).await;
        let finishing = async { while self.works.next().await.is_some() {} };
        let _ = timeout(FINISH_MAX, finishing).await;
    }

    async fn converse(&mut self, socket: WebSocket) {
        let (sink, mut stream) = socket.split();
        let (outbox, frames) = Outbox::new();
        let mut writing = pin!(write(sink, frames, self.limits.silence_max / 4));
        let ending = tokio::select! {
            () = &mut writing => Ending::Gone,
            ending = self.listen(&mut stream, &outbox) => ending,
        };
        // What was asked is asked of the broker before it hears that the client has left.
        while let Some(Some(_)) = self.works.next().now_or_never() {}
        self.seat = None;
        if let Ending::Said(goodbye) = ending {
            tracing::warn!(
                reason = goodbye.reason,
                "a client of the broker is sent away"
            );
            outbox.send(Frame::Close(goodbye), None);
            let heard = async {
                writing.await;
                while let Some(Ok(_)) = stream.next().await {}
            };
            let _ = timeout(GOODBYE_MAX, heard).await;
        }
    }

    async fn listen(
        &mut self,
        stream: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
        outbox: &Outbox,
    ) -> Ending {
        let mut heard_at = Instant::now();
        loop {
            let is_busy = self.works.len() >= ANSWERS_WAITING_MAX
                || self.publishing_bytes >= PUBLISHING_BYTES_MAX;
            let listens = !is_busy && self.replies.len() < ANSWERS_WAITING_MAX;
            let next_bytes = self.replies.front().map(Bytes::len);
            tokio::select! {
                Some(done) = self.works.next() => {
                    if is_busy {
                        heard_at = Instant::now();
                    }
                    self.done(done);
                }
                room = outbox.room(next_bytes.unwrap_or(0)), if next_bytes.is_some() => {
                    if let Some(reply) = self.replies.pop_front() {
                        outbox.send(Frame::Data(reply), room);
                    }
                }
                incoming = Seat::next(&mut self.seat), if next_bytes.is_none() => {
                    let (Some(seat), Some(incoming)) = (&mut self.seat, incoming) else {
                        return Ending::Said(Goodbye::away("the broker was closed"));
                    };
                    self.replies.push_back(seat.tell(incoming));
                }
                heard = stream.next(), if listens => {
                    heard_at = Instant::now();
                    if let Err(ending) = self.hear(heard) {
                        return ending;
                    }
                }
                () = sleep_until(heard_at + self.limits.silence_max), if !is_busy => {
                    tracing::warn!("a client of the broker fell silent: what it had is given to others");
                    return Ending::Gone;
                }
            }
        }
    }

    fn hear(&mut self, heard: Option<Result<Message, axum::Error>>) -> Result<(), Ending> {
        let refusal = |reason: &str| Ending::Said(Goodbye::refusal(reason));
        match heard.map(|heard| heard.map(Heard::from)) {
            Some(Ok(Heard::Data(frame))) => {
                let bytes = frame.len();
                let request = Request::read(frame).map_err(|reason| refusal(&reason))?;
                self.ask(request, bytes);
                Ok(())
            }
            Some(Ok(Heard::Sign)) => Ok(()),
            Some(Ok(Heard::Text)) => Err(refusal("frames are binary here")),
            Some(Ok(Heard::Closed(_))) | None => Err(Ending::Gone),
            // A frame that is too long, or no frame; or the connection is lost, and nobody hears it.
            Some(Err(error)) => Err(refusal(&error.to_string())),
        }
    }

    fn ask(&mut self, request: Request, bytes: usize) {
        let number = request.number;
        let broker = Arc::clone(&self.broker);
        match request.ask {
            Some(Ask::Publish(Publish { publications })) => {
                self.publishing_bytes += bytes;
                let publications = publications.into_iter().map(Into::into).collect();
                self.begin(async move {
                    Done::Published(number, broker.publish(publications).await, bytes)
                });
            }
            Some(Ask::Subscribe(subscribe)) => self.join(number, subscribe),
            Some(Ask::Check(_)) => {
                self.begin(async move { Done::Answered(number, vec![broker.check().await]) });
            }
            Some(Ask::Ack(delivery)) => self.settle(number, delivery, Settling::Ack),
            Some(Ask::GiveBack(delivery)) => self.settle(number, delivery, Settling::GiveBack),
            Some(Ask::Extend(delivery)) => {
                let seat = self.seat.as_mut();
                let extending = seat.map_or(Settled::Unknown, |seat| seat.extend(delivery));
                self.follow(number, delivery, extending);
            }
            Some(Ask::Released(revocation)) => {
                let released = self.seat.as_mut();
                let released = released.and_then(|seat| seat.released(revocation));
                self.begin(async move {
                    if let Some(released) = released {
                        // The broker has gone on by itself where nobody listens.
                        let _ = released.send(());
                    }
                    Done::Told
                });
            }
            None => self.answer(
                number,
                vec![Err(refused(
                    "this server does not know that request: it is older than its client",
                ))],
            ),
        }
    }

    fn join(&mut self, number: u64, subscribe: Subscribe) {
        if self.is_joining {
            let refused = refused("a connection has one subscription: open another");
            self.answer(number, vec![Err(refused)]);
            return;
        }
        self.is_joining = true;
        let subscription = subscribe.into_subscription(self.limits.in_flight_max);
        let in_flight_max = subscription.in_flight_max;
        let broker = Arc::clone(&self.broker);
        self.begin(async move {
            let joined = broker.subscribe(subscription).await;
            Done::Joined(number, joined, in_flight_max)
        });
    }

    fn settle(&mut self, number: u64, delivery: u64, how: Settling) {
        let seat = self.seat.as_mut();
        let settled = seat.map_or(Settled::Unknown, |seat| seat.settle(number, delivery, how));
        self.follow(number, delivery, settled);
    }

    fn follow(&mut self, number: u64, delivery: u64, settled: Settled) {
        match settled {
            Settled::Asked(asked) => {
                self.begin(asked.map(move |outcome| Done::Answered(number, vec![outcome])));
            }
            Settled::Extending(extending) => {
                self.begin(extending.map(move |(receipt, outcome)| {
                    Done::Extended(number, delivery, receipt, outcome)
                }));
            }
            Settled::Later => {}
            Settled::Unknown => {
                let refused = refused("it is not out on this connection, and given again");
                self.answer(number, vec![Err(refused)]);
            }
        }
    }

    fn begin(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.works.push(work.boxed());
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Answered(number, outcomes) => self.answer(number, outcomes),
            Done::Published(number, outcomes, bytes) => {
                self.publishing_bytes = self.publishing_bytes.saturating_sub(bytes);
                self.answer(number, outcomes);
            }
            Done::Joined(number, Ok(source), in_flight_max) => {
                let seat = Seat::new(source, in_flight_max);
                let subscribed = Subscribed::new(number, seat.lease());
                self.seat = Some(seat);
                let say = Say::Subscribed(subscribed);
                self.replies.push_back(Reply::write(say));
            }
            Done::Joined(number, Err(error), _) => {
                self.is_joining = false;
                self.answer(number, vec![Err(error)]);
            }
            Done::Extended(number, delivery, receipt, outcome) => {
                self.answer(number, vec![outcome]);
                let after = self.seat.as_mut();
                let after = after.and_then(|seat| seat.extended(delivery, receipt));
                if let Some((number, settled)) = after {
                    self.follow(number, delivery, settled);
                }
            }
            Done::Told => {}
        }
    }

    fn answer(&mut self, number: u64, outcomes: Vec<Result<(), BrokerError>>) {
        if number == 0 {
            return;
        }
        let outcomes = outcomes.into_iter().map(Outcome::of).collect();
        let say = Say::Answer(Answer { number, outcomes });
        self.replies.push_back(Reply::write(say));
    }
}

fn refused(reason: &str) -> BrokerError {
    BrokerError::Refused {
        what: "the request",
        reason: reason.to_owned(),
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Conversation");
        shown.field("seat", &self.seat).finish_non_exhaustive()
    }
}
