//! How events are gathered for a handler of batches.

use std::time::Duration;

/// How events are gathered for a handler of [`Router::on_batch`](crate::Router::on_batch).
///
/// A [`Consumer`](crate::Consumer) that is given the router gathers the events of one such route, of
/// many keys and of one, in the order in which they came: until there are `events_max`, or `wait_max`
/// has passed since the first. Then the handler is called once for all, and answers for all:
///
/// - `Ack` acknowledges each; publications go out first, each with a message id that is the same where
///   the same events are handled again as one.
/// - An error, `Retry` and a panic have the whole batch handled again, as it is, after a backoff.
/// - What would make a dead letter **makes none of a batch**: an event that nobody can handle must not
///   take its neighbours with it. On [`DeadLetter`](crate::DeadLetter), where the layers gave up, and
///   after [`batch_attempts_max`](crate::ConsumerLimits::batch_attempts_max) attempts, the batch *falls
///   apart*: each of its events is handled by itself, as a batch of one, with attempts of its own. Only
///   those that fail by themselves become dead letters. So what a handler did before it failed is done
///   again; it has to bear that, as with every message that is delivered at least once.
///
/// **Order.** Events of one key stand in a batch in their order, and no later one is handled before
/// the batch with the earlier one is settled, or has fallen apart and the earlier one is settled by
/// itself. The next batch is gathered and handled meanwhile, of other keys.
///
/// **Layers** see a batch as one event: the first, whose [`all`](crate::Event::all) are the others. It is
/// traced in the trace of the first, timed and limited as one, and tried again as one;
/// [`Metrics`](crate::layer::Metrics) and [`Throttle`](crate::layer::Throttle) count its events, and
/// [`Deduplicate`](crate::layer::Deduplicate) leaves out those it knows.
///
/// What is gathered counts as in flight: a batch has no more events than the subscription's
/// [`in_flight_max`](crate::Subscription::in_flight_max), and a lease is extended while its message
/// waits for others. A drain gives a batch back that has not begun.
///
/// It is the consumer that gathers. Where the router is called by somebody else, or stands inside of
/// another service, every event is a batch of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Events of a batch, at most; at least one.
    pub events_max: usize,
    /// How long the first event of a batch waits for others.
    pub wait_max: Duration,
}

impl Default for Batch {
    /// 100 events, within 100 ms.
    fn default() -> Self {
        Self {
            events_max: 100,
            wait_max: Duration::from_millis(100),
        }
    }
}
