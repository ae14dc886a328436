//! What of an Agent's own words could fail only when a turn runs: the schema of
//! its answer, the expressions of its guardrails, its schedules. Pure.

use std::panic::catch_unwind;

use steadfast_crds::{
    Agent,
    agent::{Guardrail, OutputSettings, Schedule},
    conditions::{ConditionType, Reason},
};

use crate::{conditions::Problem, defect::Defect, schema_rules};

/// Fields of a cron expression: minutes to weekdays, and a year and seconds where they are given.
const CRON_FIELDS: std::ops::RangeInclusive<usize> = 5..=7;

/// Tells of everything that is wrong.
pub fn check(agent: &Agent, problems: &mut Vec<Problem>) {
    let spec = &agent.spec;
    let output = spec.output.iter().map(check_output);
    let guardrails = &spec.guardrails;
    let input_checks = guardrails.input.iter().map(|check| check_expression("input", check));
    let output_checks = guardrails.output.iter().map(|check| check_expression("output", check));
    let schedules = spec.schedules.iter().map(check_schedule);
    let all = output.chain(input_checks).chain(output_checks).chain(schedules);
    problems.extend(
        all.filter_map(Result::err)
            .map(|defect| Problem::new(ConditionType::Accepted, defect.reason, defect.message)),
    );
}

fn check_output(output: &OutputSettings) -> Result<(), Defect> {
    let field = "output.schema";
    if output.strict {
        schema_rules::check_strict(field, &output.schema)
    } else {
        schema_rules::check(field, &output.schema)
    }
}

fn check_expression(stage: &str, guardrail: &Guardrail) -> Result<(), Defect> {
    let Some(expression) = guardrail.cel.as_deref() else {
        return Ok(());
    };
    // The parser is generated code with panics in it: what somebody types must not end the reconciliation.
    let parsed = catch_unwind(|| {
        cel::Program::compile(expression)
            .map(drop)
            .map_err(|error| error.to_string())
    });
    let cause = match parsed {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(message)) => first_line(&message),
        Err(_) => "it cannot be parsed".to_owned(),
    };
    Err(Defect {
        reason: Reason::InvalidExpression,
        message: format!(
            "guardrails.{stage}[{}].cel is not a CEL expression: {cause}",
            guardrail.name
        ),
    })
}

/// The parser writes a picture of the place below.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.trim_start_matches("ERROR: <input>:").to_owned()
}

fn check_schedule(schedule: &Schedule) -> Result<(), Defect> {
    let cron = schedule.cron.trim();
    let problem = if schedule.message.trim().is_empty() {
        "message is empty"
    } else if schedule.time_zone.trim().is_empty() {
        "timeZone is empty; the default is UTC"
    } else if cron.is_empty() {
        "cron is empty"
    } else if !cron.starts_with('@') && !CRON_FIELDS.contains(&cron.split_whitespace().count()) {
        "cron has neither 5 to 7 fields nor the form @daily"
    } else {
        return Ok(());
    };
    Err(Defect {
        reason: Reason::InvalidSchedule,
        message: format!("schedules[{}].{problem}", schedule.name),
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::needless_pass_by_value,
        reason = "tests"
    )]
    use serde_json::{Value, json};

    use super::*;

    fn problems(field: &str, value: Value) -> Vec<(Reason, String)> {
        let mut spec = json!({ "instructions": "Answer.", "model": { "name": "m" } });
        spec[field] = value;
        let agent = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "weather", "namespace": "team" }, "spec": spec,
        });
        let mut problems = Vec::new();
        check(&serde_json::from_value(agent).unwrap(), &mut problems);
        problems.into_iter().map(|p| (p.reason, p.message)).collect()
    }

    #[test]
    fn an_expression_that_cannot_be_read_is_told_with_its_place() {
        let rail = |cel: &str| json!({ "output": [{ "name": "short", "cel": cel }] });
        for valid in [
            "text.size() > 10000",
            "stage == 'input' && text.contains('password')",
            "['a', 'b'].exists(word, text.contains(word))",
            "text.matches('[0-9]{16}')",
        ] {
            assert_eq!(problems("guardrails", rail(valid)), [], "{valid}");
        }
        for broken in [
            "text.size( > 1",
            "text ==",
            "&& true",
            "'open",
            "a b",
            "{",
            "\u{0}",
            "ä ö",
        ] {
            let found = problems("guardrails", rail(broken));
            let [(reason, message)] = found.as_slice() else {
                panic!("{broken}: {found:?}")
            };
            assert_eq!(*reason, Reason::InvalidExpression, "{broken}");
            let start = "guardrails.output[short].cel is not a CEL expression: ";
            assert!(message.starts_with(start) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_schema_is_held_to_strict_mode_only_when_the_provider_enforces_it() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
        assert_eq!(problems("output", json!({ "schema": schema, "strict": false })), []);
        assert_eq!(
            problems("output", json!({ "schema": schema })),
            [(
                Reason::InvalidSchema,
                "output.schema is not strict: set additionalProperties: false at the top, \
                 add a to required at the top; or set strict: false"
                    .to_owned()
            )]
        );
        let none = json!({ "schema": { "type": "text" }, "strict": false });
        assert_eq!(problems("output", none)[0].0, Reason::InvalidSchema);
    }

    #[test]
    fn a_schedule_says_when_and_what() {
        let schedule = |cron: &str, zone: &str, message: &str| {
            let schedule = json!([{ "name": "daily", "cron": cron, "timeZone": zone, "message": message }]);
            problems("schedules", schedule)
                .into_iter()
                .map(|(reason, message)| {
                    assert_eq!(reason, Reason::InvalidSchedule);
                    message
                })
                .collect::<Vec<_>>()
        };
        for cron in ["@daily", "0 9 * * MON-FRI", "0 9 * * * 2030", "@every 1h"] {
            assert_eq!(schedule(cron, "Europe/Berlin", "Go."), [""; 0], "{cron}");
        }
        assert_eq!(schedule("  ", "UTC", "Go."), ["schedules[daily].cron is empty"]);
        assert_eq!(
            schedule("* *", "UTC", "Go."),
            ["schedules[daily].cron has neither 5 to 7 fields nor the form @daily"]
        );
        assert_eq!(
            schedule("@daily", " ", "Go."),
            ["schedules[daily].timeZone is empty; the default is UTC"]
        );
        assert_eq!(schedule("@daily", "UTC", "\n"), ["schedules[daily].message is empty"]);
    }
}
