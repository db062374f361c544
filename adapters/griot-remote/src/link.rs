//! A connection to the server that mends itself: questions and answers, and what a subscription is given.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use griot_actor::Backoff;
use griot_events::BrokerError;
use griot_events::adapter::Stay;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::dial::{Socket, dial};
use crate::frame::{Frame, Goodbye, Heard, Outbox, write};
use crate::hearing::Hearing;
use crate::inbox::Inbox;
use crate::options::RemoteOptions;
use crate::wire::{Ask, Outcome, Reply, Request, Say, Subscribe, cause};

/// Between attempts to connect again.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(5),
    max: Duration::from_secs(4),
};

/// A connection that held for so long was a good one: the next begins with short pauses.
const GOOD: Duration = Duration::from_secs(1);

/// How long an answer may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long what was asked may take to be answered when the connection is to end.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// The number of the question that begins a subscription.
const JOINING: u64 = 1;

/// A connection that mends itself; dropped, it ends once what was asked is answered.
#[derive(Debug)]
pub(crate) struct Link {
    sessions: watch::Receiver<Session>,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
enum Session {
    Open(Asker),
    /// None, and why.
    Apart(BrokerError),
}

/// Asks over one connection, and over no later one. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Asker(mpsc::UnboundedSender<Asked>);

/// A question, and where its answer goes.
#[derive(Debug)]
struct Asked {
    ask: Ask,
    answer: Option<oneshot::Sender<Result<Vec<Outcome>, BrokerError>>>,
}

/// What a subscription's connections begin with, and where what they give goes.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub(crate) subscribe: Subscribe,
    pub(crate) inbox: Arc<Inbox>,
}

/// What the task of a link needs.
struct Keeper {
    options: Arc<RemoteOptions>,
    joining: Option<Joining>,
    session: watch::Sender<Session>,
    closing: watch::Receiver<bool>,
    /// The broker waits until all of these are gone.
    _alive: Stay,
}

impl Link {
    /// Connects. From then on a lost connection is made again for ever, until `closing` is true.
    pub(crate) async fn connect(
        options: Arc<RemoteOptions>,
        joining: Option<Joining>,
        closing: watch::Receiver<bool>,
        alive: Stay,
    ) -> Result<Self, BrokerError> {
        let socket = open(&options, joining.as_ref()).await?;
        let (asker, asks) = Asker::new();
        let (session, sessions) = watch::channel(Session::Open(asker.clone()));
        let keeper = Keeper {
            options,
            joining,
            session,
            closing,
            _alive: alive,
        };
        tokio::spawn(keeper.run(socket, asker, asks));
        Ok(Self { sessions })
    }

    /// The connection that there is now.
    pub(crate) fn now(&self) -> Result<Asker, BrokerError> {
        match &*self.sessions.borrow() {
            Session::Open(asker) => Ok(asker.clone()),
            Session::Apart(error) => Err(error.clone()),
        }
    }

    /// Waits for a connection, for so long.
    pub(crate) async fn within(&self, time: Duration) -> Result<Asker, BrokerError> {
        let mut sessions = self.sessions.clone();
        let open = |session: &Session| matches!(session, Session::Open(_));
        // Whether there was one is seen below; an error says that the link has ended.
        let _ = timeout(time, sessions.wait_for(open)).await;
        self.now()
    }
}

impl Asker {
    fn new() -> (Self, mpsc::UnboundedReceiver<Asked>) {
        let (asks, asked) = mpsc::unbounded_channel();
        (Self(asks), asked)
    }

    /// Asks, and waits for the answer.
    ///
    /// What waits to be sent is bounded by those who wait for it: publications by `PUBLISHING_MAX`,
    /// receipts by the messages in flight.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Vec<Outcome>, BrokerError> {
        let (answer, answered) = oneshot::channel();
        let answer = Some(answer);
        let asked = self.0.send(Asked { ask, answer });
        asked.map_err(|_| lost())?;
        match timeout(ANSWER_MAX, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(BrokerError::Unknown(cause(
                "the connection was lost".to_owned(),
            ))),
            Err(_) => Err(BrokerError::Unknown(cause(format!(
                "no answer within {ANSWER_MAX:?}"
            )))),
        }
    }

    /// Says something that has no answer; where the connection is lost, nobody needs it.
    pub(crate) fn tell(&self, ask: Ask) {
        let _ = self.0.send(Asked { ask, answer: None });
    }

    /// Whether its connection has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_closed()
    }
}

/// Connects, and begins the subscription where there is one.
async fn open(options: &RemoteOptions, joining: Option<&Joining>) -> Result<Socket, BrokerError> {
    let mut socket = dial(options).await?;
    if let Some(joining) = joining {
        let joined = join(&mut socket, joining);
        let joined = timeout(options.timeout, joined).await;
        joined.unwrap_or_else(|_| Err(lost()))?;
    }
    Ok(socket)
}

async fn join(socket: &mut Socket, joining: &Joining) -> Result<(), BrokerError> {
    let ask = Ask::Subscribe(joining.subscribe.clone());
    let frame = Frame::Data(Request::new(JOINING, ask).write());
    let sent = socket.send(frame.into()).await;
    sent.map_err(|_| lost())?;
    while let Some(Ok(message)) = socket.next().await {
        let frame = match Heard::from(message) {
            Heard::Data(frame) => frame,
            Heard::Sign => continue,
            Heard::Closed(_) | Heard::Text => break,
        };
        match Reply::read(frame).map_err(not_griot)? {
            Some(Say::Subscribed(subscribed)) => {
                joining.inbox.set_lease(subscribed.lease());
                return Ok(());
            }
            Some(Say::Answer(answer)) => {
                let outcome = answer.outcomes.into_iter().next().unwrap_or_default();
                return match outcome.into_result("the subscription") {
                    // The server is stopping, say: another comes.
                    Err(BrokerError::Unknown(cause)) => Err(BrokerError::Unreachable(cause)),
                    Err(error) => Err(error),
                    Ok(()) => Err(lost()),
                };
            }
            _ => {}
        }
    }
    Err(lost())
}

