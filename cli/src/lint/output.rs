//! Prints the result of `steadfast lint`: a line per diagnostic, or JSON.

use std::error::Error as _;

use serde::Serialize;
use serde_json::json;
use steadfast_crds::{conditions::ConditionType, manifests::Origin};
use steadfast_operator::lint::{Diagnostic, Report, Severity};

use super::input::Unreadable;
use crate::{args::OutputFormat, printable::printable, stdout};

/// One diagnostic as it is printed; as JSON, a member that does not apply is null.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    file: Option<String>,
    line: Option<u32>,
    #[serde(serialize_with = "serialize_severity")]
    pub(super) severity: Severity,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    condition: Option<&'static str>,
    reason: &'static str,
    message: String,
}

/// All rows, in the order of files and lines.
pub(super) fn rows(unreadable: &[Unreadable], report: &Report) -> Vec<Row> {
    let unreadable = unreadable.iter().map(of_unreadable);
    let mut rows: Vec<Row> = unreadable.chain(report.diagnostics.iter().map(of_diagnostic)).collect();
    rows.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    rows
}

fn of_unreadable(unreadable: &Unreadable) -> Row {
    let Unreadable { severity, error } = unreadable;
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    // The place stands in members of its own.
    let place = error.origin().map(|origin| format!("{origin}: ")).unwrap_or_default();
    let text = format!("{error}{cause}");
    Row {
        file: error.origin().map(file),
        line: error.origin().map(|origin| origin.line),
        severity: *severity,
        kind: None,
        namespace: None,
        name: None,
        condition: None,
        reason: "Unreadable",
        message: text.strip_prefix(&place).unwrap_or(&text).to_owned(),
    }
}

fn of_diagnostic(diagnostic: &Diagnostic) -> Row {
    Row {
        file: Some(file(&diagnostic.origin)),
        line: Some(diagnostic.origin.line),
        severity: diagnostic.severity,
        kind: Some(diagnostic.kind.clone()),
        namespace: Some(diagnostic.object.namespace.clone()),
        name: Some(diagnostic.object.name.clone()),
        condition: diagnostic.condition.map(ConditionType::as_str),
        reason: diagnostic.reason,
        message: diagnostic.message.clone(),
    }
}

fn file(origin: &Origin) -> String {
    origin.file.display().to_string()
}

pub(super) fn print(checked: usize, rows: &[Row], output: OutputFormat) -> anyhow::Result<()> {
    match output.structured() {
        None => stdout::print(&text(checked, rows)),
        Some(format) => stdout::print_structured(format, &json!({ "checked": checked, "diagnostics": rows })),
    }
}

/// `file:line: severity: Kind namespace/name: condition=False, reason: message` per row, and a summary.
fn text(checked: usize, rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let mut parts = Vec::new();
        if let (Some(file), Some(line)) = (&row.file, row.line) {
            parts.push(format!("{file}:{line}"));
        }
        parts.push(name(row.severity).to_owned());
        if let (Some(kind), Some(namespace), Some(name)) = (&row.kind, &row.namespace, &row.name) {
            parts.push(format!("{kind} {namespace}/{name}"));
        }
        parts.push(match row.condition {
            Some(condition) => format!("{condition}=False, {}", row.reason),
            None => row.reason.to_owned(),
        });
        parts.push(row.message.clone());
        // A message may quote a text of several lines.
        printable(&parts.join(": ").replace('\n', " ")) + "\n"
    });
    let summary = [
        count(checked, "object"),
        count(of(rows, Severity::Error), "error"),
        count(of(rows, Severity::Warning), "warning"),
    ];
    lines.collect::<String>() + &summary.join(", ") + "\n"
}

fn of(rows: &[Row], severity: Severity) -> usize {
    rows.iter().filter(|row| row.severity == severity).count()
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

const fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn serialize_severity<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name(*severity))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steadfast_crds::manifests::parse;
    use steadfast_operator::lint::lint;

    use super::*;

    async fn rows_of(text: &str) -> (usize, Vec<Row>) {
        let path = Path::new("a.yaml");
        let (manifests, unreadable) = match parse(path, text) {
            Ok(manifests) => (manifests, Vec::new()),
            Err(error) => {
                let severity = Severity::Error;
                (Vec::new(), vec![Unreadable { severity, error }])
            }
        };
        let report = lint(&manifests, "default").await.unwrap();
        (report.checked, rows(&unreadable, &report))
    }

    const AGENT: &str = "apiVersion: steadfast.dev/v1alpha1
kind: Agent
metadata: {name: weather}
spec:
  instructions: '{{ nope'
  model: {name: m, apiKeyEnvVar: ''}
";

    #[tokio::test]
    async fn a_line_names_place_severity_object_condition_and_reason() {
        let (checked, rows) = rows_of(AGENT).await;
        let text = text(checked, &rows);
        assert!(
            text.starts_with("a.yaml:1: error: Agent default/weather: Accepted=False, InvalidTemplate: instructions"),
            "{text}"
        );
        assert!(text.ends_with("\n1 object, 1 error, 0 warnings\n"), "{text}");
    }

    #[tokio::test]
    async fn text_that_is_no_manifest_is_an_error_with_its_place() {
        let (checked, rows) = rows_of("a: [").await;
        let text = text(checked, &rows);
        assert!(
            text.starts_with("a.yaml:1: error: Unreadable: not YAML that a Kubernetes object can be read from: "),
            "{text}"
        );
    }
}
