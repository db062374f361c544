//! What can be chosen about an embedded log, and its limits.

/// The largest batch, as it is written: 64 MiB.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// A frame takes no further batch once it has grown to this: 4 MiB.
pub const FRAME_BYTES: usize = 4 << 20;
/// The largest size of a journal's first segment: 4 MiB.
pub const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// How many batches may wait for the committer.
pub const QUEUE_BATCHES_MAX: usize = 16_384;
/// How many bytes of batches may wait for the committer: 256 MiB.
pub const QUEUE_BYTES_MAX: usize = 256 << 20;
/// How many reads are at the disk at once.
pub const READS_MAX: usize = 8;
/// How many commits one call of `commits` gives at most.
pub const PAGE_COMMITS_MAX: usize = 10_000;

/// What can be chosen about an embedded log.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of a segment file; 32 MiB unless chosen otherwise. The first one takes
    /// [`FIRST_SEGMENT_BYTES`] at most, so that a new journal is there at once. A batch that is larger gets a segment of its own size.
    pub segment_bytes: u64,
    /// When the next segment file is made.
    pub preparation: Preparation,
}

/// When the next segment file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Ahead of its need, on a thread of its own, once a quarter of the one before it is written.
    Ahead,
    /// When it is needed, by the committer: for tests that want every run to be the same.
    WhenNeeded,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            preparation: Preparation::Ahead,
        }
    }
}

impl Options {
    /// The smallest segment that is made.
    pub const SEGMENT_BYTES_MIN: u64 = 4096;
}
