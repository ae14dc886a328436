//! The structured answer of a model that wraps it in Markdown: one JSON document
//! inside of one code fence, with or without words around it. Pure.

use serde_json::{Value, json};
use steadfast_bounds::json;
use steadfast_crds::AgentRevisionSpec;

const FENCE: &str = "```";

/// Replaces the text of the final answer by the JSON in its code fence, if the revision has an output schema and the text
/// is no JSON. Returns whether it did.
pub(crate) fn unwrap_answer(items: &mut [Value], revision: &AgentRevisionSpec) -> bool {
    let calls = |item: &Value| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call"));
    if revision.output.is_none() || items.iter().any(calls) {
        return false;
    }
    let Some(message) = items.iter_mut().rev().find(|item| item["type"] == "message") else {
        return false;
    };
    let parts = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    if parts.iter().any(|part| part["type"] != "output_text") {
        return false;
    }
    let text: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    let Some(answer) = fenced_json(&text) else {
        return false;
    };
    message["content"] = json!([{"type": "output_text", "text": answer, "annotations": []}]);
    true
}

/// The JSON inside of the only code fence of a text that is no JSON itself.
fn fenced_json(text: &str) -> Option<&str> {
    let is_json = |text: &str| json::read::<serde::de::IgnoredAny>(text.as_bytes()).is_ok();
    if is_json(text) {
        return None;
    }
    // JSON may hold fences within its texts: the last one closes.
    let (_, rest) = text.split_once(FENCE)?;
    let (inside, after) = rest.rsplit_once(FENCE).unwrap_or((rest, ""));
    if after.contains('{') {
        return None;
    }
    let begins_at = inside.find(['{', '[', '\n'])?;
    let (language, answer) = inside.split_at(begins_at);
    let answer = answer.trim();
    (language
        .chars()
        .all(|character| character.is_alphanumeric() || character.is_whitespace())
        && is_json(answer))
    .then_some(answer)
}

#[cfg(test)]
mod tests {
    use steadfast_crds::yaml;

    use super::*;

    #[test]
    fn one_json_in_one_fence_is_the_answer() {
        for (text, answer) in [
            ("```json\n{\"n\": 1}\n```", Some("{\"n\": 1}")),
            ("```\n{\"n\": 1}\n```\n", Some("{\"n\": 1}")),
            ("```JSON {\"n\": 1}```", Some("{\"n\": 1}")),
            (
                "Here it is:\n\n```json\r\n[1, 2]\r\n```\nAnything else?",
                Some("[1, 2]"),
            ),
            (
                "```json\n{\"code\": \"```sh\\nls\\n```\"}\n```",
                Some("{\"code\": \"```sh\\nls\\n```\"}"),
            ),
            ("```json\n{\"n\": 1}", Some("{\"n\": 1}")),
            ("{\"n\": 1}", None),
            ("{\"text\": \"```json\\n{}\\n```\"}", None),
            ("```json\n{\"n\": 1}\n```\n```json\n{\"n\": 2}\n```", None),
            ("```json\n{\"n\": \n```", None),
            ("The answer is 1.", None),
        ] {
            assert_eq!(fenced_json(text), answer, "{text}");
        }
    }

    #[test]
    fn only_a_final_answer_with_a_schema_is_unwrapped() {
        let revision = |output: &str| -> AgentRevisionSpec {
            yaml::from_str(&format!(
                "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m}}{output}}}"
            ))
            .unwrap()
        };
        let with_schema = revision(", output: {schema: {type: object}}");
        let answer = |text: &str| {
            json!({"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}]})
        };
        let fenced = || answer("```json\n{\"n\": 1}\n```");
        let mut items = vec![json!({"type": "reasoning"}), fenced()];
        assert!(unwrap_answer(&mut items, &with_schema));
        assert_eq!(items[1], answer("{\"n\": 1}"));
        let call = json!({"type": "function_call"});
        for (mut items, revision) in [
            (vec![fenced()], revision("")),
            (vec![fenced(), call], with_schema.clone()),
            (vec![], with_schema),
        ] {
            assert!(!unwrap_answer(&mut items, &revision), "{items:?}");
        }
    }
}
