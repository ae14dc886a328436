//! The task queues that the tools of the manifests name. Pure.

use steadfast_crds::{
    AgentTool, AgentToolSpec,
    agent_tool::{ActivityTool, ToolStep},
    manifests::Manifest,
};

/// A task queue that a program of the user serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolQueue {
    pub(super) tool: String,
    pub(super) queue: String,
}

/// The task queues of the AgentTools, each once for each tool.
pub(super) fn of_tools(manifests: &[Manifest]) -> Vec<ToolQueue> {
    let mut queues = Vec::new();
    for manifest in manifests.iter().filter(|manifest| manifest.is::<AgentTool>()) {
        let Ok(tool) = manifest.decode::<AgentTool>() else {
            continue;
        };
        let name = tool.metadata.name.unwrap_or_default();
        for queue in of_spec(&tool.spec) {
            let found = ToolQueue {
                tool: name.clone(),
                queue: queue.to_owned(),
            };
            if !queues.contains(&found) {
                queues.push(found);
            }
        }
    }
    queues
}

/// An activity without a task queue is in the agent's own worker.
fn of_spec(spec: &AgentToolSpec) -> impl Iterator<Item = &str> {
    let steps = spec.steps.iter().flatten().flat_map(of_step);
    let activities = spec.activity.iter().chain(steps);
    let of_activities = activities.filter_map(|activity| activity.task_queue.as_deref());
    of_activities.chain(spec.workflow.iter().map(|workflow| workflow.task_queue.as_str()))
}

fn of_step(step: &ToolStep) -> impl Iterator<Item = &ActivityTool> {
    let undo = step.compensate.iter().filter_map(|undo| undo.activity.as_ref());
    step.activity.iter().chain(undo)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steadfast_crds::manifests;

    use super::*;

    #[test]
    fn every_queue_of_an_activity_is_found_once() {
        let text = r"
apiVersion: steadfast.dev/v1alpha1
kind: AgentTool
metadata: {name: move-money}
spec:
  description: Moves money.
  steps:
  - {name: a, activity: {name: withdraw, taskQueue: bank}, compensate: {activity: {name: deposit, taskQueue: undo}}}
  - {name: b, activity: {name: deposit, taskQueue: bank}}
---
apiVersion: steadfast.dev/v1alpha1
kind: AgentTool
metadata: {name: roll-dice}
spec: {description: Rolls dice., activity: {name: roll_dice}}
";
        let queues = of_tools(&manifests::parse(Path::new("a.yaml"), text).unwrap());
        let names: Vec<_> = queues
            .iter()
            .map(|found| (found.tool.as_str(), found.queue.as_str()))
            .collect();
        assert_eq!(names, [("move-money", "bank"), ("move-money", "undo")]);
    }
}
