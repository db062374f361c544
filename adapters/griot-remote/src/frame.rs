//! Frames: what goes through a WebSocket, the same on both of its ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};

/// Frames that were handed to the connection and are not out, in units of [`ROOM_UNIT`], at most.
const ROOM: u32 = 1_024;

/// Bytes that count as one.
const ROOM_UNIT: usize = 1_024;

/// The longest reason that fits into a frame that closes.
const REASON_BYTES_MAX: usize = 120;

/// A frame on its way out.
#[derive(Debug)]
pub(crate) enum Frame {
    Data(Bytes),
    Ping,
    Close(Goodbye),
}

/// Why a connection is closed, in the numbers of RFC 6455.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Goodbye {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// A frame that came in.
#[derive(Debug)]
pub(crate) enum Heard {
    Data(Bytes),
    /// Nothing but a sign of life.
    Sign,
    /// The other side leaves.
    Closed(String),
    /// Text, which nobody here sends.
    Text,
}

impl Goodbye {
    /// All is well.
    pub(crate) fn normal() -> Self {
        Self::new(1000, "")
    }

    /// The server goes, and may come back.
    pub(crate) fn away(reason: &str) -> Self {
        Self::new(1001, reason)
    }

    /// What was sent is against the rules.
    pub(crate) fn refusal(reason: &str) -> Self {
        Self::new(1008, reason)
    }

    fn new(code: u16, reason: &str) -> Self {
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = reason.get(..end).unwrap_or_default().to_owned();
        Self { code, reason }
    }
}

/// Where frames wait until they are out.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
}

/// A frame, and the room that it takes until it is out.
type Waiting = (Frame, Option<OwnedSemaphorePermit>);

impl Outbox {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Waiting>) {
        let (frames, waiting) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(ROOM as usize));
        (Self { frames, room }, waiting)
    }

    /// Waits until there is room for so many bytes. It may be dropped at any time.
    pub(crate) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes / ROOM_UNIT).unwrap_or(ROOM);
        let room = Arc::clone(&self.room);
        // It is never closed.
        room.acquire_many_owned(units.clamp(1, ROOM)).await.ok()
    }

    /// Hands a frame to the connection; where that has ended, nobody needs it.
    pub(crate) fn send(&self, frame: Frame, room: Option<OwnedSemaphorePermit>) {
        let _ = self.frames.send((frame, room));
    }
}

/// Writes frames, what waits together in one go, and pings. Ends behind a frame that closes, with an
/// error of the connection, and when nobody has frames any more.
pub(crate) async fn write<S, M>(
    mut sink: S,
    mut frames: mpsc::UnboundedReceiver<Waiting>,
    ping_every: Duration,
) where
    S: Sink<M> + Unpin,
    M: From<Frame>,
{
    let mut pings = interval(ping_every.max(Duration::from_millis(1)));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let first = tokio::select! {
            frame = frames.recv() => frame,
            _ = pings.tick() => Some((Frame::Ping, None)),
        };
        let Some(mut next) = first else { return };
        let mut going = Vec::new();
        let closes = loop {
            let (frame, room) = next;
            let closes = matches!(frame, Frame::Close(_));
            if sink.feed(frame.into()).await.is_err() {
                return;
            }
            going.extend(room);
            match frames.try_recv() {
                Ok(waiting) if !closes => next = waiting,
                _ => break closes,
            }
        };
        if sink.flush().await.is_err() || closes {
            return;
        }
    }
}

impl From<Frame> for axum::extract::ws::Message {
    fn from(frame: Frame) -> Self {
        use axum::extract::ws::CloseFrame;
        match frame {
            Frame::Data(bytes) => Self::Binary(bytes),
            Frame::Ping => Self::Ping(Bytes::new()),
            Frame::Close(Goodbye { code, reason }) => Self::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            })),
        }
    }
}

impl From<axum::extract::ws::Message> for Heard {
    fn from(message: axum::extract::ws::Message) -> Self {
        use axum::extract::ws::Message;
        match message {
            Message::Binary(bytes) => Self::Data(bytes),
            Message::Text(_) => Self::Text,
            Message::Ping(_) | Message::Pong(_) => Self::Sign,
            Message::Close(frame) => {
                Self::Closed(frame.map_or_else(String::new, |frame| frame.reason.to_string()))
            }
        }
    }
}

impl From<Frame> for tokio_tungstenite::tungstenite::Message {
    fn from(frame: Frame) -> Self {
        use tokio_tungstenite::tungstenite::protocol::CloseFrame;
        match frame {
            Frame::Data(bytes) => Self::Binary(bytes),
            Frame::Ping => Self::Ping(Bytes::new()),
            Frame::Close(Goodbye { code, reason }) => Self::Close(Some(CloseFrame {
                code: code.into(),
                reason: reason.into(),
            })),
        }
    }
}

impl From<tokio_tungstenite::tungstenite::Message> for Heard {
    fn from(message: tokio_tungstenite::tungstenite::Message) -> Self {
        use tokio_tungstenite::tungstenite::Message;
        match message {
            Message::Binary(bytes) => Self::Data(bytes),
            Message::Text(_) => Self::Text,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Self::Sign,
            Message::Close(frame) => {
                Self::Closed(frame.map_or_else(String::new, |frame| frame.reason.to_string()))
            }
        }
    }
}
