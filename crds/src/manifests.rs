//! Reads Kubernetes manifests from a directory, for use without a cluster.
//!
//! Every `*.yaml`, `*.yml` and `*.json` file directly in the directory; several
//! documents per file; the items of a `List`, such as `kubectl get -o yaml`
//! prints. An error names the file and the line.

mod located;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use kube_core::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;

use self::located::{Lines, Located};
use crate::yaml::{self, ReadYamlError};

/// One object of a manifest, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The place of the object.
    pub origin: Origin,
    /// The object.
    pub object: Value,
    lines: Lines,
}

/// The place of an object or of a value in it, for error messages: `file:line`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file.display(), self.line)
    }
}

/// Why the manifests could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The directory cannot be listed.
    #[error("list the directory {}", path.display())]
    ListDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("read the file {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A document is not YAML or JSON.
    #[error("{origin}: not YAML that a Kubernetes object can be read from")]
    Parse {
        /// The document.
        origin: Origin,
        /// The cause.
        source: ReadYamlError,
    },
    /// A document is not a Kubernetes object.
    #[error("{origin}: the document has no apiVersion or no kind; every document must be a Kubernetes object")]
    NotAnObject {
        /// The document.
        origin: Origin,
    },
    /// An object is of another kind than the caller reads.
    #[error("{origin}: the object is {found}; this directory may hold {expected} objects only")]
    OtherKind {
        /// The object.
        origin: Origin,
        /// The kind that the caller reads.
        expected: String,
        /// The kind of the object.
        found: String,
    },
    /// An object cannot be decoded as its kind.
    #[error("{origin}: the object cannot be read as {kind}")]
    Decode {
        /// The object.
        origin: Origin,
        /// The kind.
        kind: String,
        /// The cause.
        source: serde_json::Error,
    },
}

impl ManifestError {
    /// The place in a file; `None` if a file or directory cannot be read at all.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        match self {
            Self::ListDirectory { .. } | Self::ReadFile { .. } => None,
            Self::Parse { origin, .. }
            | Self::NotAnObject { origin }
            | Self::OtherKind { origin, .. }
            | Self::Decode { origin, .. } => Some(origin),
        }
    }
}

impl Manifest {
    /// An object that a program made; errors name `origin`.
    #[must_use]
    pub fn new(origin: Origin, object: Value) -> Self {
        Self {
            origin,
            object,
            lines: Lines::new(),
        }
    }

    /// The API version, for example `steadfast.dev/v1alpha1`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.object["apiVersion"].as_str().unwrap_or_default()
    }

    /// The kind, for example `Agent`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    /// Whether the object is of the type `K`.
    #[must_use]
    pub fn is<K: Resource<DynamicType = ()>>(&self) -> bool {
        self.kind() == K::kind(&()) && self.api_version() == K::api_version(&())
    }

    /// The place of the value at a JSON Pointer (RFC 6901) in the object, for example `/spec/tools/0`. The place of
    /// the value around it if there is none.
    #[must_use]
    pub fn origin_of(&self, pointer: &str) -> Origin {
        let mut pointer = pointer;
        loop {
            if let Some(&line) = self.lines.get(pointer) {
                return Origin {
                    line,
                    ..self.origin.clone()
                };
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return self.origin.clone(),
            }
        }
    }

    /// The object as a value of the type `K`, which the caller chose by [`Manifest::is`] or [`Manifest::kind`].
    pub fn decode<K: DeserializeOwned>(&self) -> Result<K, ManifestError> {
        serde_json::from_value(self.object.clone()).map_err(|source| ManifestError::Decode {
            origin: self.origin.clone(),
            kind: self.kind().to_owned(),
            source,
        })
    }
}

