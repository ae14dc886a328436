//! The results of scripts as text, JSON and JUnit's XML. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use crate::printable::printable;

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ScriptResult {
    pub(super) name: String,
    pub(super) agent: String,
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "problems", rename_all = "camelCase")]
pub(super) enum Outcome {
    Passed,
    /// A turn is not as expected. One sentence each.
    Failed(Vec<String>),
}

impl ScriptResult {
    /// A line, and one for each difference.
    pub(super) fn text(&self) -> String {
        let Self {
            name,
            agent,
            seconds,
            outcome,
        } = self;
        match outcome {
            Outcome::Passed => format!("ok      {name} ({agent}, {seconds:.1} s)\n"),
            Outcome::Failed(problems) => {
                let mut text = format!("FAILED  {name} ({agent}, {seconds:.1} s)\n");
                for problem in problems {
                    // Writing to a String does not fail.
                    let _ = writeln!(text, "        {}", printable(problem).replace('\n', " "));
                }
                text
            }
        }
    }

    fn problems(&self) -> &[String] {
        match &self.outcome {
            Outcome::Passed => &[],
            Outcome::Failed(problems) => problems,
        }
    }
}

pub(super) fn summary(results: &[ScriptResult]) -> String {
    let failed = results.iter().filter(|result| !result.problems().is_empty()).count();
    format!("{} passed, {failed} failed\n", results.len() - failed)
}

/// The XML that CI servers read: one test case for each script.
pub(super) fn junit(results: &[ScriptResult]) -> String {
    let failed = results.iter().filter(|result| !result.problems().is_empty()).count();
    let seconds: f64 = results.iter().map(|result| result.seconds).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"steadfast\" tests=\"{}\" \
         failures=\"{failed}\" time=\"{seconds:.3}\">\n",
        results.len()
    );
    for result in results {
        let (agent, name) = (escape(&result.agent), escape(&result.name));
        let _ = write!(
            xml,
            "<testcase classname=\"{agent}\" name=\"{name}\" time=\"{:.3}\"",
            result.seconds
        );
        match &result.outcome {
            Outcome::Passed => xml.push_str("/>\n"),
            Outcome::Failed(problems) => {
                let _ = writeln!(
                    xml,
                    "><failure message=\"{}\">{}</failure></testcase>",
                    escape(problems.first().map_or("", String::as_str)),
                    escape(&problems.join("\n"))
                );
            }
        }
    }
    xml.push_str("</testsuite>\n</testsuites>\n");
    xml
}

/// A text for XML; control characters have no place in it.
fn escape(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results() -> Vec<ScriptResult> {
        let result = |name: &str, outcome| ScriptResult {
            name: name.to_owned(),
            agent: "weather".to_owned(),
            seconds: 1.25,
            outcome,
        };
        vec![
            result("oslo", Outcome::Passed),
            result("rome", Outcome::Failed(vec!["the answer is \"<\u{1}\"".to_owned()])),
        ]
    }

    #[test]
    fn junit_has_a_case_for_each_script() {
        assert_eq!(
            junit(&results()),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"steadfast\" tests=\"2\" \
             failures=\"1\" time=\"2.500\">\n<testcase classname=\"weather\" name=\"oslo\" time=\"1.250\"/>\n<testcase \
             classname=\"weather\" name=\"rome\" time=\"1.250\"><failure message=\"the answer is \
             &quot;&lt;\u{fffd}&quot;\">the answer is &quot;&lt;\u{fffd}&quot;</failure></testcase>\n</testsuite>\n</testsuites>\n"
        );
    }

    #[test]
    fn a_result_is_a_line_and_json() {
        let results = results();
        assert_eq!(results[0].text(), "ok      oslo (weather, 1.2 s)\n");
        assert_eq!(summary(&results), "1 passed, 1 failed\n");
        assert_eq!(
            serde_json::to_value(&results[0]).unwrap(),
            json!({"name": "oslo", "agent": "weather", "seconds": 1.25, "outcome": "passed"})
        );
    }
}
