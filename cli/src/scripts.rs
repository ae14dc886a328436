//! `steadfast test`: holds the conversations of scripts with Agents on this
//! machine, and compares what happens with what the scripts expect.

mod compare;
mod conversation;
mod result;
mod script;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use self::{
    result::{Outcome, ScriptResult},
    script::Script,
};
use crate::{
    api::GatewayClient,
    args::{TestArguments, TestFormat},
    dev::{Local, Place},
    stdout,
};

pub(crate) async fn run(arguments: TestArguments, variables: Vec<(String, String)>) -> anyhow::Result<ExitCode> {
    let scripts = read_scripts(&arguments.directories, arguments.filter.as_deref())?;
    let state_dir = tempfile::tempdir().context("make a directory for the test")?;
    let place = Place {
        state_dir: state_dir.path(),
        clean: false,
        port: None,
    };
    let local = Local::start(arguments.directories.clone(), &arguments.local, variables, place).await?;
    let client = GatewayClient::new(local.gateway_url()?, None)?;
    let mut planned = Vec::new();
    for script in scripts {
        let agent = local
            .chosen(script.agent.as_deref())
            .with_context(|| format!("the script {}", script.name))?;
        planned.push((script, agent));
    }
    let is_text = arguments.output == TestFormat::Text;
    let conversations = async {
        let mut results = Vec::new();
        for (script, agent) in &planned {
            let result = conversation::hold(&client, script, agent).await;
            if is_text {
                stdout::print(&result.text())?;
            }
            results.push(result);
        }
        Ok(results)
    };
    let results = Box::pin(local.serve(conversations)).await?;
    match arguments.output {
        TestFormat::Text => stdout::print(&result::summary(&results))?,
        TestFormat::Json => stdout::print_json(&results)?,
        TestFormat::Junit => stdout::print(&result::junit(&results))?,
    }
    let has_failed = |result: &ScriptResult| !matches!(result.outcome, Outcome::Passed);
    Ok(if results.iter().any(has_failed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The scripts of all directories, in the order of their names.
fn read_scripts(directories: &[PathBuf], filter: Option<&str>) -> anyhow::Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for directory in directories {
        let tests = directory.join(script::DIRECTORY);
        if !tests.is_dir() {
            bail!("there is no directory {}: scripts are in it", tests.display());
        }
        scripts.extend(read_directory(&tests)?);
    }
    if let Some(filter) = filter {
        scripts.retain(|script| script.name.contains(filter));
    }
    if scripts.is_empty() {
        bail!("no script to run: a script is a YAML file in `tests/` of the directory");
    }
    Ok(scripts)
}

fn read_directory(tests: &Path) -> anyhow::Result<Vec<Script>> {
    let files = steadfast_crds::manifests::files_in(tests, false)?;
    files.iter().map(|file| Script::read(file)).collect()
}
