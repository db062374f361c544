//! The suites for brokers: Broker for every one, and for those with a server Server, which is
//! restarted, Network, which is disturbed, and Kill, whose consumer is killed.

mod bench;
pub mod changes;
pub mod delivery;
pub mod durable;
mod flow;
pub mod handling;
pub mod kill;
pub mod network;
pub mod order;
pub mod server;
pub mod stopping;

pub use bench::{Bench, Handled, Seen};

/// Tests what every broker promises, by itself and under a consumer: one test per case of
/// [`delivery`](crate::broker::delivery), [`durable`](crate::broker::durable),
/// [`order`](crate::broker::order), [`handling`](crate::broker::handling),
/// [`stopping`](crate::broker::stopping) and [`changes`](crate::broker::changes).
#[macro_export]
macro_rules! broker_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::broker::delivery;
            payload_key_and_headers_come_back,
            concurrent_subscribers_lose_none,
            many_topics_are_served,
            topics_are_isolated,
            two_groups_each_get_all,
            a_new_group_reads_from_the_beginning,
            a_message_given_back_is_given_again,
            others_go_on_after_a_subscriber_closes,
            a_message_id_published_twice_arrives_once,
            a_cancelled_acknowledgement_loses_nothing,
        }
        $crate::cases! { $factory; $crate::broker::durable;
            ten_concurrent_closes_end,
            a_cancelled_close_can_be_closed_again,
            closing_while_publishing_loses_none_that_was_confirmed,
            g8_what_was_not_acknowledged_is_given_after_reopening_and_no_other,
        }
        $crate::cases! { $factory; $crate::broker::order;
            g8_the_next_of_a_key_is_withheld_until_the_first_is_done,
            g8_order_per_key_is_kept_with_ten_subscribers,
            g8_order_per_key_is_kept_during_a_retry_and_other_keys_go_on,
            g8_a_rebalance_under_load_loses_none_and_keeps_the_order,
        }
        $crate::cases! { $factory; $crate::broker::handling;
            it_goes_on_after_many_errors,
            an_answer_is_out_before_its_message_is_done,
            a_dead_letter_carries_cause_attempts_and_headers,
            a_handler_that_panics_is_tried_again_then_its_message_is_a_dead_letter,
            a_lease_is_extended_while_a_handler_is_slow,
            g8_batches_keep_the_order_and_one_falls_apart_where_a_message_is_bad,
            g10_a_stalled_handler_bounds_what_is_taken_in,
        }
        $crate::cases! { $factory; $crate::broker::stopping;
            a_paused_consumer_takes_nothing_in_until_it_resumes,
            g9_a_drain_finishes_what_runs_and_gives_back_the_rest,
            g9_a_drain_ends_within_its_deadline,
            g9_a_dropped_consumer_leaves_what_it_had_to_be_given_again,
        }
        $crate::cases! { $factory; $crate::broker::changes;
            g8_a_full_member_hears_what_it_is_to_let_go_of_and_takes_no_message_in,
            a_full_member_hears_that_the_broker_is_closed,
            a_paused_consumer_ends_when_the_broker_is_closed,
        }
    };
}

/// Tests a broker whose server is restarted: one test per case of
/// [`server`](crate::broker::server).
#[macro_export]
macro_rules! broker_server_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::broker::server;
            g8_a_stop_and_a_kill_under_load_lose_none_and_keep_the_order,
            g8_a_group_without_order_loses_none_when_the_server_is_killed_twice,
            g8_a_message_whose_handler_ran_while_the_server_died_is_not_lost,
        }
    };
}

/// Tests a broker behind a network that is disturbed: one test per case of
/// [`network`](crate::broker::network).
#[macro_export]
macro_rules! broker_network_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::broker::network;
            g8_a_slow_network_loses_none_and_keeps_the_order,
            g8_a_cut_while_publishing_and_consuming_loses_none_and_it_goes_on_by_itself,
            g8_twenty_short_cuts_under_load_lose_none_that_was_confirmed,
            g8_where_nothing_reaches_the_server_it_is_noticed_and_none_is_lost,
            g8_where_nothing_comes_from_the_server_it_is_noticed_and_none_is_lost,
            g8_connections_that_the_network_forgot_are_made_anew,
            g5_a_late_confirm_is_unknown_and_publishing_again_makes_one_message,
            g10_a_publisher_that_reaches_nobody_is_told_so_and_keeps_nothing,
        }
    };
}

/// Tests that killing a consumer loses nothing: the case of [`kill`](crate::broker::kill). The factory
/// reaches the same broker in another process, which has the same environment.
#[macro_export]
macro_rules! broker_kill_suite {
    ($factory:expr) => {
        #[test]
        fn g8_a_consumer_killed_with_nine_in_the_middle_of_a_handler_loses_none_and_keeps_the_order()
        {
            use $crate::broker::kill as suite;
            let factory = $factory;
            // As the test harness calls it: without the name of the program.
            let (_, test) = concat!(
                module_path!(),
                "::g8_a_consumer_killed_with_nine_in_the_middle_of_a_handler_loses_none_and_keeps_the_order"
            )
            .split_once("::")
            .unwrap_or_default();
            $crate::run(suite::g8_a_consumer_killed_with_nine_in_the_middle_of_a_handler_loses_none_and_keeps_the_order(&factory, test));
        }
    };
}
