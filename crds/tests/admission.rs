//! The objects that admission accepts and refuses, rule by rule. The rules are the
//! API server's own, evaluated here; the limits of the schema are not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use kube_core::cel::ValidationErrors;
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentRevision, AgentTool, WorkerPool, agent::Schedule, agent_tool::ApprovalPolicy};

fn agent() -> Value {
    json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "Agent",
        "metadata": { "name": "weather", "namespace": "default" },
        "spec": {
            "instructions": "Answer.",
            "model": { "name": "gpt-5-mini" },
            "credentials": [{ "envVarName": "OPENAI_API_KEY", "secretName": "openai", "secretKey": "api-key" }],
            "tools": [{ "tool": "get-weather" }, { "tool": "get-time" }],
        },
    })
}

fn tool() -> Value {
    json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "AgentTool",
        "metadata": { "name": "get-weather", "namespace": "default" },
        "spec": {
            "description": "Tells the weather.",
            "activity": { "name": "get_weather", "taskQueue": "weather" },
        },
    })
}

fn revision() -> Value {
    json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "AgentRevision",
        "metadata": { "name": "weather-1", "namespace": "default" },
        "spec": {
            "agent": "weather",
            "sequence": 1,
            "instructions": "Answer.",
            "model": { "name": "gpt-5-mini" },
            "taskQueue": "install/default/agent/weather",
        },
    })
}

/// `base` with the value at each JSON pointer replaced, or removed for null.
fn edited(mut base: Value, edits: &[(&str, Value)]) -> Value {
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = base.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key);
        } else {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    base
}

/// Paths and messages of the rules that failed.
fn failures(result: Result<(), ValidationErrors>) -> Vec<(String, String)> {
    result.err().map_or_else(Vec::new, |errors| {
        errors
            .into_vec()
            .into_iter()
            .map(|error| (error.field_path, error.message))
            .collect()
    })
}

fn agent_failures(edits: &[(&str, Value)]) -> Vec<(String, String)> {
    let agent: Agent = serde_json::from_value(edited(agent(), edits)).unwrap();
    failures(agent.validate_cel())
}

fn tool_failures(edits: &[(&str, Value)]) -> Vec<(String, String)> {
    let tool: AgentTool = serde_json::from_value(edited(tool(), edits)).unwrap();
    failures(tool.validate_cel())
}

fn failure(path: &str, message: &str) -> Vec<(String, String)> {
    vec![(path.to_owned(), message.to_owned())]
}

const AGENT_NAME: &str = "an Agent's name is a DNS label of at most 40 characters: lower case letters, digits and '-'";
const TOOL_NAME: &str =
    "an AgentTool's name is a DNS label of at most 63 characters: lower case letters, digits and '-'";
const INSTRUCTIONS: &str = "exactly one of instructions and instructionsFrom must be set";
const KINDS: &str = "exactly one kind of tool must be set: activity, steps, http, mcp, human, workflow or hosted";
const STEP: &str = "a step has exactly one of activity and http";
const RESERVED: &str = "is reserved: TEMPORAL_*, REDIS_*, STEADFAST_*, KUBERNETES_*, LD_*, SSL_*, PATH and *_PROXY belong to the worker itself";

#[test]
fn complete_objects_are_accepted() {
    assert_eq!(agent_failures(&[]), []);
    assert_eq!(tool_failures(&[]), []);
}

#[test]
fn an_agent_name_fits_every_name_derived_from_it() {
    assert_eq!(agent_failures(&[("/metadata/name", json!("a".repeat(40)))]), []);
    for name in [&"a".repeat(41), "dotted.name", "-start", "end-"] {
        assert_eq!(
            agent_failures(&[("/metadata/name", json!(name))]),
            failure("", AGENT_NAME),
            "{name}"
        );
    }
}