/// Reads every object in the directory, in the order of file names.
pub fn read_dir(path: &Path) -> Result<Vec<Manifest>, ManifestError> {
    let mut manifests = Vec::new();
    for file in files_in(path, false)? {
        let text = fs::read_to_string(&file).map_err(|source| ManifestError::ReadFile {
            path: file.clone(),
            source,
        })?;
        manifests.extend(parse(&file, &text)?);
    }
    Ok(manifests)
}

/// Reads a directory that may hold objects of the type `K` only.
pub fn read_dir_of<K>(path: &Path) -> Result<Vec<K>, ManifestError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let manifests = read_dir(path)?;
    manifests
        .iter()
        .map(|manifest| {
            if manifest.is::<K>() {
                return manifest.decode();
            }
            Err(ManifestError::OtherKind {
                origin: manifest.origin.clone(),
                expected: format!("{} {}", K::api_version(&()), K::kind(&())),
                found: format!("{} {}", manifest.api_version(), manifest.kind()),
            })
        })
        .collect()
}

/// Reads the text of one file; `file` is for error messages.
pub fn parse(file: &Path, text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let file: Arc<Path> = file.into();
    let place = |line: u64| Origin {
        file: Arc::clone(&file),
        line: u32::try_from(line).unwrap_or(u32::MAX),
    };
    let mut manifests = Vec::new();
    let documents = yaml::documents::<Spanned<Located>>(text).map_err(|error| ManifestError::Parse {
        origin: place(error.line().unwrap_or(1)),
        source: error,
    })?;
    for document in documents {
        let origin = place(document.referenced.line());
        flatten(origin, document.value, &mut manifests)?;
    }
    Ok(manifests)
}

/// The manifest files in a directory, in the order of names; with `recursive`, also those of the directories in it.
pub fn files_in(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, ManifestError> {
    let error = |source| ManifestError::ListDirectory {
        path: path.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(error)? {
        entries.push(entry.map_err(error)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        let extension = entry.extension().and_then(|extension| extension.to_str());
        if recursive && entry.is_dir() {
            files.extend(files_in(&entry, recursive)?);
        } else if matches!(extension, Some("yaml" | "yml" | "json")) && entry.is_file() {
            files.push(entry);
        }
    }
    Ok(files)
}

/// Adds an object, or the items of a list.
fn flatten(origin: Origin, document: Located, manifests: &mut Vec<Manifest>) -> Result<(), ManifestError> {
    let Located {
        value: mut object,
        lines,
    } = document;
    let (Some(api_version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str()) else {
        return Err(ManifestError::NotAnObject { origin });
    };
    let item_kind = kind.strip_suffix("List").filter(|_| object["items"].is_array());
    let Some(item_kind) = item_kind else {
        manifests.push(Manifest { origin, object, lines });
        return Ok(());
    };
    // The items of a typed list, such as an AgentList, have the type of the list.
    let item_type = (!item_kind.is_empty()).then(|| (api_version.to_owned(), item_kind.to_owned()));
    let items = object["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    for (index, mut item) in items.into_iter().enumerate() {
        if let (Some((api_version, kind)), Some(members)) = (&item_type, item.as_object_mut()) {
            members
                .entry("apiVersion")
                .or_insert_with(|| api_version.as_str().into());
            members.entry("kind").or_insert_with(|| kind.as_str().into());
        }
        let prefix = format!("/items/{index}");
        let item = Located {
            value: item,
            lines: below(&lines, &prefix),
        };
        let origin = Origin {
            line: lines.get(&prefix).copied().unwrap_or(origin.line),
            ..origin.clone()
        };
        flatten(origin, item, manifests)?;
    }
    Ok(())
}

/// The lines below a value, with pointers from that value.
fn below(lines: &Lines, prefix: &str) -> Lines {
    let inside = lines.iter().filter_map(|(pointer, line)| {
        let rest = pointer.strip_prefix(prefix)?;
        rest.starts_with('/').then(|| (rest.to_owned(), *line))
    });
    inside.collect()
}

#[cfg(test)]
mod tests;
