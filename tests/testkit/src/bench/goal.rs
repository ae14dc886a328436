//! Figures that have a goal.

use serde::Serialize;

/// A figure and its goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    pub name: &'static str,
    pub figure: f64,
    pub at_most: f64,
}

impl Goal {
    pub(super) const fn new(name: &'static str, figure: f64, at_most: f64) -> Self {
        Self { name, figure, at_most }
    }

    /// The goals that are missed, as sentences.
    pub fn missed(goals: &[Self]) -> Vec<String> {
        let missed = goals.iter().filter(|goal| goal.figure > goal.at_most);
        missed
            .map(|goal| format!("{} is {}, more than {}", goal.name, goal.figure, goal.at_most))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_at_its_goal_meets_it_and_one_above_misses_it() {
        let goals = [
            Goal::new("writes_per_agent", 8.0, 8.0),
            Goal::new("writes_per_tool", 1.5, 1.0),
        ];
        assert_eq!(Goal::missed(&goals), ["writes_per_tool is 1.5, more than 1"]);
    }
}
