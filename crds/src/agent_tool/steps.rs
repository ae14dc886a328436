//! Tools of kind `steps`: several actions in order, undone in reverse when one
//! of them fails for good.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ToolRetry, activity::ActivityTool, http::HttpTool};
use crate::{duration::Duration, schema};

/// One step of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.activity) != has(self.http)")
    .message("a step has exactly one of activity and http"))]
#[x_kube(validation = Rule::new("!has(self.http) || self.http.execution == 'Activity'")
    .message("a step is never local"))]
#[serde(rename_all = "camelCase")]
pub struct ToolStep {
    /// Name of the step; later steps find its result under `steps.<name>`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z][a-z0-9_]*$"))]
    pub name: String,
    /// A Temporal activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// An HTTP request; its templates know `steps` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTool>,
    /// Arguments of the activity, or the JSON body of the request: an object whose texts are minijinja templates
    /// over the call's arguments and `steps`. A text that is one expression (`{{ amount }}`) keeps its type.
    /// The call's arguments when empty.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub arguments: Map<String, Value>,
    /// Longest time one attempt may take; the tool's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How failed attempts are repeated; the tool's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<ToolRetry>,
    /// What undoes the step when a later one fails for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensate: Option<Compensation>,
}

/// What undoes a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.activity) != has(self.http)")
    .message("a compensation has exactly one of activity and http"))]
#[x_kube(validation = Rule::new("!has(self.http) || self.http.execution == 'Activity'")
    .message("a compensation is never local"))]
#[serde(rename_all = "camelCase")]
pub struct Compensation {
    /// A Temporal activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// An HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTool>,
    /// Like the arguments of a step; `steps` holds the results so far, that of the step itself included.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub arguments: Map<String, Value>,
    /// Longest time one attempt may take; the tool's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How failed attempts are repeated; ten attempts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<ToolRetry>,
}

/// What one step or compensation does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepAction<'a> {
    /// See [`ActivityTool`].
    Activity(&'a ActivityTool),
    /// See [`HttpTool`].
    Http(&'a HttpTool),
}

impl ToolStep {
    /// The action that is set; none for an object that admission never saw.
    #[must_use]
    pub fn action(&self) -> Option<StepAction<'_>> {
        action(self.activity.as_ref(), self.http.as_ref())
    }
}

impl Compensation {
    /// The action that is set; none for an object that admission never saw.
    #[must_use]
    pub fn action(&self) -> Option<StepAction<'_>> {
        action(self.activity.as_ref(), self.http.as_ref())
    }
}

fn action<'a>(activity: Option<&'a ActivityTool>, http: Option<&'a HttpTool>) -> Option<StepAction<'a>> {
    match (activity, http) {
        (Some(activity), None) => Some(StepAction::Activity(activity)),
        (None, Some(http)) => Some(StepAction::Http(http)),
        _ => None,
    }
}
