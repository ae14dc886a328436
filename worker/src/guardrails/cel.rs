//! Evaluates guardrails that are CEL expressions. A check that cannot be evaluated
//! is an error and never a pass. Blocks, and needs a large stack; call it by
//! [`steadfast_process::BlockingWork`].

use steadfast_bounds::OutOfBounds;
use steadfast_cel::{CompileError, EvaluateError, Expression, Subject};
use steadfast_contract::activities::{CelCheck, GuardrailResult};
use steadfast_events::GuardrailStage;

#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardrailError {
    #[error("the guardrail {name:?} cannot be used: {source}")]
    OutOfBounds { name: String, source: OutOfBounds },
    #[error("the guardrail {name:?} is not a CEL expression: {reason}")]
    Compile { name: String, reason: String },
    #[error("the guardrail {name:?} cannot be evaluated: {reason}")]
    Evaluate { name: String, reason: String },
    #[error("the guardrail {name:?} returns the type {kind}; it must return a bool")]
    NotBool { name: String, kind: String },
}

/// Evaluates every check on the text, also after one has tripped, so that people learn of all of them.
pub(crate) fn check_cel(check: &CelCheck, text: &str) -> Result<Vec<GuardrailResult>, GuardrailError> {
    let subject = Subject {
        text,
        stage: stage_name(check.stage),
        agent: &check.agent,
    };
    let results = check.checks.iter().map(|(name, expression)| {
        Ok(GuardrailResult {
            name: name.clone(),
            tripped: evaluate(name, expression, subject)?,
            reason: String::new(),
        })
    });
    results.collect()
}

fn evaluate(name: &str, expression: &str, subject: Subject<'_>) -> Result<bool, GuardrailError> {
    let name = || name.to_owned();
    let compiled = Expression::compile(expression).map_err(|error| match error {
        CompileError::OutOfBounds(source) => GuardrailError::OutOfBounds { name: name(), source },
        CompileError::Syntax(reason) => GuardrailError::Compile { name: name(), reason },
    })?;
    compiled.evaluate(subject).map_err(|error| match error {
        EvaluateError::Failed(reason) => GuardrailError::Evaluate { name: name(), reason },
        EvaluateError::NotBool(kind) => GuardrailError::NotBool { name: name(), kind },
    })
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
    use steadfast_bounds::cel;

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
    }

    #[test]
    fn an_expression_out_of_bounds_is_refused_before_it_is_parsed() {
        let long = format!("text == '{}'", "x".repeat(cel::MAXIMUM_BYTES));
        assert!(matches!(
            check_cel(&check(&[&long]), "hi"),
            Err(GuardrailError::OutOfBounds { .. })
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
    fn the_size_of_a_text_is_its_number_of_characters() {
        assert_eq!(tripped(&["text.size() > 4", "size(text) > 5"], "wörld"), [true, false]);
    }

    #[test]
    fn a_megabyte_of_text_is_checked() {
        assert_eq!(
            tripped(&["text.matches('z$')", "text.size() > 1000000"], &"x".repeat(1 << 20)),
            [false, true]
        );
    }

    /// On the stack of a test: two megabytes.
    #[test]
    fn the_largest_expressions_within_the_bounds_are_evaluated() {
        let nested = |open: &str, close: &str| {
            let levels = cel::MAXIMUM_NESTING;
            format!("{}true{}", open.repeat(levels), close.repeat(levels))
        };
        let largest = [
            nested("(", ")"),
            nested("!(", ")"),
            format!("1{} > 0", "+1".repeat(cel::MAXIMUM_OPERATIONS - 1)),
            format!("true{}", "&&true".repeat(cel::MAXIMUM_OPERATIONS)),
            format!("{}true", "true?true:".repeat(cel::MAXIMUM_CONDITIONALS)),
        ];
        for expression in &largest {
            check_cel(&check(&[expression]), "hi").unwrap_or_else(|error| panic!("{expression}: {error}"));
        }
    }
}
