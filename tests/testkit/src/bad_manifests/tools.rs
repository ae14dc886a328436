//! AgentTools that are stored, and that the operator refuses with a condition.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tables of manifests"
)]

use serde_json::{Value, json};
use steadfast_crds::conditions::Reason;

use super::{BadManifest, PRIVATE_TEXT, Row, TOO_DEEP, nested, not_accepted, table, tool};

fn not_accepted_for<const N: usize>(reason: Reason, rows: [Row; N]) -> Vec<BadManifest> {
    table(
        tool,
        rows.map(|(name, spec, start)| (name, spec, not_accepted(reason, start))),
    )
}

pub(super) fn activity() -> Value {
    json!({"name": "act", "taskQueue": "tools"})
}

/// Schemas of arguments and of answers.
pub(super) fn invalid_schemas() -> Vec<BadManifest> {
    let parameters = |schema: Value| json!({"activity": activity(), "parameters": schema});
    let deep = (0..49).fold(json!({}), |inner, _| json!({"not": inner}));
    not_accepted_for(
        Reason::InvalidSchema,
        [
            (
                "broken-schema",
                parameters(json!({"properties": {"city": {"type": "text"}}})),
                "parameters is not a JSON Schema: at \"/properties/city/type\"",
            ),
            ("no-object", parameters(json!({"type": "string"})), "parameters "),
            (
                "deep-schema",
                parameters(json!({"properties": {"a": deep}})),
                "parameters cannot be used: its parts are nested deeper than 48 levels",
            ),
            (
                "large-schema",
                parameters(json!({"description": PRIVATE_TEXT.repeat(1500)})),
                "parameters cannot be used: ",
            ),
            (
                "schema-from-the-web",
                parameters(json!({"properties": {"a": {"$ref": "https://example.com/schema.json"}}})),
                "parameters ",
            ),
            (
                "schema-of-nothing",
                parameters(json!({"properties": {"a": {"$ref": "#/$defs/none"}}})),
                "parameters ",
            ),
            (
                "broken-form",
                json!({"human": {"form": {"type": "text"}}}),
                "human.form is not a JSON Schema: at \"/type\"",
            ),
        ],
    )
}

/// Templates.
pub(super) fn invalid_text() -> Vec<BadManifest> {
    let http = |field: &str, value: Value| {
        let mut http = json!({"url": "https://example.com"});
        http[field] = value;
        json!({"http": http})
    };
    let step = |arguments: Value| json!({"steps": [{"name": "a", "activity": activity(), "arguments": arguments}]});
    not_accepted_for(
        Reason::InvalidTemplate,
        [
            (
                "broken-url",
                http("url", json!("https://example.com/{{ city")),
                "http.url is not a valid template: ",
            ),
            (
                "broken-body",
                http("body", json!("{% for")),
                "http.body is not a valid template: ",
            ),
            (
                "broken-response",
                http("response", json!("{{ body.")),
                "http.response is not a valid template: ",
            ),
            (
                "broken-header",
                http("headers", json!([{"name": "A", "value": "{{ a"}])),
                "http.headers",
            ),
            (
                "broken-argument",
                step(json!({"deep": [{"amount": "{{ amount"}]})),
                "steps[a].arguments.deep[0].amount is not a valid template: ",
            ),
        ],
    )
}

/// What nobody runs, or what is not for tools.
pub(super) fn impossible() -> Vec<BadManifest> {
    let approval = not_accepted_for(
        Reason::ApprovalImpossible,
        [(
            "hosted-with-approval",
            json!({"hosted": {"type": "web_search"}, "approval": {"required": true}}),
            "approval cannot be required of a hosted tool",
        )],
    );
    let hosted = not_accepted_for(
        Reason::UnsupportedHostedTool,
        [
            (
                "hosted-by-nobody",
                json!({"hosted": {"type": "computer"}}),
                "hosted.type: the provider does not run \"computer\" itself, and nothing here does: write an activity",
            ),
            (
                "shell-on-the-worker",
                json!({"hosted": {"type": "shell", "settings": {"environment": {"type": "local"}}}}),
                "hosted.type: the provider does not run \"shell\" itself",
            ),
        ],
    );
    let forbidden = not_accepted_for(
        Reason::ForbiddenTarget,
        [
            (
                "queue-of-temporal",
                json!({"activity": {"name": "act", "taskQueue": "/of-temporal"}}),
                "the task queue \"/of-temporal\" begins with '/', which Temporal reserves",
            ),
            (
                "activity-of-steadfast",
                json!({"activity": {"name": "load_revision"}}),
                "the activity \"load_revision\" is Steadfast's own; name an activity of your own worker",
            ),
            (
                "workflow-of-steadfast",
                json!({"workflow": {"type": "AgentTask", "taskQueue": "tools"}}),
                "the workflow \"AgentTask\" is Steadfast's own; to ask another agent, name it with `agent`",
            ),
        ],
    );
    [approval, hosted, forbidden].into_iter().flatten().collect()
}

/// What the operator cannot decode.
pub(super) fn too_deep() -> Vec<BadManifest> {
    let parameters = json!({"properties": nested(TOO_DEEP)});
    not_accepted_for(
        Reason::Malformed,
        [(
            "too-deep-tool",
            json!({"activity": activity(), "parameters": parameters}),
            "the AgentTool cannot be decoded: ",
        )],
    )
}
