//! Agents that are stored, and that the operator refuses with a condition.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tables of manifests"
)]

use serde_json::{Value, json};
use steadfast_crds::conditions::Reason;

use super::{
    BadManifest, PRIVATE_TEXT, TOO_DEEP, agent, nested, no_credential, not_accepted, table, unresolved as not_resolved,
};

/// Templates, expressions, schedules.
pub(super) fn invalid_text() -> Vec<BadManifest> {
    let guardrail = |cel: &str| json!({"guardrails": {"input": [{"name": "g", "cel": cel}]}});
    let schedule = |cron: &str, zone: &str| json!({"schedules": [{"name": "s", "cron": cron, "timeZone": zone, "message": "Go."}]});
    let template = |text: &str, start| {
        (
            json!({"instructions": text}),
            not_accepted(Reason::InvalidTemplate, start),
        )
    };
    let expression = |start| not_accepted(Reason::InvalidExpression, start);
    let time = |start| not_accepted(Reason::InvalidSchedule, start);
    let (open_variable, open_verdict) = template("{{ user", "instructions is not a valid template: ");
    let (open_block, block_verdict) = template("{% if user %}Hi", "instructions is not a valid template: ");
    let levels = format!("{}{}", "{% if user %}".repeat(40), "{% endif %}".repeat(40));
    let (deep, deep_verdict) = template(&levels, "instructions is not a valid template: ");
    table(
        agent,
        [
            ("broken-template", open_variable, open_verdict),
            ("open-block", open_block, block_verdict),
            ("deep-template", deep, deep_verdict),
            (
                "broken-template-of-config-map",
                json!({"instructions": null, "instructionsFrom": {"configMapKeyRef": {"name": "broken", "key": "key"}}}),
                not_accepted(Reason::InvalidTemplate, "instructions is not a valid template: "),
            ),
            (
                "broken-expression",
                guardrail("text.size() >"),
                expression("guardrails.input[g].cel is not a CEL expression: "),
            ),
            (
                "deep-expression",
                guardrail(&format!("{}true{}", "(".repeat(17), ")".repeat(17))),
                expression("guardrails.input[g].cel cannot be used: its brackets are nested deeper than 16 levels"),
            ),
            (
                "number-of-expression",
                guardrail("text.size()"),
                expression(
                    "guardrails.input[g].cel cannot trip as it is meant: it returns an int; it must return a bool",
                ),
            ),
            (
                "unknown-variable-of-expression",
                guardrail("user == 'root'"),
                expression("guardrails.input[g].cel cannot trip as it is meant: "),
            ),
            (
                "broken-schedule",
                schedule("tomorrow", "UTC"),
                time("schedules[s].cron has neither 5 to 7 fields nor the form @daily"),
            ),
            (
                "late-schedule",
                schedule("0 25 * * *", "UTC"),
                time("schedules[s].cron "),
            ),
            (
                "schedule-with-seconds",
                schedule("0 0 7 * * *", "UTC"),
                time("schedules[s].cron has six fields; write five"),
            ),
            (
                "zone-in-the-expression",
                schedule("TZ=Europe/Berlin 0 7 * * *", "UTC"),
                time("schedules[s].cron has a time zone; write it in timeZone"),
            ),
            (
                "schedule-of-no-interval",
                schedule("@every now", "UTC"),
                time("schedules[s].cron has no interval such as @every 90m"),
            ),
            (
                "empty-time-zone",
                schedule("@daily", " "),
                time("schedules[s].timeZone is empty; the default is UTC"),
            ),
            (
                "schedule-without-words",
                json!({"schedules": [{"name": "s", "cron": "@daily", "message": "\n"}]}),
                time("schedules[s].message is empty"),
            ),
        ],
    )
}