#[test]
fn a_model_gets_no_header_of_the_worker_and_not_its_identity() {
    let auth = |auth: Value| agent_failures(&[("/spec/model/auth", auth)]);
    for allowed in [
        json!({ "header": "api-key" }),
        json!({ "header": "Authorization", "scheme": "Key" }),
        json!({ "tokenFile": "/var/run/secrets/azure/tokens/azure-identity-token" }),
    ] {
        assert_eq!(auth(allowed.clone()), [], "{allowed}");
    }
    for header in ["Host", "content-length", "Transfer-Encoding"] {
        assert_eq!(
            auth(json!({ "header": header })),
            failure("spec.model.auth.header", "is a header that the worker itself sets")
        );
    }
    assert_eq!(
        auth(json!({ "tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token" })),
        failure(
            "spec.model.auth.tokenFile",
            "is the worker's own identity in Kubernetes, which no model may get"
        )
    );
}

#[test]
fn an_agent_has_a_pool_or_pods_of_its_own() {
    let on_pool = |worker: Value| {
        let mut on_pool = agent();
        on_pool["spec"]["workerPool"] = json!({ "name": "shared" });
        on_pool["spec"]["worker"] = worker;
        serde_json::from_value::<Agent>(on_pool).unwrap()
    };
    let message = "worker and workerPool exclude each other: the pods of a pool are described in the WorkerPool";
    // What the API server fills in.
    assert!(
        on_pool(json!({ "replicas": 1, "drainTimeout": "2m" }))
            .validate_cel()
            .is_ok()
    );
    for worker in [
        json!({ "replicas": 2 }),
        json!({ "image": "mine:1" }),
        json!({ "resources": {} }),
        json!({ "podTemplate": { "spec": {} } }),
        json!({ "drainTimeout": "5m" }),
        json!({ "autoscaling": { "maxReplicas": 2 } }),
    ] {
        let refused = failures(on_pool(worker.clone()).validate_cel());
        assert_eq!(refused, [("spec".to_owned(), message.to_owned())], "{worker}");
    }
}

#[test]
fn the_number_of_pods_is_fixed_or_scaled_within_bounds() {
    let worker = |worker: Value| agent_failures(&[("/spec/worker", worker)]);
    for allowed in [
        json!({ "autoscaling": { "minReplicas": 0, "maxReplicas": 1, "cooldownPeriod": "1m" } }),
        json!({ "autoscaling": { "minReplicas": 3, "maxReplicas": 3, "cooldownPeriod": "24h" } }),
        // What an earlier definition has filled in.
        json!({ "replicas": 1, "autoscaling": { "maxReplicas": 2 } }),
    ] {
        assert_eq!(worker(allowed.clone()), [], "{allowed}");
    }
    assert_eq!(
        worker(json!({ "replicas": 2, "autoscaling": { "maxReplicas": 2 } })),
        failure(
            "spec.worker",
            "replicas and autoscaling exclude each other: with autoscaling the operator sets the number of pods"
        )
    );
    assert_eq!(
        worker(json!({ "autoscaling": { "minReplicas": 3, "maxReplicas": 2 } })),
        failure("spec.worker.autoscaling", "minReplicas is at most maxReplicas")
    );
    for period in ["59s", "24h1s"] {
        assert_eq!(
            worker(json!({ "autoscaling": { "maxReplicas": 2, "cooldownPeriod": period } })),
            failure(
                "spec.worker.autoscaling",
                "cooldownPeriod is at least 1m and at most 24h"
            ),
            "{period}"
        );
    }
}

#[test]
fn an_agent_may_be_put_on_a_pool_and_taken_off_it() {
    let on = |pool: Option<&str>| {
        let mut agent = agent();
        if let Some(pool) = pool {
            agent["spec"]["workerPool"] = json!({ "name": pool });
        }
        serde_json::from_value::<Agent>(agent).unwrap()
    };
    for (before, after) in [(None, Some("a")), (Some("a"), Some("b")), (Some("a"), None)] {
        let result = on(after).validate_cel_update(&on(before));
        assert!(result.is_ok(), "{before:?} to {after:?}: {result:?}");
    }
}

