//! What may be said to an approval, and what became of it. Pure, but for looking
//! an approval up in its log.

use std::time::Duration;

use serde_json::Value;
use steadfast_contract::signals::Decide;
use steadfast_events::{Approval, Decision, Event, EventKind};
use uuid::Uuid;

use crate::{
    directory::{AgentName, Naming},
    task::TaskRecord,
    wire::{self, ApprovalDecision, Ruling},
};

mod trace;

pub use trace::{Trace, trace};

/// Namespace of the request ids of decisions (a fixed random UUID).
const REQUEST_IDS: Uuid = Uuid::from_u128(0x71c0_6be2_5d3f_4a8e_9b14_e0a7_2fd6_583c);
/// Misfits that are told at once.
const TOLD_MISFITS: usize = 5;

/// The agent that asks: another than the task's after a handoff. References stay in a namespace.
pub fn asking_agent(task: &TaskRecord, approval: &Approval) -> AgentName {
    if approval.agent.is_empty() {
        task.agent.clone()
    } else {
        AgentName::new(&task.agent.namespace, &approval.agent)
    }
}

/// An approval as clients see it.
pub fn to_wire(naming: &Naming, task: &TaskRecord, asked: Approval, ruling: Ruling) -> wire::Approval {
    wire::Approval {
        agent_name: asking_agent(task, &asked).for_clients(naming),
        task_id: task.id.clone(),
        parent_task_id: task.is_nested().then(|| task.log_id.clone()),
        asked,
        ruling,
    }
}

/// What an event says became of an approval.
pub fn ruling_in(event: &Event, approval_id: &str) -> Option<Ruling> {
    match &event.kind {
        EventKind::ApprovalDecided {
            approval_id: id,
            decision,
        } if id == approval_id => Some(Ruling {
            decision: decision.verdict.into(),
            by: decision.by.clone(),
            reason: decision.reason.clone(),
        }),
        _ => None,
    }
}

/// Whether this is what was asked for, by who asked for it.
pub fn is_ruling_of(ruling: &Ruling, decision: &Decision) -> bool {
    ruling.decision == ApprovalDecision::from(decision.verdict) && ruling.by == decision.by
}

/// Why nothing can be decided any more.
pub fn in_words(ruling: &Ruling) -> String {
    let by = if ruling.by.is_empty() {
        String::new()
    } else {
        format!(" by {}", ruling.by)
    };
    match ruling.decision {
        ApprovalDecision::Pending => "the approval is pending".to_owned(),
        ApprovalDecision::Approved => format!("the approval was approved{by} already"),
        ApprovalDecision::Rejected => format!("the approval was rejected{by} already"),
        ApprovalDecision::Expired => "the approval has expired: nobody decided in time".to_owned(),
        ApprovalDecision::Withdrawn => "the approval was withdrawn: the turn ended before anybody decided".to_owned(),
    }
}

/// Makes sending the same decision again harmless.
pub fn request_id(decide: &Decide) -> String {
    // JSON keeps the parts apart, whatever they hold.
    let decision = &decide.decision;
    let name = serde_json::json!([
        decide.approval_id,
        decision.by,
        decision.verdict,
        decision.reason,
        decision.answer
    ]);
    Uuid::new_v5(&REQUEST_IDS, name.to_string().as_bytes()).to_string()
}

/// What of an answer does not fit the form that was shown, in words; nothing if it fits.
pub fn misfit(form: &Value, answer: &Value) -> Option<String> {
    if form.is_null() {
        return (!answer.is_null()).then(|| "it asks for yes or no only: leave out answer".to_owned());
    }
    if answer.is_null() {
        return Some("an answer that fits its form is required".to_owned());
    }
    let Ok(validator) = jsonschema::validator_for(form) else {
        // Nobody could ever decide it otherwise; what the answer must be like is the tool's to say.
        tracing::warn!("the form of an approval is no JSON Schema; its answer goes unchecked");
        return None;
    };
    let misfits: Vec<String> = validator
        .iter_errors(answer)
        .take(TOLD_MISFITS)
        .map(|error| match error.instance_path().to_string() {
            path if path.is_empty() => error.to_string(),
            path => format!("{path}: {error}"),
        })
        .collect();
    (!misfits.is_empty()).then(|| format!("the answer does not fit its form: {}", misfits.join("; ")))
}

