//! Reads the manifests of `steadfast lint`: files, directories, standard input.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use steadfast_crds::manifests::{self, Manifest, ManifestError};
use steadfast_operator::lint::Severity;

/// The name of standard input in diagnostics.
const STANDARD_INPUT: &str = "<stdin>";

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) manifests: Vec<Manifest>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// A file, or the rest of one, that is no manifest.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) severity: Severity,
    pub(super) error: ManifestError,
}

/// Reads every path; `-` is standard input. A file that cannot be opened ends the command; one that is no manifest is
/// told with the other errors.
pub(super) fn read(paths: &[PathBuf], recursive: bool) -> anyhow::Result<Input> {
    let mut input = Input::default();
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("read the manifests from standard input")?;
            input.add(Path::new(STANDARD_INPUT), &text, Severity::Error);
        } else if path.is_dir() {
            // A directory may also hold values of Helm, fixtures and the like.
            for file in manifests::files_in(path, recursive)? {
                input.add_file(&file, Severity::Warning)?;
            }
        } else {
            input.add_file(path, Severity::Error)?;
        }
    }
    Ok(input)
}

impl Input {
    fn add_file(&mut self, path: &Path, not_an_object: Severity) -> anyhow::Result<()> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        self.add(path, &text, not_an_object);
        Ok(())
    }

    fn add(&mut self, path: &Path, text: &str, not_an_object: Severity) {
        match manifests::parse(path, text) {
            Ok(manifests) => self.manifests.extend(manifests),
            Err(error) => self.unreadable.push(Unreadable {
                severity: match error {
                    ManifestError::NotAnObject { .. } => not_an_object,
                    _ => Severity::Error,
                },
                error,
            }),
        }
    }
}
