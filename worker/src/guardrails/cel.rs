//! Evaluates guardrails that are CEL expressions. A check that cannot be evaluated
//! is an error and never a pass. CEL cannot limit the work of an expression: this
//! module limits its length and its nesting. The evaluation has no deadline of its
//! own: the activity fails at its timeout, and the thread runs to its end. Blocks;
//! call it outside of the async threads.

use std::thread;

use cel::{Context, Program, Value};
use steadfast_contract::activities::{CelCheck, GuardrailResult};
use steadfast_events::GuardrailStage;

/// Longest expression that admission accepts.
const MAXIMUM_EXPRESSION_BYTES: usize = 4_096;
/// Deepest nesting of brackets and signs: the parser recurses for each of them.
const MAXIMUM_NESTING: usize = 64;
/// Enough for the longest chain of operators in an expression; the system commits only the pages that are used.
const STACK_BYTES: usize = 128 << 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardrailError {
    #[error("the guardrail {name:?} is longer than {MAXIMUM_EXPRESSION_BYTES} bytes")]
    TooLong { name: String },
    #[error("the guardrail {name:?} is nested deeper than {MAXIMUM_NESTING} levels")]
    TooDeep { name: String },
    #[error("start the thread that evaluates the guardrails")]
    Start(#[source] std::io::Error),
    #[error("the evaluation of the guardrails panicked")]
    Panicked,
    #[error("the guardrail {name:?} is not a CEL expression: {reason}")]
    Compile { name: String, reason: String },
    #[error("the guardrail {name:?} cannot be evaluated: {reason}")]
    Evaluate { name: String, reason: String },
    #[error("the guardrail {name:?} returns the type {kind}; it must return a bool")]
    NotBool { name: String, kind: String },
}

/// Evaluates every check on the text, also after one has tripped, so that people learn of all of them.
pub(crate) fn check_cel(check: &CelCheck, text: &str) -> Result<Vec<GuardrailResult>, GuardrailError> {
    thread::scope(|scope| {
        let evaluation = thread::Builder::new()
            .name("guardrails".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || check_all(check, text))
            .map_err(GuardrailError::Start)?;
        evaluation.join().map_err(|_| GuardrailError::Panicked)?
    })
}

fn check_all(check: &CelCheck, text: &str) -> Result<Vec<GuardrailResult>, GuardrailError> {
    let mut context = Context::default();
    context.add_variable_from_value("text", text);
    context.add_variable_from_value("stage", stage_name(check.stage));
    context.add_variable_from_value("agent", check.agent.as_str());
    let results = check.checks.iter().map(|(name, expression)| {
        Ok(GuardrailResult {
            name: name.clone(),
            tripped: evaluate(name, expression, &context)?,
            reason: String::new(),
        })
    });
    results.collect()
}

fn evaluate(name: &str, expression: &str, context: &Context<'_>) -> Result<bool, GuardrailError> {
    let name = || name.to_owned();
    if expression.len() > MAXIMUM_EXPRESSION_BYTES {
        return Err(GuardrailError::TooLong { name: name() });
    }
    if nesting(expression) > MAXIMUM_NESTING {
        return Err(GuardrailError::TooDeep { name: name() });
    }
    let program = Program::compile(expression).map_err(|error| GuardrailError::Compile {
        name: name(),
        reason: error.to_string(),
    })?;
    let value = program.execute(context).map_err(|error| GuardrailError::Evaluate {
        name: name(),
        reason: error.to_string(),
    })?;
    match value {
        Value::Bool(tripped) => Ok(tripped),
        other => Err(GuardrailError::NotBool {
            name: name(),
            kind: other.type_of().to_string(),
        }),
    }
}

/// The deepest nesting. Brackets in string literals count too: the result may be too high, never too low.
fn nesting(expression: &str) -> usize {
    let (mut brackets, mut signs, mut deepest) = (0_usize, 0_usize, 0_usize);
    for character in expression.chars() {
        match character {
            '(' | '[' | '{' => brackets += 1,
            ')' | ']' | '}' => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        match character {
            '!' | '-' => signs += 1,
            _ if character.is_whitespace() => {}
            _ => signs = 0,
        }
        deepest = deepest.max(brackets + signs);
    }
    deepest
}

const fn stage_name(stage: GuardrailStage) -> &'static str {
    match stage {
        GuardrailStage::Input => "input",
        GuardrailStage::Output => "output",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_agent_loop::SegmentRef;

    fn check(expressions: &[&str]) -> CelCheck {
        CelCheck {
            stage: GuardrailStage::Input,
            agent: "haiku".to_owned(),
            checks: expressions
                .iter()
                .enumerate()
                .map(|(index, expression)| (format!("c{index}"), (*expression).to_owned()))
                .collect(),
            subject: SegmentRef::Model(1, 0),
        }
    }

    fn tripped(expressions: &[&str], text: &str) -> Vec<bool> {
        let results = check_cel(&check(expressions), text).unwrap();
        results.into_iter().map(|result| result.tripped).collect()
    }

    #[test]
    fn true_trips_and_false_passes() {
        let expressions = [
            "text.size() > 10",
            "text.contains('secret')",
            "text.matches('(?i)SECRET')",
            "stage == 'input' && agent == 'haiku'",
        ];
        assert_eq!(tripped(&expressions, "a secret"), [false, true, true, true]);
    }

    #[test]
    fn a_check_that_cannot_be_evaluated_is_an_error() {
        for expression in ["text.size(", "nobody == 1", "text", "text.size()", "1 / 0 == 1", ""] {
            assert!(check_cel(&check(&["false", expression]), "hi").is_err(), "{expression}");
        }
        let long = format!("text == '{}'", "x".repeat(MAXIMUM_EXPRESSION_BYTES));
        assert!(matches!(
            check_cel(&check(&[&long]), "hi"),
            Err(GuardrailError::TooLong { .. })
        ));
    }

    #[test]
    fn an_error_names_the_check() {
        let error = check_cel(&check(&["false", "text.size()"]), "hi").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the guardrail \"c1\" returns the type int; it must return a bool"
        );
    }

    #[test]
    fn a_megabyte_of_text_is_checked() {
        assert_eq!(
            tripped(&["text.matches('z$')", "text.size() > 1000000"], &"x".repeat(1 << 20)),
            [false, true]
        );
    }

    #[test]
    fn an_expression_cannot_bring_the_process_down() {
        let deep = [
            format!("{}true{}", "(".repeat(2_000), ")".repeat(2_000)),
            "!".repeat(4_000),
            "! ".repeat(2_000),
            format!("{}1", "-".repeat(4_000)),
            "[".repeat(4_000),
            "f(".repeat(2_000),
        ];
        for expression in &deep {
            assert!(check_cel(&check(&[expression]), "hi").is_err(), "{expression}");
        }
        let chains = [
            format!("1{} > 0", "+1".repeat(2_000)),
            format!("true{}", "&&true".repeat(680)),
            format!("{}true", "true?true:".repeat(400)),
            format!("text{}", ".a".repeat(2_000)),
        ];
        for expression in &chains {
            drop(check_cel(&check(&[expression]), "hi"));
        }
    }
}