#[test]
fn the_name_of_a_pool_fits_every_name_derived_from_it() {
    let named = |name: &str| {
        let pool = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "WorkerPool",
            "metadata": { "name": name, "namespace": "default" }, "spec": {},
        });
        serde_json::from_value::<WorkerPool>(pool).unwrap().validate_cel()
    };
    assert!(named(&"a".repeat(40)).is_ok());
    for name in [&"a".repeat(41), "a.b"] {
        assert!(named(name).is_err(), "{name}");
    }
}

#[test]
fn a_reference_may_name_a_namespace_and_another_kind_of_guardrail_may_not() {
    let references = json!([{ "tool": "refund", "namespace": "shop" }, { "agent": "desk", "namespace": "shop" }]);
    assert_eq!(agent_failures(&[("/spec/tools", references)]), []);
    let handoffs = json!([{ "agent": "desk", "namespace": "shop" }]);
    assert_eq!(agent_failures(&[("/spec/handoffs", handoffs)]), []);
    let rails = |rail: Value| agent_failures(&[("/spec/guardrails", json!({ "input": [rail] }))]);
    assert_eq!(rails(json!({ "name": "g", "agent": "judge", "namespace": "shop" })), []);
    assert_eq!(
        rails(json!({ "name": "g", "cel": "true", "namespace": "shop" })),
        failure("spec.guardrails.input[0]", "namespace is for an agent")
    );
    // The model sees one name.
    let twice = json!([{ "tool": "refund" }, { "tool": "refund", "namespace": "shop" }]);
    assert_eq!(
        agent_failures(&[("/spec/tools", twice)]),
        failure("spec.tools", "a tool is listed at most once")
    );
}

#[test]
fn a_tool_name_becomes_a_function_name() {
    assert_eq!(
        tool_failures(&[("/metadata/name", json!("get.weather"))]),
        failure("", TOOL_NAME)
    );
}

#[test]
fn instructions_come_from_exactly_one_place() {
    let source = json!({ "configMapKeyRef": { "name": "prompts", "key": "weather" } });
    assert_eq!(
        agent_failures(&[("/spec/instructionsFrom", source.clone())]),
        failure("spec", INSTRUCTIONS)
    );
    assert_eq!(
        agent_failures(&[("/spec/instructions", Value::Null)]),
        failure("spec", INSTRUCTIONS)
    );
    assert_eq!(
        agent_failures(&[("/spec/instructions", Value::Null), ("/spec/instructionsFrom", source)]),
        []
    );
}

#[test]
fn a_tool_is_listed_at_most_once() {
    assert_eq!(
        agent_failures(&[(
            "/spec/tools",
            json!([{ "tool": "a" }, { "agent": "b" }, { "tool": "b" }, { "tool": "a" }])
        )]),
        failure("spec.tools", "a tool is listed at most once")
    );
    assert_eq!(
        agent_failures(&[("/spec/tools", json!([{ "agent": "a", "name": "x" }, { "agent": "a" }]))]),
        []
    );
}

#[test]
fn an_entry_of_tools_is_a_tool_or_an_agent() {
    let one = |reference: Value| agent_failures(&[("/spec/tools", json!([reference]))]);
    let kind = "exactly one of tool and agent must be set";
    assert_eq!(one(json!({})), failure("spec.tools[0]", kind));
    assert_eq!(
        one(json!({ "tool": "a", "agent": "b" })),
        failure("spec.tools[0]", kind)
    );
    assert_eq!(
        one(json!({ "tool": "a", "description": "d" })),
        failure(
            "spec.tools[0]",
            "name and description are for an agent; an AgentTool has its own"
        )
    );
    assert_eq!(
        one(json!({ "agent": "b", "name": "n", "description": "d", "approval": { "required": true } })),
        []
    );
}

#[test]
fn handoffs_and_schedules_are_listed_once() {
    assert_eq!(
        agent_failures(&[(
            "/spec/handoffs",
            json!([{ "agent": "a" }, { "agent": "b" }, { "agent": "a" }])
        )]),
        failure("spec.handoffs", "an agent is listed at most once")
    );
    let schedule = |name: &str| json!({ "name": name, "cron": "@daily", "message": "Go." });
    assert_eq!(
        agent_failures(&[("/spec/schedules", json!([schedule("a"), schedule("a")]))]),
        failure("spec.schedules", "each schedule has a name of its own")
    );
    assert_eq!(
        agent_failures(&[("/spec/schedules", json!([schedule("a"), schedule("b")]))]),
        []
    );
}