/// Reads an age like `45s`, `10m`, `2h` or `3d`.
pub fn parse_age(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = is_number.then(|| number.parse().ok())??;
    count.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use steadfast_events::Verdict;

    use super::*;

    #[test]
    fn an_answer_must_fit_the_form_that_was_shown() {
        let form = json!({"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]});
        assert_eq!(misfit(&form, &json!({"size": 3})), None);
        assert_eq!(
            misfit(&form, &json!({"size": "three"})).as_deref(),
            Some("the answer does not fit its form: /size: \"three\" is not of type \"integer\"")
        );
        assert_eq!(
            misfit(&form, &json!({})).as_deref(),
            Some("the answer does not fit its form: \"size\" is a required property")
        );
        assert_eq!(
            misfit(&form, &Value::Null).as_deref(),
            Some("an answer that fits its form is required")
        );
    }

    #[test]
    fn without_a_form_there_is_no_answer() {
        assert_eq!(misfit(&Value::Null, &Value::Null), None);
        assert!(misfit(&Value::Null, &json!({"size": 3})).is_some());
    }

    #[test]
    fn a_form_that_is_no_schema_does_not_make_an_approval_undecidable() {
        assert_eq!(misfit(&json!({"type": "nonsense"}), &json!(1)), None);
    }

    #[test]
    fn an_age_has_a_number_and_a_unit() {
        assert_eq!(parse_age("45s"), Some(Duration::from_secs(45)));
        assert_eq!(parse_age("10m"), Some(Duration::from_mins(10)));
        assert_eq!(parse_age("2h"), Some(Duration::from_hours(2)));
        assert_eq!(parse_age("3d"), Some(Duration::from_hours(72)));
        for malformed in [
            "",
            "m",
            "10",
            "10 m",
            "-1m",
            "+1m",
            "1w",
            "1.5h",
            "99999999999999999999d",
            "1ä",
        ] {
            assert_eq!(parse_age(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn the_same_decision_has_the_same_request_id_and_another_one_has_another() {
        let decide = |by: &str, verdict, reason: &str| {
            request_id(&Decide {
                approval_id: "t.1.0.0".to_owned(),
                decision: Decision {
                    reason: reason.to_owned(),
                    by: by.to_owned(),
                    ..Decision::new(verdict)
                },
            })
        };
        let first = decide("alice", Verdict::Approved, "");
        assert_eq!(decide("alice", Verdict::Approved, ""), first);
        assert_ne!(decide("bob", Verdict::Approved, ""), first);
        assert_ne!(decide("alice", Verdict::Rejected, ""), first);
        assert_ne!(decide("alice", Verdict::Approved, "why"), first);
    }

    #[test]
    fn only_the_same_verdict_of_the_same_person_is_a_repetition() {
        let ruling = |decision, by: &str| Ruling {
            decision,
            by: by.to_owned(),
            reason: String::new(),
        };
        let hers = Decision {
            by: "alice".to_owned(),
            ..Decision::new(Verdict::Approved)
        };
        let is_hers = |ruling: &Ruling| is_ruling_of(ruling, &hers);
        assert!(is_hers(&ruling(ApprovalDecision::Approved, "alice")));
        assert!(!is_hers(&ruling(ApprovalDecision::Approved, "bob")));
        assert!(!is_hers(&ruling(ApprovalDecision::Rejected, "alice")));
        assert!(!is_hers(&ruling(ApprovalDecision::Expired, "alice")));
    }
}
