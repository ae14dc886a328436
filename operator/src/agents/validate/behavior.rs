//! Checks the parts of an Agent that would otherwise fail when a turn runs: the
//! schema of the answer, the expressions of guardrails, the schedules. Pure.

use steadfast_bounds::OutOfBounds;
use steadfast_cel::{CompileError, Refusal, admit};
use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    Agent,
    agent::{Guardrail, OutputSettings, Schedule},
    conditions::Reason,
};

use crate::{
    schedules::cron,
    validation::{ValidationError, json_schema},
};

/// Adds all errors.
pub(super) fn check(agent: &Agent, queues: &NamespaceQueues, errors: &mut Vec<ValidationError>) {
    let spec = &agent.spec;
    let output = spec.output.iter().map(check_output);
    let guardrails = &spec.guardrails;
    let input_checks = guardrails.input.iter().map(|check| check_expression("input", check));
    let output_checks = guardrails.output.iter().map(|check| check_expression("output", check));
    let schedules = spec.schedules.iter().map(check_schedule);
    let targets = check_targets(agent, queues).into_iter().map(Err);
    let all = output
        .chain(input_checks)
        .chain(output_checks)
        .chain(schedules)
        .chain(targets);
    errors.extend(all.filter_map(Result::err));
}

/// Hooks and guardrails start activities, as tools do.
fn check_targets(agent: &Agent, queues: &NamespaceQueues) -> Vec<ValidationError> {
    let hooks = agent.spec.hooks.iter().enumerate();
    let of_hooks = hooks.map(|(index, hook)| (format!("hooks[{index}]"), queues.check_hook(hook)));
    let of_guardrails = ("guardrails".to_owned(), queues.check_guardrails(&agent.spec.guardrails));
    of_hooks
        .chain([of_guardrails])
        .filter_map(|(field, result)| Some((field, result.err()?)))
        .map(|(field, error)| ValidationError::not_accepted(Reason::ForbiddenTarget, format!("{field}: {error}")))
        .collect()
}

fn check_output(output: &OutputSettings) -> Result<(), ValidationError> {
    let field = "output.schema";
    if output.strict {
        json_schema::check_strict(field, &output.schema)
    } else {
        json_schema::check(field, &output.schema)
    }
}

fn check_expression(stage: &str, guardrail: &Guardrail) -> Result<(), ValidationError> {
    let Some(expression) = guardrail.cel.as_deref() else {
        return Ok(());
    };
    let fault = match admit(expression, stage) {
        Ok(()) => return Ok(()),
        Err(Refusal::Compile(
            CompileError::Syntax(message) | CompileError::OutOfBounds(OutOfBounds::Malformed(message)),
        )) => {
            format!("is not a CEL expression: {message}")
        }
        Err(Refusal::Compile(CompileError::OutOfBounds(bound))) => format!("cannot be used: {bound}"),
        Err(refusal) => format!("cannot trip as it is meant: {refusal}"),
    };
    Err(ValidationError::not_accepted(
        Reason::InvalidExpression,
        format!("guardrails.{stage}[{}].cel {fault}", guardrail.name),
    ))
}

