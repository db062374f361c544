//! A lane: the messages of a key, one behind the other.

use tokio::sync::oneshot;

/// A lane by the hash of its topic and key. Two keys of one hash share a lane, which loses nothing.
pub(super) type LaneId = u64;

/// What a message hears of the one before it in its lane.
pub(super) struct Turn {
    /// Which one that is.
    pub(super) number: u64,
    /// Told when it is done; dropped where it goes back.
    pub(super) done: oneshot::Receiver<()>,
    /// Told when it has its seat in a batch, where it is one for a batch: the next may sit beside it.
    pub(super) seated: Option<oneshot::Receiver<()>>,
}

/// What a message tells the one behind it.
pub(super) struct Next {
    pub(super) done: oneshot::Sender<()>,
    pub(super) seated: Option<oneshot::Sender<()>>,
}

/// Whether a message is gathered with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gathered {
    Alone,
    InBatches,
}

/// The ends of what the message `number` tells the one behind it.
pub(super) fn link(number: u64, gathered: Gathered) -> (Next, Turn) {
    let (tell_done, done) = oneshot::channel();
    let (tell_seated, seated) = match gathered {
        Gathered::Alone => (None, None),
        Gathered::InBatches => {
            let (tell, told) = oneshot::channel();
            (Some(tell), Some(told))
        }
    };
    let next = Next {
        done: tell_done,
        seated: tell_seated,
    };
    let turn = Turn {
        number,
        done,
        seated,
    };
    (next, turn)
}
