//! Every limit between a server and those who use its broker, with its name.

use std::time::Duration;

/// A publication with its key and headers, at most.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A message that a subscriber takes, at most: more than the embedded broker stores in one.
pub const DELIVERY_BYTES_MAX: usize = 64 << 20;

/// Publications in one frame.
pub const BATCH_MAX: usize = 1_024;

/// Headers of one publication.
pub const HEADERS_MAX: usize = 256;

/// Topics of one subscription.
pub const TOPICS_MAX: usize = 256;

/// Publications of a client that are not answered yet, over all calls.
pub const PUBLISHING_MAX: usize = 4_096;

/// Bytes of publications that the broker has not answered yet, at which a server reads no more from
/// that connection.
pub const PUBLISHING_BYTES_MAX: usize = 4 << 20;

/// Questions of one connection that are not answered yet, or whose answers were not taken yet, at
/// which a server reads no more from it.
pub const ANSWERS_WAITING_MAX: usize = 1_024;

/// What a server reads in one frame: a publication and what stands around it.
pub(crate) const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (64 << 10);

/// What the limits of a server are, where they can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. One more is answered with 503.
    pub connections_max: usize,
    /// Messages that one subscription may have in flight, whatever it asks for.
    pub in_flight_max: usize,
    /// A connection from which nothing was heard for so long has ended, and what it had is given to
    /// others. Both sides give a sign of life four times as often.
    pub silence_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 128,
            in_flight_max: 10_000,
            silence_max: Duration::from_secs(20),
        }
    }
}
