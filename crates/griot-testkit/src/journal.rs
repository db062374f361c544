//! The suites for journals: Read, Append, Tail, Archive, Reopen for those that outlive their process, and Server for
//! those that many processes share.

pub mod append;
pub mod archive;
pub mod copying;
pub mod full;
mod history;
pub mod killed;
pub mod read;
pub mod reopen;
pub mod server;
pub mod tail;
mod writer;

pub use writer::{Writer, append_of, entity, happened};

/// Tests what a journal reads: one test per case of [`read`](crate::journal::read).
#[macro_export]
macro_rules! journal_read_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::journal::read;
            reads_all_events,
            reads_from_a_lower_bound,
            reads_to_an_upper_bound,
            reads_with_a_limit,
            reads_between_bounds,
            reads_between_bounds_with_a_limit,
            reads_one_event_where_the_bounds_are_equal,
            reads_one_event_with_a_limit_of_one,
            reads_nothing_with_a_limit_of_zero,
            reads_nothing_where_lower_is_above_upper,
            an_unknown_entity_has_no_events_and_sequence_zero,
            deleted_events_are_absent,
            the_highest_sequence_is_kept_after_deletion,
            the_highest_sequence_is_kept_after_total_deletion,
            after_deleting_three_of_five_each_range_gives_what_is_left,
            commits_come_back_as_they_were_given,
            commits_begin_with_the_one_that_reached_a_sequence,
            commits_after_a_deletion_hold_what_is_left,
            effects_without_an_outcome_are_found_page_by_page,
            entities_are_named_in_order_page_by_page,
            a_closed_journal_says_so,
        }
    };
}

/// Tests what a journal promises about appends: one test per case of
/// [`append`](crate::journal::append).
#[macro_export]
macro_rules! journal_append_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::journal::append;
            g2_many_events_are_stored_all_or_none,
            g2_a_batch_of_many_entities_is_stored_all_or_none,
            g2_a_rejected_batch_leaves_what_one_before_it_began,
            g2_acknowledgements_come_in_order,
            g2_the_highest_sequence_waits_for_appends_under_way,
            g2_histories_of_concurrent_appends_and_reads_are_linearizable_per_entity,
            g3_a_repeated_key_gets_the_first_answer,
            g3_a_key_with_another_payload_is_told_apart,
            g3_a_key_repeated_while_the_first_is_under_way_gets_its_answer,
            g4_a_wrong_expected_sequence_is_rejected_and_nothing_is_stored,
            g4_a_duplicate_sequence_from_a_second_writer_is_rejected,
            g4_a_stale_epoch_is_rejected_even_at_the_right_sequence,
            g4_each_claim_gets_a_higher_epoch_for_its_shard_alone,
            g4_of_racing_writers_one_wins_each_sequence_and_no_success_is_lost,
            g5_a_rejected_batch_does_not_disturb_those_beside_it,
            payloads_of_no_bytes_and_of_sixteen_mebibytes_come_back,
            an_empty_batch_is_acknowledged,
            long_and_unicode_ids_come_back_and_are_kept_apart,
            a_sequence_near_the_maximum_is_answered,
            metadata_and_trace_context_come_back,
            every_kind_of_effect_comes_back,
        }
    };
}

/// Tests what it takes to carry a journal elsewhere: one test per case of
/// [`archive`](crate::journal::archive).
#[macro_export]
macro_rules! journal_archive_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::journal::archive;
            everything_appended_comes_back_whole_in_order,
            what_is_deleted_is_told,
            shards_are_told_with_their_epochs,
        }
    };
}

/// Tests that a history is carried from the embedded log to a journal and back: one test per case of
/// [`copying`](crate::journal::copying).
#[macro_export]
macro_rules! journal_copy_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::journal::copying;
            a_history_goes_there_and_back_and_is_the_same,
            a_copy_that_was_interrupted_goes_on_wherever_it_was,
            a_target_that_others_wrote_to_is_refused,
        }
    };
}

/// Tests a journal's order across entities: one test per case of [`tail`](crate::journal::tail).
#[macro_export]
macro_rules! journal_tail_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::journal::tail;
            g7_the_tail_is_gapless_and_in_commit_order,
            g7_the_tail_never_skips_under_fifty_concurrent_writers,
            g7_a_rejected_batch_does_not_stall_the_tail,
            g7_catching_up_and_going_live_has_no_seam,
            events_of_one_moment_are_paged_without_loss,
            a_deleted_gap_wider_than_a_page_is_passed,
            the_tail_resumes_from_any_offset,
            the_tail_filters_by_kind_and_tag,
            a_wait_for_more_ends_when_the_journal_closes,
        }
    };
}

/// Tests what a journal remembers beyond its own life: one test per case of
/// [`reopen`](crate::journal::reopen).
#[macro_export]
macro_rules! journal_reopen_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::journal::reopen;
            g1_events_commits_and_order_are_there_after_reopening,
            g2_sequences_go_on_after_reopening,
            g3_a_key_is_remembered_after_reopening,
            g4_an_epoch_of_before_is_stale_after_reopening,
            g6_effects_without_an_outcome_are_there_after_reopening,
            deleted_events_stay_deleted_after_reopening,
        }
    };
}

/// Tests what a journal in an SQL server promises to the many processes that share it: one test per case of
/// [`server`](crate::journal::server).
#[macro_export]
macro_rules! journal_server_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::journal::server;
            g7_a_stalled_append_that_commits_late_is_read_at_its_place_under_fifty_writers,
            g7_a_stalled_append_that_is_rolled_back_leaves_no_gap_under_fifty_writers,
            g7_a_long_transaction_of_somebody_else_holds_up_neither_appends_nor_the_tail,
            g3_g5_an_append_whose_answer_is_lost_is_unknown_and_a_claim_finds_out,
            g5_an_append_that_was_never_heard_of_again_is_unknown_within_the_timeout,
            g10_questions_that_are_given_up_on_a_silent_network_use_up_no_connection,
            g5_a_batch_that_the_database_refuses_costs_no_other,
            text_of_any_kind_comes_back_also_with_the_character_zero,
            a_deletion_keeps_keys_offsets_and_effects_without_an_outcome,
            what_another_process_appended_is_deleted,
            processes_that_start_at_once_make_one_schema_and_an_older_program_leaves_a_newer_one_alone,
        }
    };
}
