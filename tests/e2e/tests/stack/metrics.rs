//! The metrics of a worker.

use serde_json::json;
use steadfast_e2e::backend::stack::{guarded_nonce_tool, shared_stack};
use steadfast_testkit::{
    TemporalOptions,
    scripted_model::Reply,
    stack::{AgentSetup, BinaryDir, Stack, TIMEOUT},
    wait,
};

/// The sum of all series with this name and these labels.
fn sum(page: &str, name: &str, labels: &[&str]) -> f64 {
    let series = page.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('{') && labels.iter().all(|label| rest.contains(label)))
    });
    series
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn an_idle_worker_has_three_long_polls_open_at_temporal() {
    let setup = AgentSetup::new("idle", |_| Reply::text("Hello."));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let open = wait::until("three polls to be open", TIMEOUT, async || {
        let page = agent.worker().admin("metrics").await?;
        let open = |operation: &str| sum(&page, "steadfast_temporal_polls_open", &[operation]);
        let open = ["PollWorkflowTaskQueue", "PollActivityTaskQueue", "Poll"].map(open);
        anyhow::ensure!(open[0] > 1.5 && open[1] > 0.5, "open are {open:?}");
        Ok(open)
    })
    .await
    .unwrap();
    assert!(open[2] < 3.5, "open are {open:?}");
}

#[tokio::test]
async fn a_worker_whose_polls_are_refused_is_not_ready() {
    let options = TemporalOptions {
        // Fewer than the three polls of an idle worker.
        dynamic_config: vec!["frontend.namespaceCount=1".to_owned()],
        ..TemporalOptions::default()
    };
    let stack = Stack::start_with(options, BinaryDir::of_this_test().unwrap())
        .await
        .unwrap();
    let setup = AgentSetup::new("refused", |_| Reply::text("Hello.")).with_unready_workers();
    let agent = stack.agent(setup).await.unwrap();
    // The worker may be ready first: its first polls can come before those of Temporal's own workers.
    wait::until("the worker to be refused and not ready", TIMEOUT, async || {
        let log = std::fs::read_to_string(agent.worker().service().log())?;
        anyhow::ensure!(
            log.contains("frontend.namespaceCount"),
            "its log does not name the limit"
        );
        let ready = agent.worker().admin("readyz").await;
        anyhow::ensure!(ready.is_err(), "{ready:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn tokens_errors_and_approvals_are_counted_in_the_metrics() {
    let setup = AgentSetup::new("measured", |request| match request.number {
        1 => Reply::error(429, "rate_limit_exceeded", "slowly"),
        2 => Reply::call("nonce", &json!({"of": "x"})),
        _ => Reply::text("Done."),
    })
    .tool("nonce", guarded_nonce_tool());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Go.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    approval.approve("").await.unwrap();
    let end = task.turn_completed(1).await.unwrap();

    let page = agent.worker().admin("metrics").await.unwrap();
    let of = |name: &str, labels: &[&str]| sum(&page, name, &[labels, &[r#"agent="measured""#]].concat());
    #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
    let input_tokens = end.usage.input_tokens as f64;
    let expected = [
        ("steadfast_tokens_total", &[r#"type="input""#][..], input_tokens),
        ("steadfast_model_call_seconds_count", &[r#"outcome="success""#], 2.0),
        ("steadfast_model_call_seconds_count", &[r#"outcome="error""#], 1.0),
        ("steadfast_model_time_to_first_token_seconds_count", &[], 2.0),
        ("steadfast_model_errors_total", &[r#"category="model_rate_limit""#], 1.0),
        ("steadfast_turns_total", &[r#"status="completed""#], 1.0),
        ("steadfast_approvals_requested_total", &[], 1.0),
        ("steadfast_approvals_decided_total", &[r#"decision="approved""#], 1.0),
    ];
    for (name, labels, value) in expected {
        let counted = of(name, labels);
        assert!(
            (counted - value).abs() < 0.5,
            "{name} {labels:?} is {counted}, not {value}\n{page}"
        );
    }
}
