//! The CEL expressions of guardrails. The library has no types: a member that does not
//! exist and a comparison of a text with a number are false there, so that a check would
//! pass every text without an error. [`admit`] finds such expressions before they are
//! used; [`Expression`] evaluates the others.
//!
//! Pure and blocking: CEL cannot limit the work of an expression, so only one within the
//! bounds of `steadfast-bounds` is parsed.

#![warn(missing_docs)]

mod constant;
mod functions;
mod types;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::cel::{Context, Program, Value, common::ast::Expr};
use steadfast_bounds::{OutOfBounds, cel};

/// What an expression judges.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The message or the answer.
    pub text: &'a str,
    /// `input` or `output`.
    pub stage: &'a str,
    /// Name of the agent.
    pub agent: &'a str,
}

/// The values of `stage`.
pub const STAGES: [&str; 2] = ["input", "output"];
/// Texts for which each admitted expression has a value.
const SAMPLES: [&str; 3] = ["", "a", "Hello, wörld! 42"];

/// Why an expression cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is too long or too deep, or has a character or a construct that no expression has.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// It is no CEL.
    #[error("{0}")]
    Syntax(String),
}

/// Why an expression has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// The evaluation failed.
    #[error("{0}")]
    Failed(String),
    /// The answer is neither true nor false.
    #[error("it returns the type {0}; it must return a bool")]
    NotBool(String),
}

/// Why an expression is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be parsed.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It means something that does not exist, or compares what is never equal.
    #[error("{0}")]
    Type(String),
    /// It fails for some text.
    #[error("for the text {text:?} {error}")]
    Fails {
        /// The text.
        text: &'static str,
        /// What happens.
        error: EvaluateError,
    },
    /// It is false whatever the text.
    #[error("it refers to nothing and is always false")]
    AlwaysFalse,
    /// It is false at its stage, whatever the text.
    #[error("it is always false at the stage {0:?}")]
    NeverAtStage(String),
}

/// An expression that can be evaluated.
#[derive(Debug)]
pub struct Expression(Program);

impl Expression {
    /// Parses an expression within the bounds.
    pub fn compile(expression: &str) -> Result<Self, CompileError> {
        // The parser is generated code that can panic.
        let parse = |expression| catch_unwind(AssertUnwindSafe(|| Program::compile(expression)));
        match cel::parse_with(expression, parse)? {
            Ok(Ok(program)) => Ok(Self(program)),
            Ok(Err(errors)) => Err(CompileError::Syntax(first_line(&errors.to_string()))),
            Err(_) => Err(CompileError::Syntax("it cannot be parsed".to_owned())),
        }
    }

    /// Whether the expression is true.
    pub fn evaluate(&self, subject: Subject<'_>) -> Result<bool, EvaluateError> {
        let mut context = Context::default();
        functions::add(&mut context);
        context.add_variable_from_value("text", subject.text);
        context.add_variable_from_value("stage", subject.stage);
        context.add_variable_from_value("agent", subject.agent);
        match self.0.execute(&context) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(EvaluateError::NotBool(other.type_of().to_string())),
            Err(error) => Err(EvaluateError::Failed(error.to_string())),
        }
    }

    fn expression(&self) -> &Expr {
        &self.0.expression().expr
    }
}

/// Checks that an expression can be used as a guardrail of a stage: that it can be evaluated for every text, and that it
/// can trip.
pub fn admit(expression: &str, stage: &str) -> Result<(), Refusal> {
    let compiled = Expression::compile(expression)?;
    let facts = types::check(compiled.expression()).map_err(Refusal::Type)?;
    let mut answers = Vec::new();
    for text in samples(facts.nested_loops) {
        let subject = Subject {
            text,
            stage,
            agent: "agent",
        };
        let answer = compiled.evaluate(subject);
        answers.push(answer.map_err(|error| Refusal::Fails { text, error })?);
    }
    if facts.is_constant && answers.iter().all(|answer| !answer) {
        return Err(Refusal::AlwaysFalse);
    }
    if constant::answer(compiled.expression(), stage) == Some(false) {
        return Err(Refusal::NeverAtStage(stage.to_owned()));
    }
    Ok(())
}

/// A loop within a loop may be slow: it is evaluated for one text.
const fn samples(nested_loops: usize) -> &'static [&'static str] {
    if nested_loops > 1 {
        SAMPLES.split_at(1).0
    } else {
        &SAMPLES
    }
}

