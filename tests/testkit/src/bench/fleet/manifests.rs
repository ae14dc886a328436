//! The objects of a fleet. Pure.

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

/// AgentTools of each Agent.
pub(in crate::bench) const TOOLS_PER_AGENT: usize = 3;

/// An Agent with what it refers to: each has AgentTools and a Secret of its own.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Member {
    pub(in crate::bench) namespace: String,
    pub(in crate::bench) name: String,
}

impl Member {
    /// Member `number` of a fleet with so many Agents in each namespace.
    pub(in crate::bench) fn of_fleet(number: usize, agents_per_namespace: usize) -> Self {
        let namespace = number / agents_per_namespace.max(1);
        Self {
            namespace: format!("fleet-{namespace}"),
            name: format!("agent-{number}"),
        }
    }

    /// `namespace/name`.
    pub(in crate::bench) fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(in crate::bench) fn secret(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": self.name },
            "stringData": { "api-key": format!("sk-of-{}", self.name) },
        })
    }

    fn tool_name(&self, number: usize) -> String {
        format!("{}-tool-{number}", self.name)
    }

    pub(in crate::bench) fn tool(&self, number: usize) -> Value {
        json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentTool",
            "metadata": { "name": self.tool_name(number) },
            "spec": {
                "description": "Looks up the weather of a city, today or on one of the next seven days.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "city": { "type": "string", "description": "The city, with its country." },
                        "day": { "type": "integer", "minimum": 0, "maximum": 7 },
                    },
                    "required": ["city"],
                },
                "activity": { "name": format!("look_up_{number}"), "taskQueue": "weather" },
            },
        })
    }

    pub(in crate::bench) fn agent(&self) -> Value {
        let tools: Vec<Value> = (0..TOOLS_PER_AGENT)
            .map(|number| json!({ "tool": self.tool_name(number) }))
            .collect();
        json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": self.name },
            "spec": {
                "description": "Answers questions about the weather.",
                "instructions": "You answer questions about the weather. Use the tools for everything that you do not \
                                 know, say which city you mean, give temperatures in degrees Celsius, and keep answers short.",
                "model": { "name": "gpt-5-mini", "apiKeyEnvVar": "OPENAI_API_KEY" },
                "credentials": [{
                    "envVarName": "OPENAI_API_KEY", "secretName": self.name, "secretKey": "api-key",
                }],
                "tools": tools,
            },
        })
    }
}

/// A Deployment with the pods of this one, which no operator knows.
pub(in crate::bench) fn equal_deployment(sample: &Deployment, name: &str) -> anyhow::Result<Value> {
    let mut spec = serde_json::to_value(&sample.spec).context("write a Deployment as JSON")?;
    let labels = json!({ "app": name });
    spec["selector"] = json!({ "matchLabels": labels });
    spec["replicas"] = json!(1);
    spec["template"]["metadata"]["labels"] = labels;
    spec["template"]["spec"]["serviceAccountName"] = json!("default");
    spec["template"]["spec"]["serviceAccount"] = Value::Null;
    Ok(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name }, "spec": spec }))
}

#[cfg(test)]
mod tests {
    use steadfast_crds::{Agent, AgentTool};

    use super::*;

    #[test]
    fn a_fleet_fills_one_namespace_after_the_other() {
        let keys: Vec<String> = [0, 99, 100, 5_099]
            .map(|number| Member::of_fleet(number, 100).key())
            .to_vec();
        assert_eq!(
            keys,
            [
                "fleet-0/agent-0",
                "fleet-0/agent-99",
                "fleet-1/agent-100",
                "fleet-50/agent-5099"
            ]
        );
    }

    #[test]
    fn the_objects_of_a_fleet_can_be_decoded() {
        let member = Member::of_fleet(7, 100);
        let agent: Agent = serde_json::from_value(member.agent()).unwrap();
        let tool: AgentTool = serde_json::from_value(member.tool(2)).unwrap();
        assert_eq!(agent.spec.tools.len(), TOOLS_PER_AGENT);
        assert_eq!(tool.metadata.name.as_deref(), Some("agent-7-tool-2"));
    }
}