#[test]
fn tools_that_end_a_turn_are_named_exactly_when_the_behavior_asks_for_them() {
    let message = "tools must be set for the behavior StopAtTools, and for no other";
    for (tool_use, accepted) in [
        (json!({}), true),
        (json!({ "behavior": "StopOnFirstTool" }), true),
        (json!({ "behavior": "StopAtTools", "tools": ["get_weather"] }), true),
        (json!({ "behavior": "StopAtTools" }), false),
        (json!({ "behavior": "RunAgain", "tools": ["get_weather"] }), false),
    ] {
        let expected = if accepted {
            vec![]
        } else {
            failure("spec.toolUse", message)
        };
        assert_eq!(
            agent_failures(&[("/spec/toolUse", tool_use.clone())]),
            expected,
            "{tool_use}"
        );
    }
}

#[test]
fn a_guardrail_is_exactly_one_kind() {
    let message = "exactly one of agent, activity and cel must be set";
    let stages = |check: Value| {
        [
            agent_failures(&[("/spec/guardrails", json!({ "input": [check] }))]),
            agent_failures(&[("/spec/guardrails", json!({ "output": [check] }))]),
        ]
    };
    for check in [
        json!({ "name": "g" }),
        json!({ "name": "g", "agent": "judge", "cel": "true" }),
    ] {
        assert_eq!(
            stages(check),
            [
                failure("spec.guardrails.input[0]", message),
                failure("spec.guardrails.output[0]", message)
            ]
        );
    }
    for check in [
        json!({ "name": "g", "agent": "judge" }),
        json!({ "name": "g", "activity": { "name": "check" } }),
        json!({ "name": "g", "cel": "text.size() > 10" }),
    ] {
        assert_eq!(stages(check), [vec![], vec![]]);
    }
}

#[test]
fn a_hook_is_an_activity_or_a_webhook() {
    let hook = |hook: Value| agent_failures(&[("/spec/hooks", json!([hook]))]);
    let message = "exactly one of activity and webhook must be set";
    let webhook = json!({ "url": "https://example.com" });
    assert_eq!(
        hook(json!({ "events": ["ToolStarted"] })),
        failure("spec.hooks[0]", message)
    );
    assert_eq!(
        hook(json!({ "events": ["ToolStarted"], "activity": { "name": "a" }, "webhook": webhook })),
        failure("spec.hooks[0]", message)
    );
    assert_eq!(hook(json!({ "events": ["ToolStarted"], "webhook": webhook })), []);
}

#[test]
fn a_credential_never_sets_a_variable_of_the_worker_itself() {
    let named = |name: &str| json!([{ "envVarName": name, "secretName": "s", "secretKey": "k" }]);
    for name in [
        "TEMPORAL_API_KEY",
        "REDIS_URL",
        "STEADFAST_AGENT",
        "LD_PRELOAD",
        "PATH",
        "https_proxy",
        "SSL_CERT_FILE",
    ] {
        assert_eq!(
            agent_failures(&[("/spec/credentials", named(name))]),
            failure("spec.credentials[0].envVarName", RESERVED),
            "{name}"
        );
    }
    assert_eq!(agent_failures(&[("/spec/credentials", named("MY_PATH"))]), []);
}

#[test]
fn a_tool_is_exactly_one_kind() {
    let kinds = [
        ("activity", json!({ "name": "a" })),
        ("steps", json!([{ "name": "a", "activity": { "name": "a" } }])),
        ("http", json!({ "url": "https://example.com" })),
        ("mcp", json!({ "url": "https://example.com/mcp" })),
        ("human", json!({})),
        ("workflow", json!({ "type": "Order", "taskQueue": "orders" })),
        ("hosted", json!({ "type": "web_search" })),
    ];
    assert_eq!(
        tool_failures(&[("/spec/activity", Value::Null)]),
        failure("spec", KINDS)
    );
    for (name, kind) in &kinds {
        let pointer = format!("/spec/{name}");
        let alone = [("/spec/activity", Value::Null), (pointer.as_str(), kind.clone())];
        assert_eq!(tool_failures(&alone), [], "{name}");
        if *name != "activity" {
            assert_eq!(
                tool_failures(&[(pointer.as_str(), kind.clone())]),
                failure("spec", KINDS),
                "{name}"
            );
        }
    }
}

