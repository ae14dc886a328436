//! Compares a turn with what its script expects. Pure.

use serde_json::Value;
use steadfast_events::TurnStatus;

use super::script::Turn;

/// What happened in a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observed {
    /// Tool and arguments of each call, in order.
    pub(super) calls: Vec<(String, Value)>,
    /// The text of the agent.
    pub(super) text: String,
    pub(super) status: TurnStatus,
    /// The error of a failed turn.
    pub(super) error: Option<String>,
    /// Tools whose approval the script has not foreseen.
    pub(super) surprises: Vec<String>,
    /// Tools whose approval never was requested.
    pub(super) not_requested: Vec<String>,
}

/// The differences, as sentences; none if the turn is as expected.
pub(super) fn differences(expected: &Turn, observed: &Observed) -> Vec<String> {
    let mut differences = Vec::new();
    if !expected.status.is(observed.status) {
        let error = observed
            .error
            .as_deref()
            .map_or_else(String::new, |error| format!(": {error}"));
        differences.push(format!("the turn is {:?}{error}", observed.status).to_lowercase());
    }
    if let Some(calls) = &expected.calls {
        let names = |calls: &[(String, Value)]| {
            let names: Vec<&str> = calls.iter().map(|(tool, _)| tool.as_str()).collect();
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        let wanted: Vec<_> = calls
            .iter()
            .map(|call| (call.tool.clone(), call.arguments.clone()))
            .collect();
        if names(&wanted) == names(&observed.calls) {
            for (call, (_, arguments)) in calls.iter().zip(&observed.calls) {
                if !has(arguments, &call.arguments) {
                    differences.push(format!(
                        "the arguments of {} are {arguments}, expected {}",
                        call.tool, call.arguments
                    ));
                }
            }
        } else {
            differences.push(format!(
                "the tool calls are {}, expected {}",
                names(&observed.calls),
                names(&wanted)
            ));
        }
    }
    for tool in &observed.surprises {
        differences.push(format!(
            "{tool} asked for an approval that the script does not have; it was rejected"
        ));
    }
    for tool in &observed.not_requested {
        differences.push(format!("{tool} did not ask for an approval"));
    }
    differences.extend(differences_of_text(expected, &observed.text));
    differences
}

fn differences_of_text(expected: &Turn, text: &str) -> Vec<String> {
    let answer = &expected.answer;
    let mut differences = Vec::new();
    if let Some(equals) = &answer.equals
        && equals.trim() != text.trim()
    {
        differences.push(format!("the answer is {text:?}, expected {equals:?}"));
    }
    for part in answer.contains.iter().filter(|part| !text.contains(part.as_str())) {
        differences.push(format!("the answer {text:?} does not contain {part:?}"));
    }
    for part in answer.excludes.iter().filter(|part| text.contains(part.as_str())) {
        differences.push(format!("the answer {text:?} contains {part:?}"));
    }
    differences
}

/// Whether a value has everything that `expected` has: objects may have more members.
fn has(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (_, Value::Null) => true,
        (Value::Object(value), Value::Object(expected)) => expected
            .iter()
            .all(|(name, expected)| value.get(name).is_some_and(|value| has(value, expected))),
        (Value::Array(value), Value::Array(expected)) => {
            value.len() == expected.len() && value.iter().zip(expected).all(|(value, expected)| has(value, expected))
        }
        (Value::Number(value), Value::Number(expected)) => value.as_f64() == expected.as_f64(),
        _ => value == expected,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::script::tests::turn, *};

    fn observed() -> Observed {
        Observed {
            calls: vec![("get_weather".to_owned(), json!({"city": "Oslo", "days": 1}))],
            text: "It is 7 °C in Oslo.".to_owned(),
            status: TurnStatus::Completed,
            error: None,
            surprises: Vec::new(),
            not_requested: Vec::new(),
        }
    }

    #[test]
    fn a_turn_as_expected_has_no_differences() {
        let expected = turn(
            "{message: m, calls: [{tool: get_weather, arguments: {days: 1.0}}], answer: {contains: [7 °C], excludes: \
             [snow]}}",
        );
        assert_eq!(differences(&expected, &observed()), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_a_sentence() {
        let expected = turn(
            "{message: m, calls: [{tool: get_weather, arguments: {city: Rome}}], answer: {equals: x, contains: [Rome], \
             excludes: [Oslo]}}",
        );
        let failed = Observed {
            status: TurnStatus::Failed,
            error: Some("no model".to_owned()),
            surprises: vec!["pay".to_owned()],
            ..observed()
        };
        assert_eq!(
            differences(&expected, &failed),
            [
                "the turn is failed: no model",
                r#"the arguments of get_weather are {"city":"Oslo","days":1}, expected {"city":"Rome"}"#,
                "pay asked for an approval that the script does not have; it was rejected",
                r#"the answer is "It is 7 °C in Oslo.", expected "x""#,
                r#"the answer "It is 7 °C in Oslo." does not contain "Rome""#,
                r#"the answer "It is 7 °C in Oslo." contains "Oslo""#,
            ]
        );
        let none = turn("{message: m, calls: []}");
        assert_eq!(
            differences(&none, &observed()),
            ["the tool calls are get_weather, expected none"]
        );
    }
}
