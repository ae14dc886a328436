//! Steadfast on a real cluster: images, charts, operator, kubelet and containers.
//! Needs root and all tools (`cargo xtask tools`).
//!
//! All tests share one platform, each with its own namespace and model. The platform
//! ends after the last test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod conversation;
mod editing;
mod examples;
mod handoff;
mod hostile_tenant;
mod readiness;
mod schedules;
mod worker_loss;

use std::{panic::AssertUnwindSafe, process::ExitCode, sync::LazyLock};

use futures::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use steadfast_e2e::backend::cluster::{self, namespace::Namespace};
use tokio::{runtime::Runtime, sync::RwLock};

/// Tests mostly wait for pods.
const TESTS_AT_ONCE: usize = 6;

/// One runtime for all tests, as they share the platform.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Held for reading by a test that shares operator and gateway with others, and for writing by one that restarts them.
static PROGRAMS: RwLock<()> = RwLock::const_new(());

macro_rules! tests {
    ($($module:ident $(:: $part:ident)+ in $namespace:literal,)+) => {
        vec![$(trial(
            concat!(stringify!($module) $(, "::", stringify!($part))+),
            $namespace,
            $module $(:: $part)+,
        )),+]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    let mut tests = tests![
        worker_loss::the_only_worker_is_killed_in_the_middle_of_an_answer in "kill-one",
        worker_loss::one_of_two_workers_is_killed_in_the_middle_of_an_answer in "kill-of-two",
        editing::a_changed_secret_reaches_the_model_and_the_conversation_continues in "changed-secret",
        conversation::the_weather_example_answers_the_public_python_client in "default",
        editing::a_prompt_edit_reaches_the_next_message_and_restarts_nothing in "prompt-edit",
        readiness::an_agent_with_a_wrong_image_is_never_ready_and_gives_the_reason in "wrong-image",
        readiness::an_agent_with_a_missing_secret_names_it_and_recovers_when_it_appears in "missing-secret",
        handoff::a_handed_off_turn_continues_without_workers_of_the_first_agent in "handoff-away",
        examples::several_agents::handoffs_reach_specialists_whose_keys_are_only_in_their_own_pods in "example-handoffs",
        examples::several_agents::research_calls_an_agent_that_calls_an_mcp_server in "example-research",
        examples::tools::money_is_moved_or_the_withdrawal_is_undone_and_the_ledger_has_each_effect_once in "example-move-money",
        examples::approvals::calls_that_need_approval_wait_for_a_decision in "example-human",
        examples::tools::http_tool_refunds_once in "example-http-tool",
        examples::single_agent::guardrails_stop_a_turn_and_say_why in "example-guardrails",
        examples::tools::a_tool_in_rust_runs_in_the_agents_own_worker in "example-rust-tool",
        examples::single_agent::haiku_answers in "example-haiku",
        examples::single_agent::structured_output_is_json_of_the_schema in "example-structured",
        examples::single_agent::reasoning_is_shown_before_the_answer in "example-reasoning",
        schedules::a_schedule_creates_a_task_each_time in "schedules",
        schedules::a_schedule_with_a_fixed_task_continues_its_conversation in "schedules-fixed",
        access::only_permitted_users_see_an_agent_and_only_the_creator_sees_a_task in "access",
    ];
    // The last one, so that no other test waits for it.
    tests.push(Trial::test(
        "hostile_tenant::broken_manifests_of_one_tenant_disturb_nobody_else",
        || {
            RUNTIME.block_on(async {
                let _alone = PROGRAMS.write().await;
                run(
                    "good-tenant",
                    hostile_tenant::broken_manifests_of_one_tenant_disturb_nobody_else,
                )
                .await
            })
        },
    ));
    let conclusion = libtest_mimic::run(&arguments, tests);
    if let Err(error) = RUNTIME.block_on(cluster::end()) {
        eprintln!("could not end the platform: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trial<Ended>(name: &str, namespace: &'static str, test: fn(Namespace) -> Ended) -> Trial
where
    Ended: Future<Output = ()> + 'static,
{
    Trial::test(name, move || {
        RUNTIME.block_on(async {
            let _shared = PROGRAMS.read().await;
            run(namespace, test).await
        })
    })
}

async fn run<Ended>(namespace: &str, test: fn(Namespace) -> Ended) -> Result<(), Failed>
where
    Ended: Future<Output = ()>,
{
    let cluster = cluster::shared_cluster().await.map_err(|error| format!("{error:#}"))?;
    let namespace = Namespace::create(cluster, namespace)
        .await
        .map_err(|error| format!("{error:#}"))?;
    match AssertUnwindSafe(test(namespace.clone())).catch_unwind().await {
        Ok(()) => Ok(()),
        // The panic's message is printed already.
        Err(_) => Err(format!("the namespace contains:\n{}", namespace.report().await).into()),
    }
}
