//! Selects the items of a transcript that are sent to the model, in the form of
//! the Responses API for every API. Pure.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::Value;
use steadfast_agent_loop::{
    Body, Item, Segment,
    output_item::{Request, request_of, unsupported_item},
};

/// The items for a model of this agent, oldest first.
pub(crate) fn items_to_send<'a>(transcript: impl IntoIterator<Item = &'a Segment>, agent: &str) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = Vec::new();
    for segment in transcript {
        match &segment.body {
            Body::Summary { .. } => items = segment.items(),
            Body::Handoff {
                messages_only: true, ..
            } => {
                items.retain(|item| matches!(item, Item::Said(item) if is_message(item)));
                items.iter_mut().for_each(forget_id);
            }
            Body::Model {
                items: said,
                agent: speaker,
            } if !speaker.is_empty() && speaker != agent => items.extend(without_reasoning(said)),
            Body::Model { items: said, .. } if unsupported_item(said).is_some() => items.extend(without_requests(said)),
            _ => items.extend(segment.items()),
        }
    }
    without_orphans(items)
}

/// The items of another agent's model. This model cannot decrypt the reasoning, and a provider refuses items that
/// refer to reasoning it does not get: hosted calls are dropped too, other items lose the ID of their reasoning.
fn without_reasoning(said: &[Value]) -> impl Iterator<Item = Item<'_>> {
    let reasoned = said.iter().any(|item| item["type"] == "reasoning");
    said.iter()
        .filter(move |item| !reasoned || is_message(item) || item["type"] == "function_call")
        // Only the first agent's request names the provider's MCP server.
        .filter(move |item| {
            item["type"] != "mcp_approval_request" && request_of(item, said) != Some(Request::Unsupported)
        })
        .map(move |item| {
            let mut item = Item::Said(Cow::Borrowed(item));
            if reasoned {
                forget_id(&mut item);
            }
            item
        })
}

/// The items of an answer that asked for what nothing provides. A provider refuses a conversation with an open
/// request, and items that refer to the reasoning before it.
fn without_requests(said: &[Value]) -> impl Iterator<Item = Item<'_>> {
    said.iter()
        .filter(|item| is_message(item) || item["type"] == "function_call")
        .map(|item| {
            let mut item = Item::Said(Cow::Borrowed(item));
            forget_id(&mut item);
            item
        })
}

/// A message has a role; its type is optional.
fn is_message(item: &Value) -> bool {
    item.get("role").is_some() && item.get("type").is_none_or(|kind| kind == "message")
}

fn forget_id(item: &mut Item<'_>) {
    if let Item::Said(item) = item
        && item.get("id").is_some()
        && let Value::Object(members) = item.to_mut()
    {
        members.shift_remove("id");
    }
}

