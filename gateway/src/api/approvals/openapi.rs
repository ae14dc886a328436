//! The routes of approvals, as OpenAPI tells them. Pure.

use serde_json::{Value, json};

/// The paths.
pub(in crate::api) fn openapi() -> Value {
    let id = json!({ "name": "approval_id", "in": "path", "required": true, "schema": { "type": "string" } });
    let decide = |operation: &str, summary: &str, properties: Value| {
        let ruling = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Ruling" } } });
        let body = json!({ "type": "object", "properties": properties });
        json!({
            "parameters": [id],
            "post": {
                "operationId": operation,
                "summary": summary,
                "requestBody": { "required": false, "content": { "application/json": { "schema": body } } },
                "responses": {
                    "200": { "description": "The task took the decision.", "content": ruling },
                    "202": { "description": "The decision is on its way; the task has not taken it up yet.", "content": ruling },
                    "403": { "description": "Who created a task may not decide its approvals here." },
                    "404": { "description": "There is no such approval, or the caller may not decide it." },
                    "409": { "description": "It is decided already; `data` says how." },
                    "422": { "description": "The answer does not fit the approval's form." },
                },
            },
        })
    };
    let query = |name: &str, kind: &str, description: &str| json!({ "name": name, "in": "query", "description": description, "schema": { "type": kind } });
    let reason = json!({ "type": "string", "description": "Why; the model is told.", "maxLength": 1000 });
    json!({
        "/approvals": {
            "get": {
                "operationId": "list_approvals",
                "summary": "What waits for a person, newest last.",
                "parameters": [
                    query("agent_name", "string", "Only what this agent asks."),
                    query("task_id", "string", "Only what this task asks, and what works for it."),
                    query("older_than", "string", "Only what waits for longer: 45s, 10m, 2h, 3d."),
                    query("limit", "integer", "Entries of a page; 50 if not given."),
                    query("page_number", "integer", "Counts from 1."),
                ],
                "responses": {
                    "200": {
                        "description": "The approvals that the caller may see.",
                        "content": { "application/json": {
                            "schema": { "type": "array", "items": { "$ref": "#/components/schemas/Approval" } },
                        } },
                    },
                },
            },
        },
        "/approvals/{approval_id}": {
            "parameters": [id],
            "get": {
                "operationId": "get_approval",
                "summary": "One approval, also of one that was decided for as long as the log knows it.",
                "responses": {
                    "200": {
                        "description": "The approval.",
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Approval" } } },
                    },
                    "404": { "description": "There is no such approval, or the caller may not see it." },
                },
            },
        },
        "/approvals/{approval_id}/approve": decide(
            "approve",
            "Let the call run as it stands, or answer the question.",
            json!({ "reason": reason, "answer": { "description": "What fits the approval's form, where it has one." } }),
        ),
        "/approvals/{approval_id}/reject": decide("reject", "Refuse.", json!({ "reason": reason })),
    })
}

/// The schemas that the paths refer to.
pub(in crate::api) fn openapi_schemas() -> Value {
    let text = json!({ "type": "string" });
    let time = json!({ "type": "string", "format": "date-time" });
    let decision = json!({ "enum": ["pending", "approved", "rejected", "expired", "withdrawn"] });
    json!({
        "Approval": {
            "type": "object",
            "required": [
                "id", "kind", "agent", "agent_name", "task_id", "turn", "tool", "tool_call_id", "arguments",
                "requested_at", "decision",
            ],
            "properties": {
                "id": text,
                "kind": { "enum": ["tool_call", "question", "elicitation"] },
                "agent": text,
                "agent_name": text,
                "task_id": text,
                "parent_task_id": text,
                "turn": { "type": "integer" },
                "tool": text,
                "tool_call_id": text,
                "arguments": { "description": "What will run when it is approved; long ones may be cut in lists." },
                "prompt": text,
                "form": { "description": "JSON Schema of the answer." },
                "requested_at": time,
                "expires_at": time,
                "decision": decision,
                "by": text,
                "reason": text,
            },
        },
        "Ruling": {
            "type": "object",
            "required": ["id", "decision"],
            "properties": { "id": text, "decision": decision, "by": text, "reason": text },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_that_is_referred_to_is_there() {
        let schemas = openapi_schemas();
        let paths = openapi().to_string();
        let references = paths.split("#/components/schemas/").skip(1);
        let names: Vec<&str> = references.filter_map(|rest| rest.split('"').next()).collect();
        assert!(!names.is_empty());
        for name in names {
            assert!(schemas.get(name).is_some(), "{name}");
        }
    }
}
