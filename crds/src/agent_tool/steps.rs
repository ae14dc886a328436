//! Tools of kind `steps`: several actions in order. When one fails finally, the
//! steps before it are compensated in reverse order.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ToolRetry, activity::ActivityTool, http::HttpTool};
use crate::{duration::Duration, schema};

/// One step of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.activity) != has(self.http)")
    .message("a step has exactly one of activity and http"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.http.execution) || self.http.execution == 'Activity'")
    .message("a step is never local"))]
#[serde(rename_all = "camelCase")]
pub struct ToolStep {
    /// Name of the step; its result is `steps.<name>` in later steps.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z][a-z0-9_]*$"))]
    pub name: String,
    /// A Temporal activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// An HTTP request; its templates may use `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTool>,
    /// Arguments of the activity, or JSON body of the request: an object whose texts are minijinja templates over the
    /// call's arguments and `steps`. A text that is one expression (`{{ amount }}`) keeps the type of its value. When
    /// empty, the call's arguments. At most 60 levels of nesting.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub arguments: Map<String, Value>,
    /// The longest time that one attempt may take; the tool's timeout when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How failed attempts are retried; the tool's retry policy when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<ToolRetry>,
    /// The action that undoes the step when a later step fails finally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensate: Option<Compensation>,
}

/// The action that undoes a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.activity) != has(self.http)")
    .message("a compensation has exactly one of activity and http"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.http.execution) || self.http.execution == 'Activity'")
    .message("a compensation is never local"))]
#[serde(rename_all = "camelCase")]
pub struct Compensation {
    /// A Temporal activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// An HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTool>,
    /// Arguments, as in a step; `steps` has the results so far, with the result of the step itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub arguments: Map<String, Value>,
    /// The longest time that one attempt may take; the tool's timeout when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How failed attempts are retried; ten attempts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<ToolRetry>,
    /// What happens when nobody knows whether the step itself has acted: it timed out, or its worker was lost.
    #[serde(default)]
    pub on_unknown_outcome: OnUnknownOutcome,
}

/// What happens to a step whose outcome is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnknownOutcome {
    /// The step is not compensated, and the result names it: a person has to look.
    #[default]
    Leave,
    /// The step is compensated like those before it. Only safe if the compensation does nothing when the step has
    /// not acted. `steps` has no result of the step then.
    Compensate,
}

/// The action of a step or compensation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepAction<'a> {
    /// See [`ActivityTool`].
    Activity(&'a ActivityTool),
    /// See [`HttpTool`].
    Http(&'a HttpTool),
}

impl ToolStep {
    /// The action that is set. `None` for an invalid object, which admission would refuse.
    #[must_use]
    pub fn action(&self) -> Option<StepAction<'_>> {
        action(self.activity.as_ref(), self.http.as_ref())
    }
}

impl Compensation {
    /// The action that is set. `None` for an invalid object, which admission would refuse.
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
