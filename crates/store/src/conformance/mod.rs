//! What every store must do: claims as functions, stamped for a database by [`conformance!`](crate::conformance!).
//!
//! A claim takes a [`Fixture`]: a store of its own that can be crashed and opened again. Claims
//! panic where the store does not hold them, as tests do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "claims are tests, and their names say what they claim"
)]

mod api_keys;
mod batches;
mod changes;
mod crash;
mod dispatch;
mod drops;
mod fixture;
mod fleet;
mod intake;
mod keys;
mod later;
mod list;
mod load;
mod prune;
mod queues;
mod refused;
mod success;
mod webhooks;

pub use api_keys::*;
pub use batches::*;
pub use changes::*;
pub use crash::*;
pub use dispatch::*;
pub use drops::*;
pub use fixture::{End, Fixture, Open, next_id, queue, success};
pub use fleet::*;
pub use intake::*;
pub use keys::*;
pub use later::*;
pub use list::*;
pub use load::*;
pub use prune::*;
pub use queues::*;
pub use refused::*;
pub use success::*;
pub use webhooks::*;

/// Makes a test of each claim; `$fixture` is an expression that makes a [`Fixture`].
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance!(@ $fixture;
            accepted_jobs_come_back_as_they_were
            a_job_that_is_sent_twice_is_stored_once
            inputs_of_every_size_come_back_byte_for_byte
            a_job_that_cannot_be_stored_does_not_hold_up_its_neighbours
            a_retry_by_hand_is_made_once_and_only_of_what_ended_badly
            a_key_answers_with_its_job_or_refuses_other_words
            what_a_key_answers_can_be_asked_without_claiming_it
            the_key_of_a_deleted_job_is_refused
            fifty_equal_keys_in_one_batch_are_one_job
            equal_keys_over_two_writers_are_one_job
            yesterdays_key_still_answers_and_older_ones_do_not
            a_batch_with_one_key_is_stored_whole_and_leads_to_all_its_jobs
            a_batch_with_a_job_that_cannot_be_stored_is_not_stored
            racing_equal_batches_are_one_batch
            the_backlog_is_handed_out_in_its_order_and_within_its_limit
            a_paused_queue_hands_nothing_out
            two_writers_are_never_handed_the_same_job
            a_handed_out_job_brings_its_input
            handing_out_follows_the_state_machine
            a_success_follows_the_state_machine_in_every_state
            the_first_success_of_a_job_counts
            an_attempt_that_was_never_dispatched_cannot_succeed
            outputs_of_every_size_come_back_byte_for_byte
            a_success_that_cannot_be_stored_does_not_hold_up_its_neighbours
            only_json_outputs_within_the_limit_come_along
            a_change_is_stored_as_it_was_decided
            a_change_decided_on_an_older_version_changes_nothing
            a_large_output_may_come_by_a_change
            attempts_that_ended_are_kept_in_order
            a_cancel_of_a_dispatched_job_is_kept_until_it_is_forgotten
            the_cancels_of_a_queue_are_read_page_by_page
            a_purge_follows_the_state_machine
            a_purge_leaves_what_was_accepted_after_it_began
            purging_a_hundred_thousand_jobs_takes_few_calls
            a_due_job_is_claimed_once
            claims_come_in_the_order_in_which_jobs_are_due
            the_walk_watches_dispatched_jobs_that_nobody_watches
            what_is_out_is_found_page_by_page
            what_is_dispatched_and_not_started_is_found_by_its_queue
            a_takeover_doubts_what_nobody_was_seen_with_from_the_watermark_on
            a_takeover_may_doubt_thousands
            a_takeover_fences_its_clerk_for_good
            a_clerk_that_was_heard_from_is_not_taken_over
            a_closed_clerk_is_not_taken_over
            only_the_latest_word_of_a_worker_is_kept
            all_clerks_share_their_secrets
            a_list_is_filtered_and_newest_first
            paging_skips_and_repeats_nothing_while_jobs_come_in
            a_list_that_finds_little_comes_to_its_end_in_bounded_pages
            a_deleted_job_is_hidden_everywhere
            only_final_jobs_of_the_tenant_are_deleted
            queues_are_declared_once_and_paused
            a_queue_is_deleted_only_without_unfinished_jobs
            a_key_comes_back_as_it_was_made_and_holds_no_secret
            no_key_takes_the_place_of_another
            a_key_is_revoked_once_and_stays_in_the_list
            the_counts_of_a_queue_are_those_of_its_jobs
            the_backlog_tells_the_oldest_of_each_queue
            a_crash_loses_nothing_that_was_accepted
            dropped_futures_leave_nothing_half_done
            dropped_webhook_calls_leave_nothing_half_done
            dropped_calls_about_keys_and_queues_leave_nothing_half_done
            dropped_looks_at_what_is_out_leave_nothing_half_done
            dropped_heartbeats_and_goodbyes_leave_nothing_half_done
            a_dropped_pruning_leaves_whole_days
            pruning_takes_what_is_done_for_the_retention_and_nothing_else
            pruning_forgets_old_cancels_workers_and_clerks
            jobs_come_in_and_end_while_days_are_given_back
            keys_are_claimed_while_those_of_the_day_before_yesterday_go
            whatever_ends_a_job_writes_its_webhook_and_nothing_else_does
            a_webhook_outlives_a_crash_if_and_only_if_its_job_is_done
            a_due_webhook_is_claimed_once_and_comes_free_with_its_claim
            what_became_of_a_webhook_is_kept_only_under_its_claim
            a_webhook_is_sent_again_on_demand_as_if_it_were_new
            a_job_whose_webhook_is_unsent_outlives_its_retention
            a_tenants_secret_is_made_once_and_signs_for_a_day_after_its_rotation
        );
    };
    (@ $fixture:expr; $($claim:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let mut fixture = $fixture.await;
                $crate::conformance::$claim(&mut fixture).await;
                fixture.end().await;
            }
        )*
    };
}
