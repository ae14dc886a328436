//! The pages in `docs`, and the examples in them.

use std::fs;

use steadfast_testkit::workspace;

/// A page by its name.
#[must_use]
pub fn page(name: &str) -> String {
    fs::read_to_string(workspace::root().join("docs").join(name).with_extension("md")).unwrap()
}

/// The blocks of a language, without the indentation of the list in which they stand.
#[must_use]
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(indentation) = line.strip_suffix(&format!("```{language}")) else {
            continue;
        };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        let block: Vec<&str> = block
            .map(|line| line.strip_prefix(indentation).unwrap_or(line))
            .collect();
        blocks.push(block.join("\n") + "\n");
    }
    blocks
}
