//! The suite for read models: every target of projections passes it.

pub mod batches;
mod kill;
mod listen;
pub mod poison;
pub mod rebuild;
pub mod running;
mod stand;
pub mod topics;

use std::future::Future;

use griot_journal::RecordedEvent;
use griot_projection::{RebuildTarget, Target};

pub use kill::{
    g7_a_rebuild_killed_with_nine_leaves_the_live_tables_whole,
    g7_a_runner_killed_with_nine_in_the_middle_of_a_batch_shows_each_event_once,
};
pub use listen::g7_a_listener_killed_with_nine_anywhere_shows_each_message_once;

/// Opens the read model that the suite tests, and writes and reads its table.
///
/// Each [`open`](Self::open) of one value reaches the same tables, which the first finds empty. The table
/// is called `ledger`; two equal rows in it are two rows.
pub trait ReadModelFactory: Send + Sync + 'static {
    /// What keeps it.
    type Target: RebuildTarget;

    /// Opens it.
    fn open(&self) -> impl Future<Output = Self::Target> + Send;

    /// Adds a row.
    fn insert(
        connection: &mut <Self::Target as Target>::Connection,
        entry: Entry,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// All rows, in the order they were added.
    fn entries(target: &Self::Target) -> impl Future<Output = Vec<Entry>> + Send;
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The entity's whole name.
    pub entity: String,
    /// Its event's sequence.
    pub seq: i64,
    /// The event's payload.
    pub payload: String,
}

impl Entry {
    /// The row that shows an event.
    pub fn of(event: &RecordedEvent) -> Self {
        Self {
            entity: event.entity.to_string(),
            seq: i64::try_from(event.seq.get()).unwrap_or(i64::MAX),
            payload: String::from_utf8_lossy(&event.event.payload).into_owned(),
        }
    }
}

/// Tests a target of projections: one test per case of [`running`](crate::projection::running),
/// [`batches`](crate::projection::batches), [`poison`](crate::projection::poison) and [`rebuild`](crate::projection::rebuild).
#[macro_export]
macro_rules! projection_suite {
    ($factory:expr) => {
        mod running {
            use super::*;
            $crate::cases! { $factory; $crate::projection::running;
                g7_each_event_is_shown_exactly_once_and_in_order,
                g7_each_event_is_shown_exactly_once_by_several_slices,
                g7_catching_up_and_going_live_has_no_seam,
                g7_a_batch_that_fails_leaves_nothing_and_is_handled_again,
                g4_of_two_runners_of_one_projection_the_first_is_fenced,
                g4_runners_that_take_over_from_each_other_show_each_event_once,
                pause_and_resume_survive_a_restart,
                the_lag_is_told_in_events_and_in_time,
                a_write_is_seen_by_whoever_waits_for_it,
                a_handler_without_a_transaction_is_run_at_least_once,
                another_number_of_slices_is_refused,
                g7_tables_of_another_journal_are_refused,
                a_projection_that_nobody_runs_any_more_is_known_to_be_abandoned,
            }
        }
        mod batches {
            use super::*;
            $crate::cases! { $factory; $crate::projection::batches;
                g7_a_handler_of_batches_is_given_each_event_once_and_in_order,
                handlers_of_batches_and_of_single_events_keep_to_the_journals_order,
                of_a_batch_that_fails_the_one_bad_event_is_found,
            }
        }
        mod poison {
            use super::*;
            $crate::cases! { $factory; $crate::projection::poison;
                a_poison_event_stops_the_projection_visibly_and_it_can_be_resumed,
                a_projection_that_stopped_stays_so_after_a_restart,
                a_poison_event_parks_its_entity_and_the_others_go_on,
                a_parked_entity_that_is_tried_again_misses_nothing_and_keeps_its_order,
                a_panic_is_tried_again_and_then_poison,
            }
        }
        mod rebuild {
            use super::*;
            $crate::cases! { $factory; $crate::projection::rebuild;
                g7_a_rebuild_beside_a_live_projection_is_compared_and_swapped,
                g7_a_live_projection_goes_on_after_a_swap_without_a_seam,
            g7_a_rebuild_from_another_journal_is_refused_and_leaves_the_live_tables,
                a_comparison_counts_what_differs,
                an_interrupted_rebuild_goes_on_where_it_was,
                a_new_version_is_refused_until_it_is_rebuilt,
                g7_a_new_version_is_refused_also_where_the_old_one_handled_nothing,
                g7_a_rebuild_deals_the_entities_to_another_number_of_slices,
                what_handlers_publish_goes_out_live_and_never_while_rebuilding,
            }
        }
    };
}

/// Tests that messages of a broker's topics are shown once: one test per case of
/// [`topics`](crate::projection::topics). The factory is a [`Topics`](crate::projection::topics::Topics): of the read
/// model, and of the broker.
#[macro_export]
macro_rules! projection_topics_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::projection::topics;
            g7_each_message_is_shown_once_and_those_of_a_key_in_order,
            g7_a_message_whose_acknowledgement_was_lost_is_shown_once,
            g7_a_message_that_two_listeners_are_given_at_once_is_shown_once,
            g7_listeners_that_come_and_go_show_each_message_once,
            g7_messages_that_fail_are_tried_again_and_leave_nothing_behind,
            g7_a_handler_of_batches_is_given_each_message_once,
            a_message_without_an_id_is_known_when_it_comes_again,
            a_bad_message_stops_the_projection_visibly_until_it_is_resumed,
            a_bad_message_goes_to_its_dead_letter_topic_and_the_others_go_on,
            pausing_a_projection_of_topics_survives_a_restart,
            a_handler_that_asks_for_the_journal_stops_the_projection_and_says_why,
            what_is_not_a_projection_of_topics_is_refused,
            g10_what_was_handled_long_ago_is_forgotten,
            what_handlers_of_messages_publish_goes_out_under_ids_that_stay,
        }
    };
}

/// Tests that messages are shown once when the broker's server ends and comes back: the factory is a
/// [`Topics`](crate::projection::topics::Topics) whose broker is a [`BrokerServer`](crate::BrokerServer).
#[macro_export]
macro_rules! projection_topics_server_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::projection::topics;
            g7_each_message_is_shown_once_when_the_broker_goes_away_and_comes_back,
        }
    };
}

/// Tests that killing a runner neither loses nor repeats an event, and that killing a rebuild leaves the live
/// tables whole. The factory reaches the same tables in another process, given the same directory.
#[macro_export]
macro_rules! projection_kill_suite {
    ($factory:expr) => {
        $crate::projection_kill_case! { $factory;
            g7_a_runner_killed_with_nine_in_the_middle_of_a_batch_shows_each_event_once,
            g7_a_rebuild_killed_with_nine_leaves_the_live_tables_whole,
            g7_a_listener_killed_with_nine_anywhere_shows_each_message_once,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! projection_kill_case {
    ($factory:expr; $($case:ident,)+) => {
        $(
            #[test]
            fn $case() {
                use $crate::projection as suite;
                let place = concat!(module_path!(), "::", stringify!($case));
                // As the test harness calls it: without the name of the program.
                let (_, test) = place.split_once("::").unwrap_or_default();
                $crate::run(suite::$case($factory, test));
            }
        )+
    };
}
