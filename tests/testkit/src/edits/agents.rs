//! The fields of an Agent.

use serde_json::json;

use super::{
    Edit,
    Effect::{Deletion, Move, Revision, RevisionAndPods, RevisionOfReferrersToo, Schedule as InTemporal},
    Proof, same,
};

const KIND: &str = "Agent";
/// It moves an Agent whose tasks run, to a pool and back.
const MOVE: Proof = Proof {
    file: "operator/tests/control_plane/moves.rs",
    test: "an_agent_moves_to_a_pool_and_back_and_the_workers_before_stay_until_its_tasks_have_moved",
};

pub(super) fn edits() -> Vec<Edit> {
    [
        words(),
        model(),
        model_settings(),
        tools(),
        guardrails(),
        hooks(),
        turns(),
        schedules(),
        workers(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn words() -> Vec<Edit> {
    let mut edits = same(
        KIND,
        Revision,
        [
            ("spec.instructions", json!("Plan better.")),
            ("spec.instructionsFrom.configMapKeyRef.name", json!("other-prompt")),
            ("spec.instructionsFrom.configMapKeyRef.key", json!("other")),
            ("spec.welcome", json!("Hello!")),
            (
                "spec.output.schema",
                json!({"type": "object", "properties": {}, "additionalProperties": false}),
            ),
            ("spec.output.strict", json!(false)),
            ("spec.context.windowTokens", json!(200_000)),
            ("spec.context.compaction.enabled", json!(false)),
            ("spec.context.compaction.thresholdPercent", json!(50)),
            ("spec.context.compaction.instructions", json!("Keep all names.")),
        ],
    );
    let description = ("spec.description", json!("Plans journeys by rail."));
    edits.extend(same(KIND, RevisionOfReferrersToo, [description]));
    edits
}

fn model() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.model.name", json!("gpt-5")),
            ("spec.model.api", json!("ChatCompletions")),
            ("spec.model.baseUrl", json!("https://api.example.com/v1")),
            ("spec.model.apiKeyEnvVar", json!("TOOL_TOKEN")),
            ("spec.model.auth.header", json!("api-key")),
            ("spec.model.auth.scheme", json!("Token")),
            ("spec.model.auth.tokenFile", json!("/var/run/secrets/tokens/other")),
            ("spec.model.dialect", json!("Mistral")),
            ("spec.model.timeouts.idle", json!("2m")),
            ("spec.model.timeouts.call", json!("20m")),
            ("spec.model.timeouts.heartbeat", json!("10s")),
            ("spec.model.retry.maximumAttempts", json!(7)),
            ("spec.model.retry.initialInterval", json!("3s")),
            ("spec.model.retry.maximumInterval", json!("2m")),
        ],
    )
}

fn model_settings() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.model.settings.temperature", json!(0.7)),
            ("spec.model.settings.topP", json!(0.7)),
            ("spec.model.settings.maxOutputTokens", json!(2000)),
            ("spec.model.settings.reasoning.effort", json!("high")),
            ("spec.model.settings.reasoning.summary", json!("detailed")),
            ("spec.model.settings.toolChoice", json!("required")),
            ("spec.model.settings.parallelToolCalls", json!(false)),
            ("spec.model.settings.truncation", json!("disabled")),
            ("spec.model.settings.verbosity", json!("high")),
            ("spec.model.settings.serviceTier", json!("flex")),
            ("spec.model.settings.extraBody", json!({"seed": 2})),
            ("spec.model.settings.omit[]", json!("stream_options")),
        ],
    )
}

fn tools() -> Vec<Edit> {
    let mut edits = same(
        KIND,
        Revision,
        [
            ("spec.tools[].tool", json!("spare-tool")),
            ("spec.tools[].approval.required", json!(false)),
            ("spec.tools[].approval.timeout", json!("30m")),
            ("spec.tools[].approval.onTimeout", json!("Fail")),
            ("spec.tools[].agent", json!("translator")),
            ("spec.tools[].name", json!("find_out")),
            ("spec.tools[].description", json!("Finds out.")),
            ("spec.handoffs[].agent", json!("researcher")),
            ("spec.handoffs[].description", json!("For other languages.")),
            ("spec.handoffs[].input", json!("All")),
            ("spec.toolUse.tools[]", json!("by_steps")),
        ],
    );
    let behavior = Edit::new(KIND, "spec.toolUse.behavior", json!("RunAgain"), Revision);
    edits.push(behavior.and("spec.toolUse.tools", json!(null)));
    edits
}

