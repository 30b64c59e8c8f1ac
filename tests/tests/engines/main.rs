//! What users and their clients see of hubs that share an engine. Each case is written once and is a test of its own for
//! each engine: `memory::…`, `redis::…`, `redis_cluster::…`, `nats::…`. Those of `faults` need faults that only the one in memory has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test: a failure is a failed test"
)]

mod away;
mod chaos;
mod client;
mod faults;
mod features;
mod losses;
mod node;
mod order;
mod publish;
mod resume;
mod traffic;
mod warm;

macro_rules! engines {
    ($($module:ident: $($case:ident)*;)*) => {
        engines!(@engine memory Memory $($module: $($case)*;)*);
        engines!(@engine redis Redis $($module: $($case)*;)*);
        engines!(@engine redis_cluster RedisCluster $($module: $($case)*;)*);
        engines!(@engine nats Nats $($module: $($case)*;)*);
    };
    (@engine $name:ident $kind:ident $($module:ident: $($case:ident)*;)*) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$module::$case(sse_tests::engines::Kind::$kind).await;
                })*
            })*
        }
    };
}

engines! {
    order:
        every_node_has_the_same_ids_in_the_same_order
        what_is_awaited_keeps_its_order
        concurrent_publishers_lose_and_repeat_nothing
        an_event_of_several_topics_comes_once;
    resume:
        another_node_goes_on_where_the_first_was_cut
        on_many_topics
        any_text_gets_a_stream;
    publish:
        one_of_300_wins_on_two_nodes
        a_key_that_was_there_names_the_first
        what_cannot_be_published_is_said
        threads_may_wait
        the_only_thread_of_a_runtime_may_not;
    warm:
        a_later_node_has_the_past
        a_later_node_has_no_more_than_its_limits
        the_first_node_of_all_begins_with_nothing
        an_old_id_at_a_later_node;
    losses:
        a_restart_with_its_data_is_no_gap
        a_restart_without_data_is_told
        trimmed_under_a_reader
        what_was_revoked_meanwhile_is_known;
    away:
        clients_stay_and_go_on_exactly
        frozen
        none_is_let_in_where_that_is_not_wanted
        a_hub_that_is_dropped_leaves_nothing;
    features:
        latest_values
        caps_of_each_topic
        filters
        handles_add_topics
        read_on_this_side
        where_a_reader_begins;
    traffic:
        many_clients_are_asked_no_more_for_than_few;
}