/// Schemas of the answer.
pub(super) fn invalid_schemas() -> Vec<BadManifest> {
    let loose = |schema: Value| json!({"output": {"schema": schema, "strict": false}});
    let schema = |start| not_accepted(Reason::InvalidSchema, start);
    let deep = (0..49).fold(json!({}), |inner, _| json!({"not": inner}));
    table(
        agent,
        [
            (
                "loose-output",
                json!({"output": {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}),
                schema("output.schema is not strict: set additionalProperties: false at the top"),
            ),
            (
                "broken-output",
                loose(json!({"type": "text"})),
                schema("output.schema is not a JSON Schema: at \"/type\""),
            ),
            (
                "deep-output",
                loose(deep),
                schema("output.schema cannot be used: its parts are nested deeper than 48 levels"),
            ),
            (
                "large-output",
                loose(json!({"description": PRIVATE_TEXT.repeat(1500)})),
                schema("output.schema cannot be used: "),
            ),
            (
                "output-from-the-web",
                loose(json!({"$ref": "https://example.com/schema.json"})),
                schema("output.schema "),
            ),
        ],
    )
}

/// Sizes, pods, names, and what an Agent may start.
pub(super) fn invalid_behavior() -> Vec<BadManifest> {
    let pods = |template: Value| json!({"worker": {"replicas": 0, "podTemplate": template}});
    let hook = |activity: Value| json!({"hooks": [{"events": ["ToolStarted"], "activity": activity}]});
    let pod_template = |start| not_accepted(Reason::InvalidPodTemplate, start);
    let no_template = "worker.podTemplate is not a pod template: ";
    let reserved = |start| not_accepted(Reason::PodTemplateFieldReserved, start);
    let worker = |fields: Value| {
        let mut container = json!({"name": "worker"});
        super::extend(&mut container, fields);
        pods(json!({"spec": {"containers": [container]}}))
    };
    let duplicate = |start| not_accepted(Reason::DuplicateToolName, start);
    let forbidden = |start| not_accepted(Reason::ForbiddenTarget, start);
    table(
        agent,
        [
            (
                "too-large",
                json!({"instructions": PRIVATE_TEXT.repeat(23_300)}),
                not_accepted(Reason::RevisionTooLarge, "instructions and tools together are "),
            ),
            (
                "too-large-config-map",
                json!({"instructions": null, "instructionsFrom": {"configMapKeyRef": {"name": "large", "key": "key"}}}),
                not_accepted(Reason::RevisionTooLarge, "instructions and tools together are "),
            ),
            (
                "broken-pod-template",
                pods(json!({"spec": {"containers": "none"}})),
                pod_template(no_template),
            ),
            (
                "broken-labels",
                pods(json!({"metadata": {"labels": ["a"]}})),
                pod_template(no_template),
            ),
            (
                "broken-volume",
                pods(json!({"spec": {"volumes": [{"hostPath": "/etc"}]}})),
                pod_template(no_template),
            ),
            (
                "nameless-container",
                pods(json!({"spec": {"containers": [{"image": "nameless:1"}]}})),
                pod_template("worker.podTemplate has a container without a name; the worker's is \"worker\""),
            ),
            (
                "label-of-another-agent",
                pods(json!({"metadata": {"labels": {"steadfast.dev/agent": "other"}}})),
                reserved("worker.podTemplate sets the label steadfast.dev/agent, which the operator sets: remove it"),
            ),
            (
                "forged-annotation",
                pods(json!({"metadata": {"annotations": {"steadfast.dev/credentials-hash": "x"}}})),
                reserved("worker.podTemplate sets the annotation steadfast.dev/credentials-hash"),
            ),
            (
                "image-in-the-pod-template",
                worker(json!({"image": "other:1"})),
                reserved(
                    "worker.podTemplate sets image of the container \"worker\", which the operator sets: set worker.image",
                ),
            ),
            (
                "other-command",
                worker(json!({"command": ["sh", "-c", "env"]})),
                reserved("worker.podTemplate sets command of the container \"worker\""),
            ),
            (
                "other-arguments",
                worker(json!({"args": ["--agent=other"]})),
                reserved("worker.podTemplate sets args of the container \"worker\""),
            ),
            (
                "other-task-queue",
                worker(json!({"env": [{"name": "STEADFAST_TASK_QUEUE", "value": "steadfast/other/agent/a"}]})),
                reserved("worker.podTemplate sets the variable STEADFAST_TASK_QUEUE of the container \"worker\""),
            ),
            (
                "always-ready",
                worker(json!({"readinessProbe": {"exec": {"command": ["true"]}}})),
                reserved("worker.podTemplate sets readinessProbe of the container \"worker\""),
            ),
            (
                "always-alive",
                worker(json!({"livenessProbe": {"exec": {"command": ["true"]}}})),
                reserved("worker.podTemplate sets livenessProbe of the container \"worker\""),
            ),
            (
                "admin-port-of-a-sidecar",
                pods(json!({"spec": {"containers": [
                    {"name": "proxy", "image": "proxy:1", "ports": [{"containerPort": 8081}]},
                ]}})),
                reserved("worker.podTemplate sets the port 8081"),
            ),
            (
                "other-encryption-keys",
                pods(json!({"spec": {"containers": [], "volumes": [{"name": "encryption-keys", "emptyDir": {}}]}})),
                reserved("worker.podTemplate sets the volume \"encryption-keys\""),
            ),
            (
                "ends-before-it-has-drained",
                pods(json!({"spec": {"containers": [], "terminationGracePeriodSeconds": 5}})),
                reserved(
                    "worker.podTemplate sets terminationGracePeriodSeconds to 5, below the 130 that worker.drainTimeout needs",
                ),
            ),
            (
                "rights-of-another-account",
                pods(json!({"spec": {"containers": [], "serviceAccountName": "admin"}})),
                not_accepted(
                    Reason::ServiceAccountNotAllowed,
                    "worker.podTemplate names the ServiceAccount \"admin\", whose permissions its pods would have: remove it",
                ),
            ),
            (
                "rights-by-the-older-field",
                pods(json!({"spec": {"containers": [], "serviceAccount": "admin"}})),
                not_accepted(
                    Reason::ServiceAccountNotAllowed,
                    "worker.podTemplate names the ServiceAccount \"admin\"",
                ),
            ),
            (
                "same-name-for-the-model",
                json!({"tools": [
                    {"tool": "get-time"},
                    {"agent": "broken-template", "name": "get_time"},
                ]}),
                duplicate("tool \"get-time\" and agent \"broken-template\" would both have the name \"get_time\""),
            ),
            (
                "same-name-after-the-prefix",
                json!({"tools": [{"tool": "docs-search"}, {"tool": "docs"}]}),
                duplicate("tool \"docs-search\" and a tool of \"docs\" would both have the name \"docs_search\""),
            ),
            (
                "same-name-as-a-handoff",
                json!({
                    "tools": [{"tool": "transfer-to-broken-template"}],
                    "handoffs": [{"agent": "broken-template"}],
                }),
                duplicate("tool \"transfer-to-broken-template\" and handoff to \"broken-template\" would both"),
            ),
            (
                "agent-twice",
                json!({"tools": [{"agent": "broken-template"}, {"agent": "broken-template"}]}),
                duplicate("agent \"broken-template\" and agent \"broken-template\" would both have the name"),
            ),
            (
                "reserved-queue",
                hook(json!({"name": "act", "taskQueue": "/of-temporal"})),
                forbidden("hooks[0]: the task queue \"/of-temporal\" begins with '/', which Temporal reserves"),
            ),
            (
                "activity-of-the-worker",
                hook(json!({"name": "load_revision"})),
                forbidden("hooks[0]: the activity \"load_revision\" is Steadfast's own"),
            ),
            (
                "check-by-the-worker",
                json!({"guardrails": {"input": [{"name": "g", "activity": {"name": "load_revision"}}]}}),
                forbidden("guardrails: "),
            ),
            (
                "approval-of-hosted-tool",
                json!({"tools": [{"tool": "web-search", "approval": {"required": true}}]}),
                not_accepted(
                    Reason::ApprovalImpossible,
                    "tools[web-search]: approval cannot be required of a hosted tool",
                ),
            ),
        ],
    )
}

/// References to nothing, or to something that is wrong itself.
pub(super) fn unresolved() -> Vec<BadManifest> {
    let config_map = |name: &str, key: &str| json!({"instructions": null, "instructionsFrom": {"configMapKeyRef": {"name": name, "key": key}}});
    table(
        agent,
        [
            (
                "missing-tool",
                json!({"tools": [{"tool": "no-such-tool"}]}),
                not_resolved(Reason::ToolNotFound, "AgentTool \"no-such-tool\" does not exist"),
            ),
            (
                "broken-tool-user",
                json!({"tools": [{"tool": "broken-schema"}]}),
                not_resolved(
                    Reason::ToolNotAccepted,
                    "AgentTool \"broken-schema\" is not accepted: parameters is not a JSON Schema: ",
                ),
            ),
            (
                "missing-agent",
                json!({"handoffs": [{"agent": "no-such-agent"}]}),
                not_resolved(
                    Reason::AgentNotFound,
                    "Agent \"no-such-agent\" of handoffs does not exist",
                ),
            ),
            (
                "missing-agent-as-tool",
                json!({"tools": [{"agent": "no-such-agent"}]}),
                not_resolved(Reason::AgentNotFound, "Agent \"no-such-agent\" of tools does not exist"),
            ),
            (
                "missing-judge",
                json!({"guardrails": {"output": [{"name": "g", "agent": "no-such-agent"}]}}),
                not_resolved(
                    Reason::AgentNotFound,
                    "Agent \"no-such-agent\" of guardrails does not exist",
                ),
            ),
            (
                "missing-config-map",
                config_map("none", "key"),
                not_resolved(
                    Reason::ConfigMapNotFound,
                    "ConfigMap \"none\" of the instructions does not exist",
                ),
            ),
            (
                "missing-config-map-key",
                config_map("present", "none"),
                not_resolved(
                    Reason::ConfigMapKeyNotFound,
                    "ConfigMap \"present\" of the instructions has no key \"none\"",
                ),
            ),
        ],
    )
}

/// Secrets that do not exist, and variables that no credential sets.
pub(super) fn without_credentials() -> Vec<BadManifest> {
    let secret =
        |name: &str, key: &str| json!({"credentials": [{"envVarName": "TOKEN", "secretName": name, "secretKey": key}]});
    let model = |key: &str, url: &str| json!({"model": {"name": "m", "apiKeyEnvVar": key, "baseUrl": url}});
    let webhook = json!({"url": "https://example.com", "headers": [{"name": "A", "value": "${env.TOKEN}"}]});
    let mut any_host = secret("present", "key");
    any_host["tools"] = json!([{"tool": "any-host"}]);
    let not_provided = |start| no_credential(Reason::EnvVarNotProvided, start);
    table(
        agent,
        [
            (
                "missing-secret",
                secret("none", "key"),
                no_credential(
                    Reason::SecretNotFound,
                    "Secret \"none\" does not exist; create it with: kubectl -n ",
                ),
            ),
            (
                "missing-secret-key",
                secret("present", "none"),
                no_credential(
                    Reason::SecretKeyNotFound,
                    "Secret \"present\" has no key \"none\", from which TOKEN is read",
                ),
            ),
            (
                "empty-secret-value",
                secret("unusable", "empty"),
                no_credential(
                    Reason::SecretValueUnusable,
                    "key \"empty\" of Secret \"unusable\", from which TOKEN is read, is empty: put the credential there",
                ),
            ),
            (
                "secret-value-of-a-line-break",
                secret("unusable", "line-break"),
                no_credential(
                    Reason::SecretValueUnusable,
                    "key \"line-break\" of Secret \"unusable\", from which TOKEN is read, is empty",
                ),
            ),
            (
                "secret-value-of-bytes",
                secret("unusable", "bytes"),
                no_credential(
                    Reason::SecretValueUnusable,
                    "key \"bytes\" of Secret \"unusable\", from which TOKEN is read, is not text in UTF-8",
                ),
            ),
            (
                "secret-value-with-nul",
                secret("unusable", "nul"),
                no_credential(
                    Reason::SecretValueUnusable,
                    "key \"nul\" of Secret \"unusable\", from which TOKEN is read, is not text in UTF-8",
                ),
            ),
            (
                "missing-variable",
                model("NOBODY_SETS_IT", "https://example.com"),
                not_provided(
                    "model.apiKeyEnvVar (\"\" for no key) uses NOBODY_SETS_IT, which no entry of credentials sets",
                ),
            ),
            (
                "missing-variable-of-url",
                model("", "${env.NOBODY_SETS_IT}"),
                not_provided("model.baseUrl uses NOBODY_SETS_IT, which no entry of credentials sets"),
            ),
            (
                "missing-variable-of-tool",
                json!({"tools": [{"tool": "sends-token"}]}),
                not_provided("tool \"sends_token\" uses NOT_PROVIDED, which no entry of credentials sets"),
            ),
            (
                "missing-variable-of-hook",
                json!({"hooks": [{"events": ["ToolStarted"], "webhook": webhook}]}),
                not_provided("hooks[0].webhook uses TOKEN, which no entry of credentials sets"),
            ),
            (
                "any-host-user",
                any_host,
                no_credential(
                    Reason::HostsRequired,
                    "tool \"any_host\" sends TOKEN to a host that an argument can change; list the hosts",
                ),
            ),
        ],
    )
}

/// On a WorkerPool that is missing, or that does not have what they need.
pub(super) fn on_pools() -> Vec<BadManifest> {
    let on = |pool: &str, spec: Value| {
        let mut whole = json!({"worker": null, "workerPool": {"name": pool}});
        super::extend(&mut whole, spec);
        whole["worker"] = Value::Null;
        whole
    };
    let own = json!({"credentials": [{"envVarName": "TOKEN", "secretName": "present", "secretKey": "key"}]});
    let key = json!({"model": {"name": "m", "apiKeyEnvVar": "TOKEN"}});
    table(
        agent,
        [
            (
                "missing-pool",
                on("no-such-pool", json!({})),
                not_resolved(
                    Reason::WorkerPoolNotFound,
                    "WorkerPool \"no-such-pool\" does not exist in the namespace of the Agent",
                ),
            ),
            (
                "own-credentials-on-a-pool",
                on("calm", own),
                not_accepted(
                    Reason::CredentialsBelongToPool,
                    "an Agent on a WorkerPool has no credentials of its own: move them",
                ),
            ),
            (
                "variable-that-the-pool-lacks",
                on("calm", key),
                no_credential(
                    Reason::EnvVarNotProvided,
                    "model.apiKeyEnvVar (\"\" for no key) uses TOKEN, which no entry of the credentials of WorkerPool \"calm\"",
                ),
            ),
        ],
    )
}

/// What the operator cannot decode, and who refers to it.
pub(super) fn too_deep() -> Vec<BadManifest> {
    let settings = json!({"extraBody": nested(TOO_DEEP)});
    table(
        agent,
        [
            (
                "too-deep",
                json!({"model": {"name": "m", "apiKeyEnvVar": "", "settings": settings}}),
                not_accepted(Reason::Malformed, "the Agent cannot be decoded: "),
            ),
            (
                "deep-tool-user",
                json!({"tools": [{"tool": "too-deep-tool"}]}),
                not_resolved(
                    Reason::ToolNotAccepted,
                    "AgentTool \"too-deep-tool\" cannot be decoded: ",
                ),
            ),
            (
                "deep-agent-user",
                json!({"handoffs": [{"agent": "too-deep"}]}),
                not_resolved(
                    Reason::AgentNotAccepted,
                    "Agent \"too-deep\" of handoffs cannot be decoded: ",
                ),
            ),
        ],
    )
}