fn guardrails() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.guardrails.input[].name", json!("other")),
            ("spec.guardrails.input[].timeout", json!("20s")),
            ("spec.guardrails.input[].agent", json!("researcher")),
            ("spec.guardrails.input[].cel", json!("text.size() > 20000")),
            ("spec.guardrails.input[].activity.name", json!("other_check")),
            ("spec.guardrails.input[].activity.taskQueue", json!("other-queue")),
            ("spec.guardrails.input[].activity.argumentStyle", json!("Positional")),
            ("spec.guardrails.input[].activity.heartbeatTimeout", json!("20s")),
            ("spec.guardrails.output[].name", json!("other")),
            ("spec.guardrails.output[].timeout", json!("20s")),
            ("spec.guardrails.output[].agent", json!("researcher")),
            ("spec.guardrails.output[].cel", json!("text.size() > 20000")),
            ("spec.guardrails.output[].activity.name", json!("other_check")),
            ("spec.guardrails.output[].activity.taskQueue", json!("other-queue")),
            ("spec.guardrails.output[].activity.argumentStyle", json!("Positional")),
            ("spec.guardrails.output[].activity.heartbeatTimeout", json!("20s")),
        ],
    )
}

fn hooks() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.hooks[].events[]", json!("ToolEnded")),
            ("spec.hooks[].timeout", json!("5s")),
            ("spec.hooks[].activity.name", json!("other_hook")),
            ("spec.hooks[].activity.taskQueue", json!("other-queue")),
            ("spec.hooks[].activity.argumentStyle", json!("Positional")),
            ("spec.hooks[].activity.heartbeatTimeout", json!("20s")),
            ("spec.hooks[].webhook.url", json!("https://hooks.example.com/v2")),
            ("spec.hooks[].webhook.headers[].name", json!("X-Other")),
            ("spec.hooks[].webhook.headers[].value", json!("other")),
        ],
    )
}

fn turns() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.stream.toolRequests", json!(false)),
            ("spec.stream.toolResponses", json!(false)),
            ("spec.stream.handoffs", json!(false)),
            ("spec.stream.reasoning", json!(false)),
            ("spec.stream.agents", json!(true)),
            ("spec.stream.modelCalls", json!(true)),
            ("spec.stream.hiddenTools[]", json!("other_*")),
            ("spec.limits.maxModelCallsPerTurn", json!(7)),
            ("spec.limits.turnTimeout", json!("2h")),
            ("spec.limits.taskTimeout", json!("72h")),
            ("spec.limits.maxQueuedMessages", json!(7)),
            ("spec.limits.maxTokensPerTask", json!(2_000_000)),
            ("spec.limits.maxConcurrentModelCalls", json!(7)),
            ("spec.retention.log", json!("48h")),
        ],
    )
}

fn schedules() -> Vec<Edit> {
    same(
        KIND,
        InTemporal,
        [
            ("spec.schedules[].name", json!("evening")),
            ("spec.schedules[].cron", json!("0 19 * * *")),
            ("spec.schedules[].timeZone", json!("Europe/Berlin")),
            ("spec.schedules[].message", json!("Tell what departs tonight.")),
            ("spec.schedules[].task", json!("Fixed")),
            ("spec.schedules[].overlap", json!("BufferOne")),
            ("spec.schedules[].catchUp", json!("20m")),
            ("spec.schedules[].suspend", json!(true)),
        ],
    )
}

fn workers() -> Vec<Edit> {
    let renamed = Edit::new(
        KIND,
        "spec.credentials[].envVarName",
        json!("OTHER_KEY"),
        RevisionAndPods,
    );
    let moved = Edit::new(KIND, "spec.workerPool.name", json!("other-pool"), Move);
    let others = [
        renamed.and("spec.model.apiKeyEnvVar", json!("OTHER_KEY")),
        Edit {
            proof: Some(MOVE),
            ..moved
        },
        Edit::new(KIND, "spec.deletion.policy", json!("Cancel"), Deletion),
        Edit::new(KIND, "spec.deletion.deadline", json!("20m"), Deletion),
    ];
    super::workers(KIND).into_iter().chain(others).collect()
}
