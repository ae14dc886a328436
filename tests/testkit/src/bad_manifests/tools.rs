//! AgentTools that are wrong.

use serde_json::{Value, json};
use steadfast_crds::conditions::Reason;

use super::{
    BadManifest, TOO_DEEP,
    Verdict::{self, Refused},
    nested, not_accepted as reason, tool,
};

fn table<const N: usize>(rows: [(&'static str, Value, Verdict); N]) -> Vec<BadManifest> {
    rows.into_iter()
        .map(|(name, spec, verdict)| tool(name, spec, verdict))
        .collect()
}

fn activity() -> Value {
    json!({"name": "act", "taskQueue": "tools"})
}

/// By the schema, or by a rule in CEL.
pub(super) fn refused() -> Vec<BadManifest> {
    table([
        ("no-kind", json!({}), Refused("exactly one kind of tool must be set")),
        (
            "two-kinds",
            json!({"activity": activity(), "http": {"url": "https://example.com"}}),
            Refused("exactly one kind of tool must be set"),
        ),
        (
            "no-duration",
            json!({"activity": activity(), "timeout": "soon"}),
            Refused("spec.timeout"),
        ),
        (
            "no-time",
            json!({"activity": activity(), "timeout": "0s"}),
            Refused("must be longer than 0s and at most 87600h"),
        ),
        (
            "slow-local-request",
            json!({"http": {"url": "https://example.com", "execution": "Local"}, "timeout": "1m", "idempotency": "Key"}),
            Refused("a local http tool needs a timeout of at most 5s"),
        ),
        (
            "unknown-tool-field",
            json!({"activity": activity(), "timeouts": "5s"}),
            Refused("unknown field \"spec.timeouts\""),
        ),
        (
            "step-twice",
            json!({"steps": [{"name": "a", "activity": activity()}, {"name": "a", "activity": activity()}]}),
            Refused("each step has a name of its own"),
        ),
    ])
}

/// By the operator.
pub(super) fn not_accepted() -> Vec<BadManifest> {
    let parameters = |schema: Value| json!({"activity": activity(), "parameters": schema});
    table([
        (
            "broken-schema",
            parameters(json!({"properties": {"city": {"type": "text"}}})),
            reason(Reason::InvalidSchema),
        ),
        (
            "no-object",
            parameters(json!({"type": "string"})),
            reason(Reason::InvalidSchema),
        ),
        (
            "broken-url",
            json!({"http": {"url": "https://example.com/{{ city"}}),
            reason(Reason::InvalidTemplate),
        ),
        (
            "hosted-with-approval",
            json!({"hosted": {"type": "web_search"}, "approval": {"required": true}}),
            reason(Reason::ApprovalImpossible),
        ),
        (
            "hosted-by-nobody",
            json!({"hosted": {"type": "computer"}}),
            reason(Reason::UnsupportedHostedTool),
        ),
        (
            "queue-of-temporal",
            json!({"activity": {"name": "act", "taskQueue": "/of-temporal"}}),
            reason(Reason::ForbiddenTarget),
        ),
    ])
}

/// What the operator cannot decode.
pub(super) fn too_deep() -> Vec<BadManifest> {
    let parameters = json!({"properties": nested(TOO_DEEP)});
    table([(
        "too-deep-tool",
        json!({"activity": activity(), "parameters": parameters}),
        reason(Reason::Malformed),
    )])
}
