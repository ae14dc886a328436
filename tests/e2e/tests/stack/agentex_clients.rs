//! Agentex's public clients, unmodified, through every call that they have.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_e2e::backend::stack::{node, python, shared_stack};
use steadfast_testkit::{
    scripted_model::{ModelRequest, Reply, Text},
    stack::{AgentSetup, run_node_script, run_script},
};

/// Longer than any keep-alive, and than clients wait for the next byte.
const SILENCE: Duration = Duration::from_secs(40);

fn reply(request: &ModelRequest) -> Reply {
    let said = request.user_texts().pop().unwrap_or_default();
    match said.as_str() {
        "be silent" => Reply::text(Text::words("Before after").every(SILENCE)),
        _ => Reply::text(Text::words(format!("You said: {said}")).every(Duration::from_millis(5))),
    }
}

#[tokio::test]
async fn the_public_python_client_finds_every_call() {
    let agent = shared_stack()
        .await
        .agent(AgentSetup::new("agentex", reply))
        .await
        .unwrap();
    let url = shared_stack().await.url();
    let output: Value = run_script(&python("agentex_rows.py"), &[&url, &agent.name()])
        .await
        .unwrap();
    assert_eq!(
        output["agents"],
        json!({"same_by_id": true, "one_page": 1, "of_task": [agent.name()]})
    );
    assert_eq!(
        output["answers"],
        json!({
            "first": ["You said: One"], "second": ["You said: Two"], "types": ["start", "full", "done"],
            "indexes": [0], "deltas": "You said: Three", "same_task": true,
        })
    );
    assert_eq!(
        output["silence"],
        json!({"first": "connected", "deltas": "Before after", "errors": []})
    );
    assert_eq!(
        output["messages"],
        json!({
            "texts": ["One", "You said: One", "Two", "You said: Two"], "limited": 1, "pages": [3, true, 1, false],
            "of_user": 2, "retrieved": "You said: One", "same_id": true,
        })
    );
    assert_eq!(
        output["events"],
        json!({"texts": ["One", "Two"], "in_order": true, "rest": true, "retrieved": "One"})
    );
    assert_eq!(
        output["tasks"],
        json!({
            "agents": [agent.name()], "changed": {"label": "blue"}, "state": ["state", 1, "idle"], "raw": ["id"],
            "listed": true, "named": true, "interrupted": [null, true],
            "ended": ["COMPLETED", "CANCELED", "TERMINATED", "CANCELED"], "erased": true,
        })
    );
    let refused = output["without_counterpart"].as_object().unwrap();
    for (call, answer) in refused {
        let is_client_error = answer[1].as_u64().is_some_and(|status| (400..500).contains(&status));
        assert!(is_client_error, "{call}: {answer}");
    }
    assert_eq!(refused.len(), 17, "{refused:?}");
}

#[tokio::test]
async fn the_public_client_of_npm_keeps_its_copy_of_a_task_up_to_date() {
    let agent = shared_stack()
        .await
        .agent(AgentSetup::new("agentex-node", reply))
        .await
        .unwrap();
    let url = shared_stack().await.url();
    let output: Value = run_node_script(&node("agentex.mjs"), &[&url, &agent.name()])
        .await
        .unwrap();
    assert_eq!(
        output,
        json!({
            "listed": true,
            "answers": {
                "whole": ["You said: One"], "types": ["start", "full", "done"], "deltas": "You said: Two",
            },
            "state": {
                "agents": [agent.name()], "errors": [], "same": true, "texts": ["Three", "You said: Three"],
                "retrieved": "You said: Three",
            },
        })
    );
}
