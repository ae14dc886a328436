//! The parts of a request body that the model APIs share. Pure.

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use steadfast_crds::{AgentRevisionSpec, agent_tool::ToolKind};
use url::Url;

use crate::{
    failure::CallFailure,
    tools::functions::{FunctionTool, ListedTool},
};

/// Returns the value of an environment variable, if it may be sent to the model API.
pub(crate) type Variable<'a> = dyn Fn(&str) -> Result<String, CallFailure> + Sync + 'a;

/// The inputs of a request body besides the transcript.
#[derive(Clone, Copy)]
pub(crate) struct RequestContext<'a> {
    pub revision: &'a AgentRevisionSpec,
    /// The rendered system prompt.
    pub instructions: &'a str,
    pub task_id: &'a str,
    /// Number of the model call within its turn, from 0.
    pub step: u32,
    pub base_url: &'a Url,
    /// The tools that MCP servers listed for this call.
    pub listed: &'a [ListedTool],
    /// Resolves `${env.NAME}` in the settings of hosted tools.
    pub variable: &'a Variable<'a>,
}

/// The setting `toolChoice`, if it applies to this call. A tool is forced on the first call of a turn only, so that
/// the model can answer after it. A tool whose MCP server is unavailable is not forced.
pub(crate) fn effective_tool_choice<'a>(
    context: &RequestContext<'a>,
    functions: &[FunctionTool<'_>],
) -> Option<&'a str> {
    let choice = context.revision.model.settings.tool_choice.as_deref()?;
    let applies = match choice {
        "auto" | "none" => true,
        "required" => context.step == 0,
        name => {
            let exists = functions.iter().any(|function| function.name == name)
                || hosted_tool_type(name, context.revision).is_some();
            context.step == 0 && exists
        }
    };
    applies.then_some(choice)
}

/// The provider's type of a hosted tool; the name may be that type or the name in the revision.
pub(crate) fn hosted_tool_type<'a>(name: &str, revision: &'a AgentRevisionSpec) -> Option<&'a str> {
    revision.tools.iter().find_map(|tool| match tool.spec.kind() {
        Some(ToolKind::Hosted(hosted)) if tool.name == name || hosted.tool_type == name => {
            Some(hosted.tool_type.as_str())
        }
        _ => None,
    })
}

pub(crate) fn is_openai(base_url: &Url) -> bool {
    base_url.host_str() == Some("api.openai.com")
}

/// Inserts a member, if it has a value.
pub(crate) fn insert<T: Serialize>(body: &mut Map<String, Value>, name: &str, value: Option<&T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), json!(value));
    }
}

/// Serializes a body with the conversation under the API's name for it. Members of `extra_body` replace members
/// of the same name; null removes one.
pub(crate) fn serialize_body<C: Serialize + ?Sized>(
    mut members: Map<String, Value>,
    name: &'static str,
    conversation: &C,
    extra_body: &Map<String, Value>,
) -> Result<Bytes, CallFailure> {
    for (name, value) in extra_body {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    let conversation = (!extra_body.contains_key(name)).then_some((name, conversation));
    serde_json::to_vec(&RequestBody { members, conversation })
        .map(Bytes::from)
        .map_err(|error| CallFailure::permanent("model_configuration", format!("serialize the request body: {error}")))
}

/// The conversation is large: it is serialized by reference, without a copy as a JSON value.
struct RequestBody<'a, C: ?Sized> {
    members: Map<String, Value>,
    conversation: Option<(&'static str, &'a C)>,
}

impl<C: Serialize + ?Sized> Serialize for RequestBody<'_, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        if let Some((name, conversation)) = self.conversation {
            map.serialize_entry(name, conversation)?;
        }
        map.end()
    }
}
