//! The AgentTools of the tools of a worker program, ready to apply.

use std::io::Write as _;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};
use steadfast_crds::yaml;

/// One AgentTool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolManifest(Value);

impl ToolManifest {
    pub(super) fn new<A: JsonSchema>(name: &str, description: &str) -> Self {
        // Inline definitions: models understand a schema without references better.
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let schema = settings.into_generator().into_root_schema_for::<A>();
        Self(json!({
            "apiVersion": "steadfast.dev/v1alpha1",
            "kind": "AgentTool",
            "metadata": {"name": name.replace('_', "-")},
            "spec": {
                "description": description,
                "parameters": schema,
                "activity": {"name": name},
            },
        }))
    }
}

/// Prints the manifests as one YAML stream.
pub(super) fn print(manifests: &[ToolManifest]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for ToolManifest(manifest) in manifests {
        write!(stdout, "---\n{}", yaml::to_string(manifest)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Dice {
        /// Number of sides.
        sides: u32,
    }

    #[test]
    fn the_manifest_is_an_agent_tool_without_a_task_queue() {
        let ToolManifest(manifest) = ToolManifest::new::<Dice>("roll_dice", "Rolls a die.");
        assert_eq!(manifest["metadata"]["name"], "roll-dice");
        assert_eq!(manifest["spec"]["activity"], json!({"name": "roll_dice"}));
        let parameters = &manifest["spec"]["parameters"];
        assert_eq!(parameters["properties"]["sides"]["description"], "Number of sides.");
        assert_eq!(parameters["required"], json!(["sides"]));
        assert_eq!(parameters.get("$schema"), None);
    }
}
