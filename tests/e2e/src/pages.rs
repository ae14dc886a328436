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
        let Some((indentation, found)) = line.split_once("```") else {
            continue;
        };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        let block: Vec<&str> = block
            .map(|line| line.strip_prefix(indentation).unwrap_or(line))
            .collect();
        if found == language {
            blocks.push(block.join("\n") + "\n");
        }
    }
    blocks
}

/// Every page of `docs`, by its name.
#[must_use]
pub fn all_pages() -> Vec<(String, String)> {
    let files = fs::read_dir(workspace::root().join("docs")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut pages: Vec<(String, String)> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "md"))
        .map(|file| {
            (
                file.file_stem().unwrap().to_string_lossy().into_owned(),
                fs::read_to_string(&file).unwrap(),
            )
        })
        .collect();
    pages.sort();
    pages
}
