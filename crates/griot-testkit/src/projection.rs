//! The suite for read models: every target of projections passes it.

pub mod batches;
mod kill;
pub mod poison;
pub mod rebuild;
pub mod running;
mod stand;

use std::future::Future;

use griot_journal::RecordedEvent;
use griot_projection::{RebuildTarget, Target};

pub use kill::{
    g7_a_rebuild_killed_with_nine_leaves_the_live_tables_whole,
    g7_a_runner_killed_with_nine_in_the_middle_of_a_batch_shows_each_event_once,
};

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

/// Tests that killing a runner neither loses nor repeats an event, and that killing a rebuild leaves the live
/// tables whole. The factory reaches the same tables in another process, given the same directory.
#[macro_export]
macro_rules! projection_kill_suite {
    ($factory:expr) => {
        $crate::projection_kill_case! { $factory;
            g7_a_runner_killed_with_nine_in_the_middle_of_a_batch_shows_each_event_once,
            g7_a_rebuild_killed_with_nine_leaves_the_live_tables_whole,
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
