//! The metrics that `docs/observability.md` lists. The unit tests of each program compare them with what the
//! program exports, so that alerts and dashboards can be compared with the page.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

use crate::workspace;

const PAGE: &str = "docs/observability.md";

/// A row of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentedMetric {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// In alphabetical order.
    pub labels: Vec<String>,
}

/// The rows of a program: `Worker`, `Gateway` or `Operator`.
pub fn documented(program: &str) -> anyhow::Result<Vec<DocumentedMetric>> {
    let page = std::fs::read_to_string(workspace::root().join(PAGE)).with_context(|| format!("read {PAGE}"))?;
    let (_, metrics) = page.split_once("\n## Metrics\n").context("the page has no metrics")?;
    let (_, section) = metrics
        .split_once(&format!("\n### {program}\n"))
        .with_context(|| format!("{PAGE} has no section {program}"))?;
    let section = section.split("\n#").next().unwrap_or_default();
    let rows: Vec<_> = section.lines().filter_map(row).collect();
    ensure!(!rows.is_empty(), "{PAGE} lists no metric of {program}");
    Ok(rows)
}

/// Fails where the rows of a program and what it exports differ. `exported` is the Prometheus text in which every
/// metric of the program has a sample; `elsewhere` are rows that another test covers.
pub fn compare(program: &str, exported: &str, elsewhere: &[&str]) -> anyhow::Result<()> {
    let mut documented = documented(program)?;
    documented.retain(|metric| !elsewhere.contains(&metric.name.as_str()));
    documented.sort_by(|a, b| a.name.cmp(&b.name));
    let exported = families(exported);
    ensure!(
        documented == exported,
        "{PAGE} and the metrics of {program} differ: correct the table\non the page: {documented:#?}\nexported: {exported:#?}"
    );
    Ok(())
}

/// ``| `name` | kind, unit | `label`, `label` | meaning |``
fn row(line: &str) -> Option<DocumentedMetric> {
    let mut cells = line.strip_prefix("| `")?.split('|');
    let name = cells.next()?.trim().trim_end_matches('`');
    let kind = cells.next()?.split(',').next()?.trim();
    let mut labels: Vec<String> = cells.next()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    labels.sort();
    Some(DocumentedMetric {
        name: name.to_owned(),
        kind: kind.to_owned(),
        labels,
    })
}

fn families(text: &str) -> Vec<DocumentedMetric> {
    let kinds = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut families: BTreeMap<&str, DocumentedMetric> = kinds
        .map(|(name, kind)| {
            let metric = DocumentedMetric {
                name: name.to_owned(),
                kind: kind.to_owned(),
                labels: Vec::new(),
            };
            (name, metric)
        })
        .collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((sample, labels)) = line.split_once('{') else {
            continue;
        };
        let family = ["", "_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            families
                .get_key_value(sample.strip_suffix(suffix)?)
                .map(|(name, _)| *name)
        });
        if let Some(metric) = family.and_then(|name| families.get_mut(name)) {
            metric.labels = label_names(labels);
        }
    }
    families.into_values().collect()
}

/// The names in `agent="weather",model="a, b"} 1`, without that of a bucket's bound.
fn label_names(text: &str) -> Vec<String> {
    let labels = text.rsplit_once('}').map_or(text, |(labels, _)| labels);
    // Every second part stands between quotes.
    let outside = labels.split('"').step_by(2);
    let names = outside.filter_map(|part| part.trim_matches([',', ' ']).strip_suffix('='));
    let mut names: Vec<String> = names.filter(|name| *name != "le").map(str::to_owned).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_the_labels_of_its_samples() {
        let text = "# HELP a_seconds A.\n# TYPE a_seconds histogram\na_seconds_bucket{route=\"/a,b=\",le=\"1\"} 1\n\
                    a_seconds_sum{route=\"/a\"} 1\n# HELP b B.\n# TYPE b gauge\nb 1\n";
        let metric = |name: &str, kind: &str, labels: &[&str]| DocumentedMetric {
            name: name.to_owned(),
            kind: kind.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
        };
        assert_eq!(
            families(text),
            [metric("a_seconds", "histogram", &["route"]), metric("b", "gauge", &[])]
        );
    }

    #[test]
    fn a_row_that_no_metric_has_is_a_difference() {
        assert!(compare("Gateway", "# TYPE a gauge\na 1\n", &[]).is_err());
    }
}
