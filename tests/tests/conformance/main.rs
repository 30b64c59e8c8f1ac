//! What every adapter must do, over real sockets. Each case is written once and is a test of its own for each
//! framework: `actix::…`, `rocket::…`, `warp::…`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

mod attacks;
mod auth;
mod drain;
mod encoders;
mod ends;
mod faults;
mod limits;
mod observed;
mod only;
mod options;
mod reauthorize;
mod resume;
mod sessions;
mod slow;
mod topics;
mod unread;
mod wire;

macro_rules! conformance {
    ($($module:ident: $($case:ident)*;)*) => {
        conformance!(@framework actix Actix $($module: $($case)*;)*);
        conformance!(@framework rocket Rocket $($module: $($case)*;)*);
        conformance!(@framework warp Warp $($module: $($case)*;)*);
    };
    (@framework $name:ident $framework:ident $($module:ident: $($case:ident)*;)*) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$module::$case(sse_tests::servers::Framework::$framework).await;
                })*
            })*
        }
    };
}

conformance! {
    wire:
        the_head_is_that_of_an_event_stream
        the_first_bytes_come_at_once
        own_streams_are_sent_byte_for_byte
        hub_streams_are_sent_byte_for_byte
        forged_events_stay_data
        chunks_hold_whole_events
        silence_is_kept_alive_and_traffic_is_not
        http_2_carries_the_same_bytes
        http_1_0_gets_no_chunks
        head_requests_open_nothing
        bad_topics_are_refused_in_one_sentence;
    resume:
        without_a_position_a_stream_begins_now
        the_newest_id_replays_nothing
        an_id_in_the_middle_replays_the_rest
        a_trimmed_id_gets_one_gap
        an_id_from_before_a_restart_gets_one_gap_and_everything
        an_id_in_the_future_gets_one_gap
        any_header_gets_a_stream
        a_client_cut_before_its_first_event_misses_nothing
        the_query_stands_in_for_the_header
        an_event_of_several_topics_comes_once
        a_quiet_client_is_told_its_position
        a_capped_replay_goes_on_after_reconnects
        cut_anywhere_nothing_is_lost_or_repeated;
    topics:
        an_open_stream_is_given_topics_and_loses_them
        changing_topics_amid_traffic_loses_and_repeats_nothing;
    options:
        each_endpoint_begins_where_it_says
        a_named_event_keeps_a_stream_alive
        without_keep_alive_nothing_is_sent_and_who_leaves_is_noticed
        the_head_comes_at_once_without_a_word
        each_endpoint_has_its_own_caps_and_gaps
        each_client_sees_what_it_may
        a_post_names_its_topics_in_the_body;
    slow:
        a_client_that_stops_reading_costs_the_log_and_no_more;
    limits:
        streams_in_all
        streams_of_a_subject
        streams_of_an_address
        streams_of_a_topic
        topics_of_a_request
        an_endpoint_has_limits_of_its_own
        browsers_get_the_status_where_it_is_said
        chromium_stops_at_a_status
        connects_a_minute
        a_trusted_proxy_says_where_a_client_is
        over_http_2_streams_are_counted
        events_and_bytes_of_the_past
        who_comes_with_the_oldest_id_again_and_again
        a_slow_client_is_sent_away
        chromium_comes_back_until_there_is_a_place
        firefox_comes_back_until_there_is_a_place;
    observed:
        each_end_has_its_reason
        who_is_there_is_known;
    unread:
        whoever_reads_nothing_is_freed_at_his_age
        whoever_reads_nothing_over_http_2_is_freed_at_his_age
        whoever_reads_nothing_is_freed_when_revoked
        whoever_reads_nothing_over_http_2_is_freed_when_revoked;
    auth:
        refusals_are_what_the_core_says
        a_token_opens_what_it_grants_and_nothing_else
        a_cookie_counts_from_our_own_pages_alone
        listed_origins_can_read_every_answer
        a_host_that_is_not_ours_is_turned_away
        a_ticket_opens_once_and_its_cookie_again
        an_expired_token_ends_its_stream
        a_revoked_token_ends_its_stream_and_opens_no_other
        a_lost_topic_is_not_replayed
        another_signature_is_signed_out_too
        a_ticket_opens_its_stream_and_nothing_else
        head_requests_leave_tickets_alone
        every_page_load_has_room
        a_key_that_is_not_known_yet_lets_come_back
        a_neighbour_can_change_nothing_with_a_cookie
        a_cookie_of_a_neighbour_locks_nobody_out
        whoever_signs_in_does_so_on_our_own_page;
    sessions:
        the_application_says_who_sees_what
        what_the_application_refuses_it_refuses_in_its_own_way
        another_sites_page_is_turned_away_before_the_application_looks
        a_session_ends_and_its_streams_with_it
        a_topic_is_taken_from_all_who_have_it
        a_session_is_over_on_time
        a_user_who_is_nobody_is_the_servers_fault
        what_is_taken_away_leaves_an_open_stream;
    reauthorize:
        while_nobody_answers_nothing_is_sent_and_then_it_ends
        while_the_application_fails_it_goes_on_and_then_it_ends
        a_thousand_are_asked_about_and_few_at_once;
    attacks:
        eighty_page_loads_of_one_person_are_ended_by_one_word
        an_application_that_panics_or_hangs_takes_nobody_else_down
        who_reads_nothing_holds_nobody_up_while_their_right_ends
        signing_out_and_back_in_again_and_again_leaves_nothing_behind;
    drain:
        readiness_comes_first
        streams_leave_one_by_one
        an_answer_is_finished
        whoever_says_nothing_leaves_with_a_farewell
        whoever_is_told_to_come_back_is_disconnected
        over_http_2_the_connection_stays;
    ends:
        an_own_stream_ends_with_its_source
        a_failing_own_stream_ends_cleanly
        stopping_ends_every_stream_cleanly
        while_stopping_clients_are_told_to_come_back
        a_client_that_leaves_frees_its_place
        an_old_stream_ends_and_says_when_to_return
        a_204_says_nothing_but_stop
        a_204_stops_chromium
        a_204_stops_firefox;
    faults:
        own_streams_that_panic_leave_nothing
        a_stream_may_stop_its_own_server
        a_crowd_that_comes_at_once_has_the_places_and_no_more;
}
