//! How much work a run is. Pure.

use std::{fmt, str::FromStr};

use serde_json::Value;

/// The work of a run, written into the user's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// The name of the run, which makes its requests unlike all others.
    pub(crate) run: String,
    /// How often the model asks for the tool.
    pub(crate) calls: u32,
    /// The size of each result of the tool.
    pub(crate) result_bytes: u32,
    /// The deltas of the answer.
    pub(crate) deltas: u32,
    /// The time between two deltas.
    pub(crate) pace_ms: u32,
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            run,
            calls,
            result_bytes,
            deltas,
            pace_ms,
        } = self;
        write!(
            formatter,
            "run={run} calls={calls} result_bytes={result_bytes} deltas={deltas} pace_ms={pace_ms};"
        )
    }
}

impl FromStr for Work {
    type Err = String;

    /// Reads the first line as `Display` writes it. A long text may follow.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (head, _) = text.split_once(';').ok_or("the message has no `;`")?;
        let value = |name: &str| {
            head.split_whitespace()
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| format!("the message has no {name}"))
        };
        let number = |name: &str| value(name)?.parse().map_err(|error| format!("{name}: {error}"));
        Ok(Self {
            run: value("run")?.to_owned(),
            calls: number("calls")?,
            result_bytes: number("result_bytes")?,
            deltas: number("deltas")?,
            pace_ms: number("pace_ms")?,
        })
    }
}

/// The work that the last message of the user asks for.
pub(super) fn of_request(request: &Value) -> Option<Work> {
    let input = &request["input"];
    if let Some(text) = input.as_str() {
        return text.parse().ok();
    }
    let messages = input.as_array()?.iter().rev();
    let message = messages.into_iter().find(|item| item["role"] == "user")?;
    match &message["content"] {
        Value::String(text) => text.parse().ok(),
        Value::Array(parts) => parts.iter().find_map(|part| part["text"].as_str())?.parse().ok(),
        _ => None,
    }
}

/// The number of the tool call that comes next, from 0; `None` when the answer does.
pub(super) fn step(request: &Value, work: &Work) -> Option<u32> {
    let items = request["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let since = items.iter().rposition(|item| item["role"] == "user").unwrap_or(0);
    let results = items
        .iter()
        .skip(since)
        .filter(|item| item["type"] == "function_call_output");
    let results = u32::try_from(results.count()).unwrap_or(u32::MAX);
    (results < work.calls).then_some(results)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn work() -> Work {
        Work {
            run: "plugin-7".to_owned(),
            calls: 1,
            result_bytes: 20,
            deltas: 5,
            pace_ms: 10,
        }
    }

    #[test]
    fn a_message_says_the_work_and_may_go_on_with_a_long_text() {
        assert_eq!(format!("{} Once upon a time", work()).parse(), Ok(work()));
        assert!("hello".parse::<Work>().is_err());
        assert!(
            "run=a calls=x result_bytes=1 deltas=1 pace_ms=1;"
                .parse::<Work>()
                .is_err()
        );
    }

    #[test]
    fn the_model_asks_for_the_tool_until_the_message_has_its_results() {
        let mut request = json!({"input": [{"role": "user", "content": work().to_string()}]});
        assert_eq!(of_request(&request), Some(work()));
        assert_eq!(step(&request, &work()), Some(0));
        let result = json!({"type": "function_call_output", "call_id": "a", "output": "x"});
        request["input"].as_array_mut().unwrap().push(result);
        assert_eq!(step(&request, &work()), None);
        // The results of an earlier turn do not count.
        let next = json!({"role": "user", "content": [{"type": "input_text", "text": work().to_string()}]});
        request["input"].as_array_mut().unwrap().push(next);
        assert_eq!((of_request(&request), step(&request, &work())), (Some(work()), Some(0)));
    }
}
