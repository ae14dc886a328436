//! The parts of a request body that the model APIs share. Pure.

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use steadfast_crds::{AgentRevisionSpec, agent_tool::ToolKind};

use super::{attachments::RequestAttachments, conversation::Past, dialect::Dialect, origin::short_digest};
use crate::{
    failure::CallFailure,
    tools::functions::{FunctionTool, ListedTool, function_tools},
};

/// The longest `prompt_cache_key` that OpenAI and Azure take, in characters.
const LONGEST_CACHE_KEY: usize = 64;

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
    /// The tools that MCP servers listed for this call.
    pub listed: &'a [ListedTool],
    /// The content of the attachments of the conversation.
    pub attachments: &'a RequestAttachments,
    /// Resolves `${env.NAME}` in the settings of hosted tools.
    pub variable: &'a Variable<'a>,
}

/// A request, and what a refusal of it can be about.
#[derive(Clone, Debug)]
pub(crate) struct BuiltRequest {
    pub body: Bytes,
    /// The members of the body without the conversation.
    pub members: Map<String, Value>,
    /// The names of the server's own members on messages and calls.
    pub of_messages: BTreeSet<String>,
    /// The form of the past in which the request has less that a server can refuse; none if there is none.
    pub simpler_past: Option<Past>,
    /// It has attachments of earlier messages, which the next request can do without.
    pub has_earlier_attachments: bool,
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

/// Whether the request has tools of any kind.
pub(crate) fn offers_tools(context: &RequestContext<'_>) -> bool {
    let mut tools = context.revision.tools.iter();
    !function_tools(context.revision, context.listed).is_empty()
        || tools.any(|tool| matches!(tool.spec.kind(), Some(ToolKind::Hosted(_))))
}

/// The key that keeps the calls of one task on one prompt cache. The id of an agent that is called as a tool grows with
/// each level.
pub(crate) fn cache_key(task_id: &str) -> String {
    if task_id.chars().count() <= LONGEST_CACHE_KEY {
        task_id.to_owned()
    } else {
        short_digest(task_id, LONGEST_CACHE_KEY / 2)
    }
}

/// The instructions. A server without structured output is told the schema, if `is_told`: the answer is checked in any case.
pub(crate) fn instructions<'a>(context: &RequestContext<'a>, is_told: bool) -> Cow<'a, str> {
    let output = context.revision.output.as_ref().filter(|_| is_told);
    let Some(output) = output else {
        return Cow::Borrowed(context.instructions);
    };
    let schema = Value::Object(output.schema.clone());
    let told = format!("Answer with nothing but JSON that fits this JSON Schema:\n{schema}");
    Cow::Owned(format!("{}\n\n{told}", context.instructions).trim_start().to_owned())
}

/// Whether a member of the body, by its path, is left out: by the settings, or because the server refused it.
pub(crate) fn is_omitted(context: &RequestContext<'_>, dialect: &Dialect, path: &str) -> bool {
    let omit = &context.revision.model.settings.omit;
    dialect.omits(path) || omit.iter().any(|omitted| omitted == path)
}

/// Inserts a member, if it has a value.
pub(crate) fn insert<T: Serialize>(body: &mut Map<String, Value>, name: &str, value: Option<&T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), json!(value));
    }
}

/// Completes the members of a body. Members of `settings.extraBody` replace members of the same name; null removes one.
/// Then `settings.omit` and what the server refused are removed.
pub(crate) fn complete_members(
    context: &RequestContext<'_>,
    dialect: &Dialect,
    mut members: Map<String, Value>,
) -> Map<String, Value> {
    let settings = &context.revision.model.settings;
    for (name, value) in &settings.extra_body {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    let omitted = settings.omit.iter().map(String::as_str);
    for path in omitted.chain(dialect.omitted()) {
        remove(&mut members, path);
    }
    members
}

/// Removes a member by its path, and what it leaves empty.
fn remove(members: &mut Map<String, Value>, path: &str) {
    let Some((name, rest)) = path.split_once('.') else {
        members.shift_remove(path);
        return;
    };
    if let Some(Value::Object(inner)) = members.get_mut(name) {
        remove(inner, rest);
        if inner.is_empty() {
            members.shift_remove(name);
        }
    }
}

/// Serializes a body with the conversation under the API's name for it, unless the settings replace or omit it.
pub(crate) fn serialize_body<C: Serialize + ?Sized>(
    context: &RequestContext<'_>,
    members: &Map<String, Value>,
    name: &'static str,
    conversation: &C,
) -> Result<Bytes, CallFailure> {
    let settings = &context.revision.model.settings;
    let is_replaced = settings.extra_body.contains_key(name) || settings.omit.iter().any(|omitted| omitted == name);
    let conversation = (!is_replaced).then_some((name, conversation));
    serde_json::to_vec(&RequestBody { members, conversation })
        .map(Bytes::from)
        .map_err(|error| CallFailure::permanent("model_configuration", format!("serialize the request body: {error}")))
}

/// The conversation is large: it is serialized by reference, without a copy as a JSON value.
struct RequestBody<'a, C: ?Sized> {
    members: &'a Map<String, Value>,
    conversation: Option<(&'static str, &'a C)>,
}

impl<C: Serialize + ?Sized> Serialize for RequestBody<'_, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.members {
            map.serialize_entry(name, value)?;
        }
        if let Some((name, conversation)) = self.conversation {
            map.serialize_entry(name, conversation)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_key_has_at_most_64_characters_and_one_task_has_one() {
        assert_eq!(cache_key("task-1"), "task-1");
        let nested = |depth: usize| cache_key(&"0190c0de-call-call_abcdefgh/".repeat(depth));
        assert_eq!(nested(40).len(), 64);
        assert_eq!(nested(40), nested(40));
        assert_ne!(nested(40), nested(41));
    }
}