/// The first line of the parser's message; the others draw the position.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.trim_start_matches("ERROR: <input>:").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(expression: &str) -> String {
        match admit(expression, "input") {
            Ok(()) => panic!("{expression} is admitted"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn expressions_that_can_trip_are_admitted() {
        for expression in [
            "text.size() > 10000",
            "size(text) >= 3 && size(text) < 5.5",
            "stage == 'input' && text.contains('password')",
            "stage in ['input'] || agent == 'other' || !(agent in ['a', 'b'])",
            "['a', 'b'].exists(word, text.contains(word))",
            "['a', 'b'].all(a, ['c'].exists_one(b, text.contains(a + b)))",
            "['a'].map(word, word + text).filter(word, word != 'a').size() == 1",
            "text.matches('(?i)[0-9]{16}') || !text.startsWith('a') && text.endsWith('b')",
            "text == '' ? stage == 'output' : text < 'm'",
            "{'a': 1, 'b': 2}['a'] == 1 && text != 'x'",
            "text.size() + 2 * 3 - 1 > -4 && text.size() % 2 == 0",
            "string(text.size()) + 'x' == text && double(text.size()) / 2.0 > 1.5",
            "text in {'a': true} || duration('1h') > duration('1m')",
            "true",
        ] {
            assert_eq!(admit(expression, "input"), Ok(()), "{expression}");
        }
    }

    #[test]
    fn an_expression_that_cannot_trip_is_refused() {
        for (expression, reason) in [
            ("text.nope", "a string has no member \"nope\""),
            ("text.nope == 'x'", "a string has no member \"nope\""),
            ("has(text.nope)", "a string has no member \"nope\""),
            ("text.length() > 5", "there is no function \"length\""),
            ("text.lowerAscii() == 'a'", "there is no function \"lowerAscii\""),
            ("text == 5", "compares a string with an int"),
            ("5 != text", "compares an int with a string"),
            ("text.size() == 5.0", "compares an int with a double"),
            ("text.size() == '5'", "compares an int with a string"),
            ("text > 5", "compares a string with an int"),
            ("text == null", "compares a string with null"),
            ("text in [1, 2]", "looks for a string in a list of int"),
            ("text in 'abc'", "a string is no list"),
            ("text.contains(5)", "contains takes a string and not an int"),
            ("text.matches(5)", "matches takes a string and not an int"),
            ("text.startsWith(agent.name)", "a string has no member \"name\""),
            ("text.matches('(')", "\"(\" is no regular expression"),
            ("false && text.nope", "a string has no member \"nope\""),
            ("text == 'a' || message == 'b'", "there is no variable \"message\""),
            ("input == text", "there is no variable \"input\""),
            (
                "stage == 'inlet' && text == 'a'",
                "stage is \"input\" or \"output\" and never \"inlet\"",
            ),
            (
                "stage in ['in', 'output']",
                "stage is \"input\" or \"output\" and never \"in\"",
            ),
            ("text[0] == 'a'", "a string has no elements"),
            ("text - 'a' == 'b'", "a string and a string cannot be subtracted"),
            ("text + 1 == 'a1'", "a string and an int cannot be added"),
            ("['a'].exists(word, word)", "a string is no bool"),
            ("text && true", "a string is no bool"),
            ("!text", "a string is no bool"),
            ("text ? true : false", "a string is no bool"),
            ("text", "it returns a string; it must return a bool"),
            ("text.size()", "it returns an int; it must return a bool"),
            ("[text]", "it returns a list of string"),
            ("1 == 2", "always false"),
            ("false", "always false"),
            ("1 / 0 == 1", "for the text \"\""),
            ("100 / text.size() > 3", "for the text \"\""),
            ("int(text) > 3", "for the text \"\""),
            ("['a'][1] == text", "for the text \"\""),
            ("size(text, text) > 1", "size takes 1 argument"),
            ("text.size(1) > 1", "size takes 1 argument"),
            ("size(5) > 1", "size takes a string, a list or a map and not an int"),
        ] {
            let refusal = refused(expression);
            assert!(refusal.contains(reason), "{expression}: {refusal}");
        }
    }

    #[test]
    fn an_expression_that_is_false_whatever_the_text_is_refused() {
        for expression in [
            "stage == 'output'",
            "stage != 'input' && text.contains('a')",
            "'output' == stage && text.size() > 5",
            "!(stage == 'input') && text.contains('a')",
            "stage in ['output'] && text.contains('a')",
            "stage == 'input' ? false : text.contains('a')",
            "(text.contains('a') && stage == 'output') || text.size() < 0",
            "text.size() < 0",
            "size(text) == -1",
            "0 > text.size()",
            "text.size() <= -5 || false",
            "text == 'yes' && text == 'no'",
            "text.contains('a') && agent == 'a' && agent == 'b'",
        ] {
            let reason = "it is always false at the stage \"input\"";
            assert!(refused(expression).contains(reason), "{expression}");
        }
        for expression in [
            "stage == 'output' || text.contains('a')",
            "stage == 'output' ? text.size() > 5 : text.size() > 3",
            "!(stage == 'output') && text.contains('a')",
            "text.size() > -1",
            "text.size() == 0",
            "text == 'yes' || text == 'no'",
            "text == 'yes' && (agent == 'a' || agent == 'b')",
        ] {
            assert_eq!(admit(expression, "input"), Ok(()), "{expression}");
        }
        assert_eq!(admit("stage == 'output'", "output"), Ok(()));
    }

    #[test]
    fn the_size_of_a_text_is_its_number_of_characters() {
        let is = |expression: &str, text| {
            let subject = Subject {
                text,
                stage: "input",
                agent: "a",
            };
            Expression::compile(expression).unwrap().evaluate(subject).unwrap()
        };
        assert!(is("text.size() == 5 && size(text) == 5", "wörld"));
        assert!(is("size('🦀') == 1 && size(b'ä') == 2", ""));
        assert!(is("[1, 2].size() == 2 && size({'a': 1}) == 1", ""));
    }

    #[test]
    fn an_expression_that_is_none_is_refused_with_the_place() {
        assert!(matches!(
            admit("text ==", "input"),
            Err(Refusal::Compile(CompileError::Syntax(_)))
        ));
        let levels = cel::MAXIMUM_NESTING + 1;
        let deep = format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
        assert!(matches!(
            admit(&deep, "input"),
            Err(Refusal::Compile(CompileError::OutOfBounds(_)))
        ));
    }
}