fn check_schedule(schedule: &Schedule) -> Result<(), ValidationError> {
    let fault = if schedule.message.trim().is_empty() {
        "message is empty".to_owned()
    } else if schedule.time_zone.trim().is_empty() {
        "timeZone is empty; the default is UTC".to_owned()
    } else {
        match cron::translate(&schedule.cron) {
            Ok(_) => return Ok(()),
            Err(fault) => format!("cron {fault}"),
        }
    };
    Err(ValidationError::not_accepted(
        Reason::InvalidSchedule,
        format!("schedules[{}].{fault}", schedule.name),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "tests")]
    use serde_json::{Value, json};
    use steadfast_bounds::cel;

    use super::*;

    fn errors(field: &str, value: Value) -> Vec<(Reason, String)> {
        let mut spec = json!({ "instructions": "Answer.", "model": { "name": "m" } });
        spec[field] = value;
        let agent = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "weather", "namespace": "team" }, "spec": spec,
        });
        let mut errors = Vec::new();
        let queues = NamespaceQueues::new("prod", "team");
        check(&serde_json::from_value(agent).unwrap(), &queues, &mut errors);
        errors.into_iter().map(|error| (error.reason, error.message)).collect()
    }

    #[test]
    fn an_invalid_expression_is_reported_with_the_name_of_its_guardrail() {
        let rail = |cel: &str| json!({ "output": [{ "name": "short", "cel": cel }] });
        for valid in [
            "text.size() > 10000",
            "stage == 'output' && text.contains('password')",
            "['a', 'b'].exists(word, text.contains(word))",
            "text.matches('[0-9]{16}')",
        ] {
            assert_eq!(errors("guardrails", rail(valid)), [], "{valid}");
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
            let found = errors("guardrails", rail(broken));
            let [(reason, message)] = found.as_slice() else {
                panic!("{broken}: {found:?}")
            };
            assert_eq!(*reason, Reason::InvalidExpression, "{broken}");
            let start = "guardrails.output[short].cel is not a CEL expression: ";
            assert!(message.starts_with(start) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn an_expression_that_passes_every_text_in_silence_is_reported() {
        for (cel, reason) in [
            ("text.nope", "a string has no member \"nope\""),
            ("text == 5", "it compares a string with an int, which are never equal"),
            ("text.size()", "it returns an int; it must return a bool"),
            (
                "stage == 'output' && text.contains('a')",
                "it is always false at the stage \"input\"",
            ),
        ] {
            let found = errors("guardrails", json!({ "input": [{ "name": "short", "cel": cel }] }));
            let message = format!("guardrails.input[short].cel cannot trip as it is meant: {reason}");
            assert_eq!(found, [(Reason::InvalidExpression, message)]);
        }
    }

    #[test]
    fn hooks_and_guardrails_start_nothing_in_another_namespace() {
        let activity = |queue: &str| json!({ "name": "act", "taskQueue": queue });
        let hook = |queue: &str| json!([{ "events": ["ToolStarted"], "activity": activity(queue) }]);
        let rail = |queue: &str| json!({ "input": [{ "name": "check", "activity": activity(queue) }] });
        for queue in ["prod/team/agent/other", "checks"] {
            assert_eq!(errors("hooks", hook(queue)), [], "{queue}");
            assert_eq!(errors("guardrails", rail(queue)), [], "{queue}");
        }
        let foreign = "prod/payments/agent/desk";
        for found in [errors("hooks", hook(foreign)), errors("guardrails", rail(foreign))] {
            assert_eq!(found[0].0, Reason::ForbiddenTarget, "{found:?}");
        }
    }

    #[test]
    fn an_expression_out_of_bounds_is_reported_with_the_bound() {
        let levels = cel::MAXIMUM_NESTING + 1;
        let deep = format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
        let found = errors("guardrails", json!({ "input": [{ "name": "deep", "cel": deep }] }));
        assert_eq!(
            found,
            [(
                Reason::InvalidExpression,
                "guardrails.input[deep].cel cannot be used: its brackets are nested deeper than 16 levels".to_owned()
            )]
        );
    }

    #[test]
    fn a_schema_must_satisfy_strict_mode_only_if_the_provider_enforces_it() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
        assert_eq!(errors("output", json!({ "schema": schema, "strict": false })), []);
        assert_eq!(
            errors("output", json!({ "schema": schema })),
            [(
                Reason::InvalidSchema,
                "output.schema is not strict: set additionalProperties: false at the top, \
                 add a to required at the top; or set strict: false"
                    .to_owned()
            )]
        );
        let none = json!({ "schema": { "type": "text" }, "strict": false });
        assert_eq!(errors("output", none)[0].0, Reason::InvalidSchema);
    }

    #[test]
    fn a_schedule_needs_a_time_and_a_message() {
        let schedule = |cron: &str, zone: &str, message: &str| {
            let schedule = json!([{ "name": "daily", "cron": cron, "timeZone": zone, "message": message }]);
            errors("schedules", schedule)
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
