//! `steadfast init`: makes a directory with an Agent, a tool, fixtures of the
//! stand-in model, and a test. What it makes runs as it is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{
    args::{InitArguments, ToolTemplate},
    stdout,
};

/// A file of a template: its place in the new directory, and its text.
type File = (&'static str, &'static str);

/// The word in templates that becomes the name of the Agent.
const NAME: &str = "AGENT_NAME";
/// Where templates of Rust get the crate from outside of a checkout.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
const VERSION: &str = env!("CARGO_PKG_VERSION");

const PYTHON: [File; 8] = [
    ("agent.yaml", include_str!("../templates/python/agent.yaml")),
    ("tool.yaml", include_str!("../templates/python/tool.yaml")),
    ("worker/worker.py", include_str!("../templates/python/worker.py")),
    (
        "worker/requirements.txt",
        include_str!("../templates/python/requirements.txt"),
    ),
    ("worker/dev.yaml", include_str!("../templates/python/dev.yaml")),
    ("model/fixtures.json", include_str!("../templates/python/fixtures.json")),
    ("tests/rolls-dice.yaml", include_str!("../templates/rolls-dice.yaml")),
    ("README.md", include_str!("../templates/python/README.md")),
];
const RUST: [File; 8] = [
    ("agent.yaml", include_str!("../templates/rust/agent.yaml")),
    // The tool and its description are those of the example, which is compiled and tested.
    ("tool.yaml", include_str!("../../examples/rust-tool/tool.yaml")),
    ("src/main.rs", include_str!("../../examples/rust-tool/src/main.rs")),
    ("Cargo.toml", include_str!("../templates/rust/Cargo.toml.template")),
    ("worker/dev.yaml", include_str!("../templates/rust/dev.yaml")),
    ("model/fixtures.json", include_str!("../templates/python/fixtures.json")),
    ("tests/rolls-dice.yaml", include_str!("../templates/rolls-dice.yaml")),
    ("README.md", include_str!("../templates/rust/README.md")),
];
const NO_TOOL: [File; 4] = [
    ("agent.yaml", include_str!("../templates/agent.yaml")),
    ("model/fixtures.json", include_str!("../templates/fixtures.json")),
    ("tests/says-hello.yaml", include_str!("../templates/says-hello.yaml")),
    ("README.md", include_str!("../templates/README.md")),
];

pub(crate) fn run(arguments: &InitArguments) -> anyhow::Result<()> {
    let directory = &arguments.directory;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => name_of(directory)?,
    };
    check_name(&name)?;
    let files = files(arguments.tool, &name, checkout_above(directory).as_deref());
    // Nothing of the user is replaced.
    if let Some((place, _)) = files.iter().find(|(place, _)| directory.join(place).exists()) {
        bail!(
            "{} exists already: name a new directory",
            directory.join(place).display()
        );
    }
    for (place, text) in &files {
        let path = directory.join(place);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create the directory {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let directory = directory.display();
    stdout::print(&format!(
        "{directory} holds the Agent {name}; next:\n  steadfast dev {directory}    # chat with it\n  steadfast test {directory}   # \
         run its test\n  steadfast lint {directory}   # check the manifests\n"
    ))
}

/// The files of a template for this name. `checkout` is a checkout of Steadfast that the directory is in.
fn files(tool: ToolTemplate, name: &str, checkout: Option<&Path>) -> Vec<(PathBuf, String)> {
    let files: &[File] = match tool {
        ToolTemplate::Python => &PYTHON,
        ToolTemplate::Rust => &RUST,
        ToolTemplate::None => &NO_TOOL,
    };
    let source = checkout.map_or_else(
        || format!("git = \"{REPOSITORY}\", tag = \"v{VERSION}\""),
        |checkout| format!("path = \"{}\"", checkout.join("worker").display()),
    );
    let file = |(place, text): &File| {
        let text = text
            .replace(
                "../../crds/steadfast.schema.json",
                &format!("{REPOSITORY}/raw/v{VERSION}/crds/steadfast.schema.json"),
            )
            .replace(
                "SCHEMA_URL",
                &format!("{REPOSITORY}/raw/v{VERSION}/crds/steadfast.schema.json"),
            )
            .replace("STEADFAST_WORKER", &source)
            .replace(NAME, name);
        (PathBuf::from(place), text)
    };
    files.iter().map(file).collect()
}

fn name_of(directory: &Path) -> anyhow::Result<String> {
    let name = directory.file_name().and_then(|name| name.to_str());
    let name = name.context("name the Agent with --name")?;
    Ok(name.to_lowercase().replace(['_', ' ', '.'], "-"))
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_label = name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.len() <= steadfast_crds::names::MAXIMUM_AGENT_NAME_BYTES;
    if !is_label {
        bail!(
            "{name:?} cannot be the name of an Agent: use up to {} lower-case letters, digits and -, from a letter on; \
             --name sets it",
            steadfast_crds::names::MAXIMUM_AGENT_NAME_BYTES
        );
    }
    Ok(())
}

/// The checkout of Steadfast that a new directory would be in.
fn checkout_above(directory: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(directory).ok()?;
    let is_checkout = |directory: &&Path| directory.join("worker/agent-loop/Cargo.toml").is_file();
    absolute.ancestors().find(is_checkout).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use steadfast_crds::manifests;
    use steadfast_operator::lint::{Severity, lint};

    use super::*;

    #[tokio::test]
    async fn what_is_made_passes_lint_and_holds_no_placeholders() {
        for tool in [ToolTemplate::Python, ToolTemplate::Rust, ToolTemplate::None] {
            let parent = tempfile::tempdir().unwrap();
            let directory = parent.path().join("my_dice");
            let arguments = InitArguments {
                directory: directory.clone(),
                name: None,
                tool,
            };
            run(&arguments).unwrap();
            let again = run(&arguments).unwrap_err();
            assert!(again.to_string().contains("exists already"), "{again}");
            let manifests = manifests::read_dir(&directory).unwrap();
            let report = lint(&manifests, "default").await.unwrap();
            let errors: Vec<_> = report
                .diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .collect();
            assert!(errors.is_empty() && report.checked > 0, "{tool:?}: {errors:?}");
            assert_eq!(manifests[0].object["metadata"]["name"], "my-dice");
            for (place, text) in files(tool, "x", None) {
                for placeholder in [NAME, "STEADFAST_WORKER", "SCHEMA_URL"] {
                    assert!(!text.contains(placeholder), "{}", place.display());
                }
            }
        }
    }

    #[test]
    fn a_name_that_no_agent_can_have_is_refused() {
        for name in ["Dice", "1st", "a-", "", &"x".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("dice-2").unwrap();
    }

    #[test]
    fn a_worker_in_rust_uses_the_checkout_that_it_is_in() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(
            checkout_above(&checkout.join("examples/new")).as_deref(),
            Some(checkout)
        );
        assert_eq!(checkout_above(Path::new("/nowhere")), None);
    }
}
