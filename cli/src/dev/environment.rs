//! The credentials of the Agents: environment variables and the file `.env`, in
//! place of Secrets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::json;
use steadfast_crds::{
    agent::Credential,
    manifests::{Manifest, Origin},
};

/// Variables that a child process needs from the environment of this one.
const PASSED_ON: [&str; 11] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "no_proxy",
];

/// The variable of each key of a Secret.
type KeysOfSecret<'a> = BTreeMap<&'a str, &'a str>;

/// An Agent or a WorkerPool with credentials.
#[derive(Clone, Debug)]
pub(super) struct CredentialsUser {
    pub(super) namespace: Option<String>,
    pub(super) credentials: Vec<Credential>,
    /// The variables of the keys of models, for which there is a stand-in.
    pub(super) model_keys: BTreeSet<String>,
}

/// The variables of this process and of `.env`; the process has precedence.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    all: BTreeMap<String, String>,
    variables: Vec<(String, String)>,
    file: PathBuf,
    /// The file as it was read last; absent if there is none.
    text: Option<String>,
}

impl Environment {
    /// A missing `.env` is no error.
    pub(super) fn read(variables: Vec<(String, String)>, file: &Path) -> anyhow::Result<Self> {
        let mut environment = Self {
            all: BTreeMap::new(),
            variables,
            file: file.to_owned(),
            text: None,
        };
        environment.set(read_file(file)?)?;
        Ok(environment)
    }

    /// Reads the file again. Returns whether it has changed. A file with an error changes nothing.
    pub(super) fn reload(&mut self) -> anyhow::Result<bool> {
        let text = read_file(&self.file)?;
        if text == self.text {
            return Ok(false);
        }
        self.set(text)?;
        Ok(true)
    }

    fn set(&mut self, text: Option<String>) -> anyhow::Result<()> {
        let parsed = parse(text.as_deref().unwrap_or_default());
        // An error is told once for each change.
        self.text = text;
        let mut all = parsed.with_context(|| format!("read {}", self.file.display()))?;
        all.extend(self.variables.iter().cloned());
        self.all = all;
        Ok(())
    }

    /// What every child process gets.
    pub(super) fn passed_on(&self) -> BTreeMap<String, String> {
        let passed_on = PASSED_ON.iter().filter_map(|name| {
            let value = self.all.get(*name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        passed_on.collect()
    }

    /// What a program gets that installs packages: where from, with which certificates and which cache.
    pub(super) fn for_installers(&self) -> BTreeMap<String, String> {
        let mut variables = self.passed_on();
        let of_installers = self.all.iter().filter(|(name, _)| {
            ["PIP_", "UV_", "CARGO_", "RUSTUP_", "XDG_", "GO", "NPM_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        variables.extend(of_installers.map(|(name, value)| (name.clone(), value.clone())));
        variables
    }

    /// A value that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The Secrets that the credentials of the Agents and the WorkerPools name, with the keys whose variables are set or
    /// have a stand-in. Their values are the names of the variables: a revision depends on no value.
    pub(super) fn secrets(&self, users: &[(CredentialsUser, Origin)], namespace: &str) -> Vec<Manifest> {
        // Two Agents may read different keys of one Secret.
        let mut secrets: BTreeMap<(&str, &str), (&Origin, KeysOfSecret<'_>)> = BTreeMap::new();
        for (user, origin) in users {
            let namespace = user.namespace.as_deref().unwrap_or(namespace);
            for credential in &user.credentials {
                let name = credential.env_var_name.as_str();
                if self.get(name).is_some() || user.model_keys.contains(name) {
                    let of_secret = (namespace, credential.secret_name.as_str());
                    let (_, keys) = secrets
                        .entry(of_secret)
                        .or_insert_with(|| (origin, KeysOfSecret::new()));
                    keys.insert(&credential.secret_key, name);
                }
            }
        }
        let manifests = secrets.into_iter().map(|((namespace, name), (origin, keys))| {
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
                "stringData": keys,
            });
            Manifest::new(origin.clone(), secret)
        });
        manifests.collect()
    }
}

fn read_file(file: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}

/// `NAME=value` lines, as shells and Docker read them: comments, `export`, and quotes around a value.
fn parse(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {} is not NAME=value", number + 1);
        };
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
            Some(inner.to_owned())
        });
        variables.insert(name.trim().to_owned(), quoted.unwrap_or_else(|| value.to_owned()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_shells_read_it_and_the_process_has_precedence() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(".env");
        fs::write(&file, "# keys\nexport A=1\nB='two words'\n\nC=\"three\"\nD=\n").unwrap();
        let mut environment = Environment::read(vec![("A".to_owned(), "9".to_owned())], &file).unwrap();
        let values: Vec<_> = ["A", "B", "C", "D", "E"].map(|name| environment.get(name)).into();
        assert_eq!(values, [Some("9"), Some("two words"), Some("three"), None, None]);
        assert!(!environment.reload().unwrap());
        fs::write(&file, "A=2\nE=5\n").unwrap();
        assert!(environment.reload().unwrap());
        assert_eq!(
            (environment.get("A"), environment.get("B"), environment.get("E")),
            (Some("9"), None, Some("5"))
        );
        fs::write(&file, "nonsense\n").unwrap();
        assert!(environment.reload().is_err());
        assert!(!environment.reload().unwrap(), "an error is told once");
        assert_eq!(environment.get("E"), Some("5"));
        let error = Environment::read(Vec::new(), &file).unwrap_err();
        assert!(format!("{error:#}").ends_with("line 1 is not NAME=value"), "{error:#}");
    }
}
