//! The report as JSON, as a table, and as the part of `docs/benchmarks.md` that is generated. Pure.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::{
    contestant::Contestant,
    figures::{Figure, Line, Round, median_of, ratio_of},
};

const BEGIN: &str = "<!-- bench peer: begin -->";
const END: &str = "<!-- bench peer: end -->";
const NOT_MEASURED: &str = "Not measured yet.";

/// Everything that the bench has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// The version of the Temporal server.
    pub temporal: String,
    /// The processors of the machine.
    pub processors: usize,
    /// Cargo's profile of our programs.
    pub profile: String,
    /// Runs of a burst.
    pub runs: usize,
    /// Seconds of the rest after a burst.
    pub rest_seconds: u64,
    /// Tool calls of the long conversation.
    pub long_calls: u32,
    /// The commit of the column `before`; absent if it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    pub rounds: Vec<Round>,
}

impl PeerReport {
    /// The medians of all rounds, with ratios, in Markdown.
    pub fn table(&self) -> String {
        let before = self.before.as_deref().unwrap_or("before");
        let mut table = format!(
            "| | Python | WorkflowStream | Agentex | this build | {before} | to Python | to {before} |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        );
        for line in Line::ALL {
            let cells = Contestant::ALL.map(|contestant| self.cell(contestant, line));
            let ratio = |to| ratio_of(&self.rounds, line, Contestant::ThisBuild, to);
            let ratios = [Contestant::Python, Contestant::Before].map(|to| ratio(to).map_or_else(none, two_places));
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {} | {} | {} |",
                line.title(),
                cells.join(" | "),
                ratios.join(" | ")
            );
        }
        table
    }

    fn cell(&self, contestant: Contestant, line: Line) -> String {
        match median_of(&self.rounds, contestant, line) {
            Some(Figure { value, at_least: true }) => format!("> {}", shown(value)),
            Some(Figure { value, .. }) => shown(value),
            None if self.rounds.iter().any(|round| round.contestant == contestant) => none(),
            None => "not run".to_owned(),
        }
    }

    /// The table and the conditions under which it was measured.
    pub fn section(&self) -> String {
        let mut notes: Vec<String> = Vec::new();
        for round in &self.rounds {
            for note in &round.notes {
                notes.push(format!("- {}, round {}: {note}", round.contestant, round.round));
            }
        }
        let rounds = self.rounds.iter().map(|round| round.round).max().unwrap_or(0);
        let mut section = format!(
            "Temporal server {}, {} processors, profile `{}`, bursts of {} runs, medians of {rounds} rounds.\n\n{}",
            self.temporal,
            self.processors,
            self.profile,
            self.runs,
            self.table()
        );
        if !notes.is_empty() {
            section.push_str("\nWhat could not be measured:\n\n");
            section.push_str(&notes.join("\n"));
            section.push('\n');
        }
        section
    }
}

/// The page with the generated part replaced: by the sections of these reports, or by the note that there are none.
pub fn page_with(page: &str, reports: &[PeerReport]) -> anyhow::Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("find {BEGIN} in the page"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("find {END} in the page"))?;
    ensure!(!after.contains(BEGIN), "{BEGIN} is in the page twice");
    let generated = if reports.is_empty() {
        format!("{NOT_MEASURED}\n")
    } else {
        let sections: Vec<String> = reports.iter().map(PeerReport::section).collect();
        sections.join("\n")
    };
    Ok(format!("{before}{BEGIN}\n{generated}{END}{after}"))
}

fn none() -> String {
    "–".to_owned()
}

fn two_places(value: f64) -> String {
    format!("{value:.2}")
}

/// Three significant digits are more than two runs agree on.
fn shown(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn report() -> PeerReport {
        let round = |contestant, value, at_least| Round {
            contestant,
            round: 1,
            figures: [(Line::KillToTokens, Figure { value, at_least })].into(),
            notes: Vec::new(),
        };
        let mut agentex = round(Contestant::Agentex, 100.0, true);
        agentex
            .notes
            .push("the long conversation ended after 52 of 100 tool calls".to_owned());
        PeerReport {
            temporal: "1.32.0".to_owned(),
            processors: 2,
            profile: "release".to_owned(),
            runs: 200,
            rest_seconds: 60,
            long_calls: 100,
            before: None,
            rounds: vec![
                round(Contestant::Python, 60.7, false),
                agentex,
                round(Contestant::ThisBuild, 2.5, false),
            ],
        }
    }

    #[test]
    fn the_table_has_medians_ratios_and_says_what_was_not_run() {
        let table = report().table();
        let line = table.lines().find(|line| line.contains("kill -9")).unwrap();
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(
            cells[2..9],
            ["60.7", "not run", "> 100", "2.50", "not run", "0.04", "–"]
        );
        assert_eq!(table.lines().count(), 2 + Line::ALL.len());
    }

    #[test]
    fn a_report_survives_its_json() {
        let json = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<PeerReport>(&json).unwrap(), report());
    }

    #[test]
    fn only_the_generated_part_of_the_page_changes() {
        let page = format!("# Title\n{BEGIN}\nold\n{END}\nthe rest\n");
        let written = page_with(&page, &[report()]).unwrap();
        assert!(
            written.starts_with("# Title\n") && written.ends_with("the rest\n"),
            "{written}"
        );
        assert!(written.contains("ended after 52 of 100 tool calls") && !written.contains("old"));
        assert_eq!(
            page_with(&written, &[]).unwrap(),
            format!("# Title\n{BEGIN}\n{NOT_MEASURED}\n{END}\nthe rest\n")
        );
        assert!(page_with("# Title\n", &[]).is_err());
    }

    #[test]
    fn the_page_shows_the_figures_of_the_recorded_reports_and_no_others() {
        let page = std::fs::read_to_string(workspace::root().join("docs/benchmarks.md")).unwrap();
        let reports = super::super::recorded().unwrap();
        assert_eq!(
            page,
            page_with(&page, &reports).unwrap(),
            "run `cargo xtask bench page`"
        );
    }
}