#[test]
fn a_step_has_one_action_and_a_name_of_its_own() {
    let steps = |steps: Value| tool_failures(&[("/spec/activity", Value::Null), ("/spec/steps", steps)]);
    let act = json!({ "name": "act" });
    let http = json!({ "url": "https://example.com" });
    assert_eq!(
        steps(json!([{ "name": "a", "activity": act }, { "name": "b", "http": http }])),
        []
    );
    assert_eq!(
        steps(json!([{ "name": "a", "activity": act }, { "name": "a", "http": http }])),
        failure("spec.steps", "each step has a name of its own")
    );
    assert_eq!(steps(json!([{ "name": "a" }])), failure("spec.steps[0]", STEP));
    assert_eq!(
        steps(json!([{ "name": "a", "activity": act, "http": http }])),
        failure("spec.steps[0]", STEP)
    );
    assert_eq!(
        steps(json!([{ "name": "a", "activity": act, "compensate": {} }])),
        failure(
            "spec.steps[0].compensate",
            "a compensation has exactly one of activity and http"
        )
    );
}

#[test]
fn a_local_http_tool_is_short_and_may_be_repeated() {
    let local = |edits: &[(&str, Value)]| {
        let http = json!({ "url": "https://example.com", "execution": "Local" });
        let base = [
            ("/spec/activity", Value::Null),
            ("/spec/http", http),
            ("/spec/timeout", json!("5s")),
        ];
        tool_failures(&[&base[..], edits].concat())
    };
    assert_eq!(local(&[]), []);
    assert_eq!(local(&[("/spec/idempotency", json!("Natural"))]), []);
    assert_eq!(
        local(&[("/spec/idempotency", json!("None"))]),
        failure(
            "spec",
            "a local http tool needs the idempotency Key or Natural: an attempt is made again when its worker is lost"
        )
    );
    for timeout in [json!("5001ms"), json!("1m"), Value::Null] {
        assert_eq!(
            local(&[("/spec/timeout", timeout.clone())]),
            failure(
                "spec",
                "a local http tool needs a timeout of at most 5s: the workflow task waits for the request"
            ),
            "{timeout}"
        );
    }
}

#[test]
fn the_first_pause_of_a_retry_is_not_the_longest() {
    let retry = |first: &str, longest: &str| json!({ "initialInterval": first, "maximumInterval": longest });
    let message = "initialInterval is at most maximumInterval";
    assert_eq!(tool_failures(&[("/spec/retry", retry("1m", "60s"))]), []);
    assert_eq!(
        tool_failures(&[("/spec/retry", retry("61s", "1m"))]),
        failure("spec.retry", message)
    );
    assert_eq!(
        agent_failures(&[("/spec/model/retry", retry("2m", "1m"))]),
        failure("spec.model.retry", message)
    );
}

#[test]
fn a_duration_of_zero_is_not_read() {
    for pointer in ["/spec/timeout", "/spec/retry"] {
        let value = match pointer {
            "/spec/retry" => json!({ "initialInterval": "0s" }),
            _ => json!("0s"),
        };
        let error = serde_json::from_value::<AgentTool>(edited(tool(), &[(pointer, value)])).unwrap_err();
        assert!(error.to_string().contains("longer than 0s"), "{error}");
    }
}

