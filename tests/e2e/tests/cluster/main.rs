//! Steadfast on a real cluster: the images, the charts, the operator, kubelet
//! and containers. Needs root and all tools (`cargo xtask tools`).
//!
//! All scenarios share one platform, each in a namespace of its own with a model
//! of its own; the platform ends with the last of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod cluster;
mod conversation;
mod editing;
mod examples;
mod handoff;
mod namespace;
mod pods;
mod readiness;
mod schedules;
mod worker_loss;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::LazyLock;

use futures::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use namespace::Namespace;

/// They mostly wait for pods.
const SCENARIOS_AT_ONCE: usize = 6;

/// Outlives each scenario, as what they share does.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

macro_rules! scenarios {
    ($($module:ident :: $scenario:ident in $namespace:literal,)+) => {
        vec![$(trial(
            concat!(stringify!($module), "::", stringify!($scenario)),
            $namespace,
            $module::$scenario,
        )),+]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SCENARIOS_AT_ONCE);
    let scenarios = scenarios![
        worker_loss::the_only_worker_is_killed_in_the_middle_of_an_answer in "kill-one",
        worker_loss::one_of_two_workers_is_killed_in_the_middle_of_an_answer in "kill-of-two",
        editing::a_changed_secret_reaches_the_model_and_the_conversation_goes_on in "changed-secret",
        conversation::the_weather_example_answers_the_public_python_client in "default",
        editing::a_prompt_edit_reaches_the_next_message_and_restarts_nothing in "prompt-edit",
        readiness::a_wrong_image_is_never_ready_and_says_why in "wrong-image",
        readiness::a_missing_secret_is_named_and_heals_when_it_appears in "missing-secret",
        handoff::the_first_agents_workers_may_all_be_away_in_the_turn_of_the_second in "handoff-away",
        examples::handoffs_reach_specialists_whose_keys_are_in_their_own_pods_only in "example-handoffs",
        examples::research_asks_an_agent_that_asks_an_mcp_server in "example-research",
        examples::money_is_moved_or_the_withdrawal_is_undone_and_the_ledger_has_each_effect_once in "example-move-money",
        examples::what_needs_a_person_waits_for_one in "example-human",
        examples::http_tool_refunds_once in "example-http-tool",
        examples::guardrails_stop_a_turn_and_say_why in "example-guardrails",
        examples::a_tool_in_rust_runs_in_the_agents_own_worker in "example-rust-tool",
        examples::haiku_answers in "example-haiku",
        examples::structured_output_is_json_of_the_schema in "example-structured",
        examples::reasoning_is_seen_before_the_answer in "example-reasoning",
        schedules::a_schedule_begins_a_task_each_time in "schedules",
        schedules::a_schedule_with_a_fixed_task_goes_on_with_its_conversation in "schedules-fixed",
        access::only_those_who_may_see_an_agent_and_only_the_creator_sees_a_task in "access",
    ];
    let conclusion = libtest_mimic::run(&arguments, scenarios);
    if let Err(error) = RUNTIME.block_on(cluster::end()) {
        eprintln!("the platform did not end: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trial<Ended>(name: &str, namespace: &'static str, scenario: fn(Namespace) -> Ended) -> Trial
where
    Ended: Future<Output = ()> + 'static,
{
    Trial::test(name, move || RUNTIME.block_on(run(namespace, scenario)))
}

async fn run<Ended>(namespace: &str, scenario: fn(Namespace) -> Ended) -> Result<(), Failed>
where
    Ended: Future<Output = ()>,
{
    let cluster = cluster::shared().await.map_err(|error| format!("{error:#}"))?;
    let namespace = Namespace::make(cluster, namespace)
        .await
        .map_err(|error| format!("{error:#}"))?;
    match AssertUnwindSafe(scenario(namespace.clone())).catch_unwind().await {
        Ok(()) => Ok(()),
        // What was wrong is printed by then.
        Err(_) => Err(format!("what there was:\n{}", namespace.report().await).into()),
    }
}
