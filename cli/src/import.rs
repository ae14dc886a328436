//! `steadfast import`: makes Agents and AgentTools from the manifests of other
//! projects, and reports what becomes of every field.

mod agentex;
mod kagent;
mod manifest;
mod report;
mod source;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::{Value, json};
use steadfast_crds::yaml;

use self::report::Document;
use crate::{
    args::{ImportArguments, ImportCommand},
    stdout,
};

/// New manifests, and the report.
#[derive(Debug, Default)]
struct Imported {
    manifests: Vec<Value>,
    documents: Vec<Document>,
}

pub(crate) fn run(command: ImportCommand) -> anyhow::Result<ExitCode> {
    let (arguments, imported) = match command {
        ImportCommand::Agentex(arguments) => {
            let texts = read(&arguments.files)?;
            (arguments, import_all(&texts, agentex::import)?)
        }
        ImportCommand::Kagent(arguments) => {
            let texts = read(&arguments.files)?;
            let imported = kagent::import(&texts)?;
            (arguments, imported)
        }
    };
    write(&arguments, &imported)?;
    Ok(if imported.manifests.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn read(files: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let texts = files.iter().map(|file| {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        Ok((file.clone(), text))
    });
    texts.collect()
}

fn import_all(
    texts: &[(PathBuf, String)],
    import: fn(&Path, &str) -> anyhow::Result<Imported>,
) -> anyhow::Result<Imported> {
    let mut all = Imported::default();
    for (file, text) in texts {
        let one = import(file, text)?;
        all.manifests.extend(one.manifests);
        all.documents.extend(one.documents);
    }
    Ok(all)
}

/// The manifests go to standard output or to a file, the report to standard error.
fn write(arguments: &ImportArguments, imported: &Imported) -> anyhow::Result<()> {
    let manifests = documents(&imported.manifests)?;
    if let Some(file) = &arguments.to {
        fs::write(file, &manifests).with_context(|| format!("write {}", file.display()))?;
    }
    if let Some(format) = arguments.output.structured() {
        let all = json!({"manifests": imported.manifests, "report": imported.documents});
        return stdout::print_structured(format, &all);
    }
    if arguments.to.is_none() {
        stdout::print(&manifests)?;
    }
    let report = report::text(&imported.documents);
    Ok(std::io::stderr().lock().write_all(report.as_bytes())?)
}

/// Several documents of one YAML stream.
fn documents(manifests: &[Value]) -> anyhow::Result<String> {
    let documents: Vec<String> = manifests.iter().map(yaml::to_string).collect::<Result<_, _>>()?;
    Ok(documents.join("---\n"))
}

#[cfg(test)]
mod tests;