#[test]
fn every_duration_of_the_definitions_is_longer_than_zero() {
    fn durations(schema: &Value) -> usize {
        let own = match &schema["pattern"] {
            Value::String(pattern) if pattern.contains("(ms|s|m|h)") => {
                let rule = &schema["x-kubernetes-validations"][0]["rule"];
                assert!(
                    rule.as_str().is_some_and(|rule| rule.contains("> duration('0s')")),
                    "{schema}"
                );
                1
            }
            _ => 0,
        };
        let children: usize = match schema {
            Value::Object(members) => members.values().map(durations).sum(),
            Value::Array(items) => items.iter().map(durations).sum(),
            _ => 0,
        };
        own + children
    }
    assert!(durations(&serde_json::to_value(steadfast_crds::definitions()).unwrap()) > 20);
}

#[test]
fn a_step_is_never_local() {
    let steps = |steps: Value| tool_failures(&[("/spec/activity", Value::Null), ("/spec/steps", steps)]);
    let local = json!({ "url": "https://example.com", "execution": "Local" });
    assert_eq!(
        steps(json!([{ "name": "a", "http": local }])),
        failure("spec.steps[0]", "a step is never local")
    );
    assert_eq!(
        steps(json!([{ "name": "a", "activity": { "name": "a" }, "compensate": { "http": local } }])),
        failure("spec.steps[0].compensate", "a compensation is never local")
    );
}

#[test]
fn a_revision_never_changes() {
    let before: AgentRevision = serde_json::from_value(revision()).unwrap();
    let relabelled: AgentRevision =
        serde_json::from_value(edited(revision(), &[("/metadata/labels", json!({ "team": "a" }))])).unwrap();
    let rewritten: AgentRevision =
        serde_json::from_value(edited(revision(), &[("/spec/instructions", json!("Else."))])).unwrap();
    assert_eq!(failures(relabelled.validate_cel_update(&before)), []);
    assert_eq!(
        failures(rewritten.validate_cel_update(&before)),
        failure("", "an AgentRevision never changes")
    );
}

#[test]
fn absent_fields_mean_what_the_schema_says() {
    let agent: Agent = serde_json::from_value(agent()).unwrap();
    let tool: AgentTool = serde_json::from_value(tool()).unwrap();
    let approval: ApprovalPolicy = serde_json::from_value(json!({ "required": true })).unwrap();
    let schedule = json!({ "name": "daily", "cron": "@daily", "message": "Go." });
    let schedule: Schedule = serde_json::from_value(schedule).unwrap();
    assert_eq!(
        json!({
            "baseUrl": agent.spec.model.base_url,
            "apiKeyEnvVar": agent.spec.model.api_key_env_var,
            "timeouts": agent.spec.model.timeouts,
            "limits": agent.spec.limits,
            "context": agent.spec.context,
            "toolUse": agent.spec.tool_use,
            "stream": agent.spec.stream,
            "approval": approval,
            "schedule": schedule,
            "worker": agent.spec.worker,
            "toolTimeout": tool.spec.timeout,
            "retry": tool.spec.retry,
            "maxResultBytes": tool.spec.max_result_bytes,
        }),
        json!({
            "baseUrl": "https://api.openai.com/v1",
            "apiKeyEnvVar": "OPENAI_API_KEY",
            "timeouts": { "idle": "1m", "call": "10m", "heartbeat": "5s" },
            "limits": { "maxModelCallsPerTurn": 50, "maxQueuedMessages": 100 },
            "context": { "windowTokens": 128_000, "compaction": { "enabled": true, "thresholdPercent": 80 } },
            "toolUse": { "behavior": "RunAgain" },
            "stream": {
                "toolRequests": true, "toolResponses": true, "handoffs": true, "reasoning": true,
                "agents": false, "modelCalls": false,
            },
            "approval": { "required": true, "timeout": "24h", "onTimeout": "Reject" },
            "schedule": {
                "name": "daily", "cron": "@daily", "timeZone": "UTC", "message": "Go.",
                "task": "New", "overlap": "Skip", "catchUp": "10m", "suspend": false,
            },
            "worker": { "drainTimeout": "2m" },
            "toolTimeout": "1m",
            "retry": {
                "maximumAttempts": 3, "initialInterval": "1s",
                "maximumInterval": "1m", "backoffCoefficient": 2.0,
            },
            "maxResultBytes": 65_536,
        })
    );
}
