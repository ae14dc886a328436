//! Ids of activities, by which their results are found in a history.

/// Activity id of a tool call.
pub fn tool_activity_id(turn: u32, step: u32, index: u32) -> String {
    format!("t{turn}.{step}.{index}")
}

/// Activity id of a step of a tool call; of its compensation with `~undo` after it.
pub fn step_activity_id(turn: u32, step: u32, index: u32, name: &str) -> String {
    format!("{}/{name}", tool_activity_id(turn, step, index))
}

/// Whether the id is that of a step of a tool call, and not of a compensation.
pub fn is_step_activity_id(id: &str) -> bool {
    id.split_once('/')
        .is_some_and(|(call, name)| parse_tool_activity_id(call).is_some() && !name.contains('~'))
}

/// Activity id of a model call.
pub fn model_activity_id(turn: u32, step: u32) -> String {
    format!("m{turn}.{step}")
}

/// The turn, step and index of a tool call; `None` for every other id.
pub fn parse_tool_activity_id(id: &str) -> Option<(u32, u32, u32)> {
    // Later rounds of the same call carry their number after a tilde.
    let id = id.split_once('~').map_or(id, |(first, _)| first);
    let mut numbers = id.strip_prefix('t')?.split('.').map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(turn)), Some(Ok(step)), Some(Ok(index)), None) => Some((turn, step, index)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_from_calls_and_compensations() {
        let id = step_activity_id(3, 0, 12, "withdraw");
        assert_eq!(id, "t3.0.12/withdraw");
        assert!(is_step_activity_id(&id));
        for other in ["t3.0.12", "t3.0.12/withdraw~undo", "m3.0/withdraw", "/withdraw"] {
            assert!(!is_step_activity_id(other), "{other}");
        }
    }

    #[test]
    fn activity_ids_of_tools_can_be_read_back() {
        assert_eq!(parse_tool_activity_id(&tool_activity_id(3, 0, 12)), Some((3, 0, 12)));
        assert_eq!(parse_tool_activity_id(&model_activity_id(3, 0)), None);
        assert_eq!(parse_tool_activity_id("t1.2.3~2"), Some((1, 2, 3)));
        assert_eq!(parse_tool_activity_id("t1.2"), None);
        assert_eq!(parse_tool_activity_id("t1.2.3/withdraw"), None);
        assert_eq!(parse_tool_activity_id("t1.2.3/withdraw~undo"), None);
    }
}
