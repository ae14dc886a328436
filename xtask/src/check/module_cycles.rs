//! Modules of one crate that depend on each other in a circle.
//!
//! Siblings (modules with the same parent, each with all below it) must form no
//! circle. A child may use private helpers of its parent, and a parent uses its
//! children. Dependencies are read from the paths in the sources: `crate::…`,
//! `super::…` and `self::…`, also through names that a parent re-exports. Code
//! below `#[cfg(test)]` is left out.

mod graph;
mod paths;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::sources;
use graph::Modules;
use paths::SourcePaths;

pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    let files = sources::list(root)?;
    let mut problems = Vec::new();
    for manifest in files
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"))
    {
        let directory = manifest.parent().unwrap_or(Path::new(""));
        let modules = read_modules(root, &directory.join("src"), &files)?;
        for circle in Modules::new(modules).circles() {
            problems.push(format!("{}: {circle}", directory.display()));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "modules depend on each other in a circle: move what both need into a module of its own\n{}",
        problems.join("\n")
    )
}

/// Every module below `src`, by its path from the root of the crate.
fn read_modules(root: &Path, src: &Path, files: &[PathBuf]) -> anyhow::Result<BTreeMap<Vec<String>, SourcePaths>> {
    let mut modules = BTreeMap::new();
    for file in files {
        let Some(module) = file.strip_prefix(src).ok().and_then(module_path) else {
            continue;
        };
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let paths = SourcePaths::read(&text).with_context(|| format!("read the tokens of {}", path.display()))?;
        modules.insert(module, paths);
    }
    // A file that is only compiled for tests belongs to the tests.
    let tests: Vec<Vec<String>> = modules
        .iter()
        .flat_map(|(module, paths)| {
            let child = |name: &String| module.iter().cloned().chain([name.clone()]).collect();
            paths.test_modules.iter().map(child).collect::<Vec<_>>()
        })
        .collect();
    modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
    Ok(modules)
}

/// `agents/build.rs` is the module `agents::build`. `None` for the roots of programs, and for what is no module.
fn module_path(file: &Path) -> Option<Vec<String>> {
    if file.extension()? != "rs" || file.starts_with("bin") {
        return None;
    }
    let mut names: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    match names.last().map(String::as_str) {
        Some("mod") => {
            names.pop();
        }
        Some("lib" | "main") if names.len() == 1 => {
            names.pop();
        }
        _ => {}
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::Workspace;

    fn repository() -> Workspace {
        Workspace::new().in_git()
    }

    #[test]
    fn two_siblings_that_use_each_other_fail_the_check_with_the_circle() {
        let workspace = repository()
            .source("lib.rs", "mod parse; mod print;")
            .source("parse.rs", "use crate::print::Printer; pub struct Parser;")
            .source("print.rs", "pub struct Printer;");
        check(workspace.root()).unwrap();
        let broken = workspace.source("print.rs", "use super::parse::Parser; pub struct Printer;");
        let error = check(broken.root()).unwrap_err().to_string();
        assert!(error.contains("parse → print → parse"), "{error}");
    }
}