impl Keeper {
    async fn run(
        mut self,
        mut socket: Socket,
        mut asker: Asker,
        mut asks: mpsc::UnboundedReceiver<Asked>,
    ) {
        let mut attempt = 0;
        loop {
            let began = Instant::now();
            let lost = self.hold(socket, asker, asks).await;
            let Some(reason) = lost else { return };
            let url = &self.options.url;
            tracing::warn!(%url, reason, "lost the connection to the server, reconnecting");
            if let Some(joining) = &self.joining {
                joining.inbox.lose();
            }
            let error = BrokerError::Unreachable(cause(format!("{url}: {reason}")));
            self.session.send_replace(Session::Apart(error));
            if began.elapsed() >= GOOD {
                attempt = 0;
            }
            socket = match self.again(&mut attempt).await {
                Some(socket) => socket,
                None => return,
            };
            (asker, asks) = Asker::new();
            self.session.send_replace(Session::Open(asker.clone()));
            tracing::info!(url = %self.options.url, "connected to the server again");
        }
    }

    /// Connects again, however long that takes; `None` where nobody needs it any more.
    async fn again(&mut self, attempt: &mut u32) -> Option<Socket> {
        loop {
            let number = *attempt;
            *attempt = attempt.saturating_add(1);
            let opening = async {
                again_after(number).await;
                open(&self.options, self.joining.as_ref()).await
            };
            let opened = tokio::select! {
                opened = opening => opened,
                () = left(&mut self.closing, &self.session) => return None,
            };
            match opened {
                Ok(socket) => return Some(socket),
                Err(error) => {
                    if let (Some(joining), BrokerError::Refused { .. }) = (&self.joining, &error) {
                        joining.inbox.complain(error.clone());
                    }
                    self.session.send_replace(Session::Apart(error));
                }
            }
        }
    }

    /// Asks and hears until the connection is lost, and says why; or until nobody needs it any more
    /// and it has ended in order.
    async fn hold(
        &mut self,
        socket: Socket,
        asker: Asker,
        mut asks: mpsc::UnboundedReceiver<Asked>,
    ) -> Option<String> {
        let silence_max = self.options.silence_max;
        let (sink, mut stream) = socket.split();
        let (outbox, frames) = Outbox::new();
        let mut writing = pin!(write(sink, frames, silence_max / 4));
        let mut hearing = Hearing {
            joining: self.joining.as_ref(),
            asker,
            pending: HashMap::new(),
        };
        let mut number = JOINING;
        let mut heard_at = Instant::now();
        let mut leave_by = None;
        loop {
            let leaves = leave_by.unwrap_or(heard_at + silence_max);
            tokio::select! {
                () = &mut writing => return Some("the connection broke".to_owned()),
                heard = stream.next() => {
                    heard_at = Instant::now();
                    if let Err(reason) = hearing.hear(heard) {
                        return Some(reason);
                    }
                }
                Some(Asked { ask, answer }) = asks.recv() => {
                    let request = if let Some(answer) = answer {
                        number += 1;
                        hearing.pending.insert(number, answer);
                        Request::new(number, ask)
                    } else {
                        Request::new(0, ask)
                    };
                    outbox.send(Frame::Data(request.write()), None);
                }
                () = left(&mut self.closing, &self.session), if leave_by.is_none() => {
                    leave_by = Some(Instant::now() + LEAVE_MAX);
                    asks.close();
                }
                () = sleep_until(heard_at + silence_max) => {
                    return Some(format!("nothing was heard for {silence_max:?}"));
                }
                () = sleep_until(leaves), if leave_by.is_some() => break,
            }
            if leave_by.is_some() && asks.is_empty() && hearing.pending.is_empty() {
                break;
            }
        }
        outbox.send(Frame::Close(Goodbye::normal()), None);
        let gone = async {
            writing.await;
            // The server hangs up when what was not settled is given to others.
            while let Some(Ok(_)) = stream.next().await {}
        };
        let _ = timeout_at(leave_by.unwrap_or(heard_at), gone).await;
        None
    }
}

/// Ends when nobody needs a link any more: its broker was closed, or it was dropped.
async fn left(closing: &mut watch::Receiver<bool>, session: &watch::Sender<Session>) {
    let closed = async {
        if closing.wait_for(|closing| *closing).await.is_err() {
            // The broker was dropped, and its subscriptions go on.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = closed => {}
        () = session.closed() => {}
    }
}

/// Waits before the next attempt to connect.
pub(crate) async fn again_after(attempt: u32) {
    sleep(BACKOFF.delay(attempt)).await;
}

/// There is no connection to ask over.
pub(crate) fn lost() -> BrokerError {
    BrokerError::Unreachable(cause("the connection to the server was lost".to_owned()))
}

fn not_griot(reason: String) -> BrokerError {
    BrokerError::Refused {
        what: "the connection",
        reason: format!("the server does not speak as a griot server does: {reason}"),
    }
}
