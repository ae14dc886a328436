//! `crdgen [--check] [FOLDER]`: writes one YAML file per definition, or, with
//! `--check`, writes nothing and fails when a file differs from the types.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("unknown argument {0:?}; usage: crdgen [--check] [FOLDER]")]
    UnknownArgument(String),
    #[error("render {file}")]
    Render { file: String, source: serde_yaml_ng::Error },
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("out of date: {}; run `cargo run --bin crdgen`", paths.join(", "))]
    Drift { paths: Vec<String> },
}

enum Mode {
    Write,
    Check,
}

#[expect(clippy::print_stderr, reason = "a command line program tells its user what failed")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match std::error::Error::source(&error) {
                Some(cause) => eprintln!("crdgen: {error}: {cause}"),
                None => eprintln!("crdgen: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let (mode, folder) = parse_arguments(env::args().skip(1))?;
    let mut drifted = Vec::new();
    for definition in steadfast_crds::definitions() {
        let (file, text) = render(&definition)?;
        let path = folder.join(file);
        match mode {
            Mode::Write => fs::write(&path, text).map_err(|source| Error::Write { path, source })?,
            Mode::Check if fs::read_to_string(&path).is_ok_and(|found| found == text) => {}
            Mode::Check => drifted.push(path.display().to_string()),
        }
    }
    if drifted.is_empty() {
        Ok(())
    } else {
        Err(Error::Drift { paths: drifted })
    }
}

fn parse_arguments(arguments: impl Iterator<Item = String>) -> Result<(Mode, PathBuf), Error> {
    let mut mode = Mode::Write;
    let mut folder = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
    for argument in arguments {
        match argument.as_str() {
            "--check" => mode = Mode::Check,
            option if option.starts_with('-') => return Err(Error::UnknownArgument(argument)),
            path => folder = PathBuf::from(path),
        }
    }
    Ok((mode, folder))
}

fn render(definition: &CustomResourceDefinition) -> Result<(String, String), Error> {
    let file = format!("{}.yaml", definition.spec.names.plural);
    let body = serde_yaml_ng::to_string(definition).map_err(|source| Error::Render {
        file: file.clone(),
        source,
    })?;
    Ok((
        file,
        format!("# Made by `cargo run --bin crdgen`; do not edit.\n{body}"),
    ))
}