/// Drops the outputs of calls that are not sent: a provider refuses them.
fn without_orphans(mut items: Vec<Item<'_>>) -> Vec<Item<'_>> {
    let calls: BTreeSet<String> = items
        .iter()
        .filter_map(|item| match item {
            Item::Said(item) if item["type"] == "function_call" => item["call_id"].as_str().map(str::to_owned),
            Item::Said(item) if item["type"] == "mcp_approval_request" => item["id"].as_str().map(str::to_owned),
            _ => None,
        })
        .collect();
    items.retain(|item| match item {
        Item::Output(output) => calls.contains(&output.call_id),
        Item::Said(_) => true,
    });
    items
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_agent_loop::{CallKind, ModelText, ToolOutput, UserContent};

    use super::*;

    fn values<'a>(transcript: impl IntoIterator<Item = &'a Segment>, agent: &str) -> Vec<Value> {
        let items = items_to_send(transcript, agent);
        items.into_iter().map(Value::from).collect()
    }

    fn segment(body: Body) -> Segment {
        Segment {
            turn: 1,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body,
        }
    }

    fn user(text: &str) -> Segment {
        segment(Body::User {
            message_id: "m".into(),
            idempotency_key: None,
            content: UserContent::Text(text.into()),
            sender: String::new(),
        })
    }

    fn answer(agent: &str) -> Segment {
        segment(Body::Model {
            agent: agent.into(),
            items: vec![
                json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []}),
                json!({"type": "web_search_call", "id": "ws_1"}),
                json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []}),
                json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "t", "arguments": "{}"}),
            ],
        })
    }

    fn output() -> Segment {
        segment(Body::Tool {
            index: 3,
            output: ToolOutput {
                call_id: "c1".into(),
                name: "t".into(),
                kind: CallKind::Function,
                content: json!("done"),
                is_error: false,
                text: ModelText::default(),
            },
            by_task: false,
        })
    }

    fn handoff(messages_only: bool) -> Segment {
        segment(Body::Handoff {
            to: "b".into(),
            messages_only,
        })
    }

    #[test]
    fn an_agents_own_items_are_sent_unchanged() {
        let items = values(&[user("hi"), answer("a"), output()], "a");
        assert_eq!(items.len(), 6);
        assert_eq!(items[1]["encrypted_content"], "x");
        assert_eq!(items[3]["id"], "msg_1");
        let unnamed = values(&[answer("")], "a");
        assert_eq!(unnamed.len(), 4);
    }

    #[test]
    fn another_agents_reasoning_and_the_items_that_need_it_are_not_sent() {
        let items = values(&[user("hi"), answer("a"), output(), handoff(false)], "b");
        assert_eq!(
            items,
            [
                json!({"role": "user", "content": "hi"}),
                json!({"type": "message", "role": "assistant", "content": []}),
                json!({"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"}),
                json!({"type": "function_call_output", "call_id": "c1", "output": "done"}),
            ]
        );
    }

    #[test]
    fn a_request_that_nothing_answers_is_not_sent_again_and_what_was_said_is() {
        let said = segment(Body::Model {
            agent: "a".into(),
            items: vec![
                json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []}),
                json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []}),
                json!({"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {}}),
                json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "t", "arguments": "{}"}),
            ],
        });
        let expected = [
            json!({"type": "message", "role": "assistant", "content": []}),
            json!({"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"}),
            json!({"type": "function_call_output", "call_id": "c1", "output": "done"}),
        ];
        assert_eq!(values(&[said.clone(), output()], "a"), expected);
        assert_eq!(values(&[said, output()], "b"), expected);
    }

    #[test]
    fn the_answer_to_an_approval_request_follows_the_request() {
        let said = segment(Body::Model {
            agent: "a".into(),
            items: vec![json!({"type": "mcp_approval_request", "id": "mcpr_1", "name": "roll", "server_label": "s"})],
        });
        let decided = segment(Body::Tool {
            index: 0,
            output: ToolOutput {
                call_id: "mcpr_1".into(),
                name: "roll".into(),
                kind: CallKind::McpApproval,
                content: ToolOutput::approval(),
                is_error: false,
                text: ModelText::default(),
            },
            by_task: true,
        });
        let items = values(&[said.clone(), decided.clone()], "a");
        assert_eq!(
            items[1],
            json!({"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": true})
        );
        // Another agent has other servers.
        assert_eq!(values(&[said, decided], "b"), [Value::Null; 0]);
    }

    #[test]
    fn a_handoff_with_messages_only_keeps_only_messages() {
        // The output of the transfer call may follow the handoff: without its call it is not sent.
        let items = values(&[user("hi"), answer("a"), handoff(true), output(), user("more")], "b");
        assert_eq!(
            items,
            [
                json!({"role": "user", "content": "hi"}),
                json!({"type": "message", "role": "assistant", "content": []}),
                json!({"role": "user", "content": "more"}),
            ]
        );
    }

    #[test]
    fn a_summary_replaces_everything_before_it() {
        let summary = segment(Body::Summary {
            generation: 1,
            text: "they greeted".into(),
        });
        let items = values(&[user("hi"), answer("a"), summary, output(), user("more")], "a");
        assert_eq!(items.len(), 2);
        assert!(
            items[0]["content"]
                .as_str()
                .is_some_and(|text| text.ends_with("they greeted"))
        );
    }
}
