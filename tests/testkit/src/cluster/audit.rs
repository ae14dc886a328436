//! What users of the API server have written, from its audit log.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;

use super::users::User;
use crate::{files, process::Launch};

/// The log of the writes of some users. The API server has written a request down before it answers.
#[derive(Clone, Debug)]
pub struct AuditLog {
    policy: PathBuf,
    log: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditMark(u64);

/// A request that changes something, whatever the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub user: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// For instance `agents` or `agents/status`.
    pub resource: String,
    pub namespace: String,
    /// Empty where the server chooses the name.
    pub name: String,
    /// The status code of the answer.
    pub code: u16,
}

impl AuditLog {
    /// Writes the policy into this directory: every write of these users, and nothing else.
    pub(crate) fn of(directory: &Path, users: &[User]) -> anyhow::Result<Self> {
        let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {
                    "level": "Metadata", "users": names,
                    "verbs": ["create", "update", "patch", "delete", "deletecollection"],
                },
                { "level": "None" },
            ],
        });
        let audit = Self {
            policy: directory.join("audit-policy.json"),
            log: directory.join("audit.log"),
        };
        files::write(&audit.policy, &policy.to_string())?;
        Ok(audit)
    }

    /// The flags of the API server.
    pub(super) fn apply(&self, launch: Launch) -> Launch {
        launch
            .path_flag("audit-policy-file", &self.policy)
            .path_flag("audit-log-path", &self.log)
            // Without a limit the log would be cut at 100 MB.
            .flag("audit-log-maxsize", 100_000)
    }

    /// The end of the log now.
    pub fn mark(&self) -> anyhow::Result<AuditMark> {
        match std::fs::metadata(&self.log) {
            Ok(metadata) => Ok(AuditMark(metadata.len())),
            // It comes with the first write.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(AuditMark::default()),
            Err(error) => Err(error).with_context(|| format!("find the size of {}", self.log.display())),
        }
    }

    /// The writes after a mark.
    pub fn since(&self, mark: AuditMark) -> anyhow::Result<Vec<Write>> {
        let read = || {
            let mut text = String::new();
            let mut file = match File::open(&self.log) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(text),
                opened => opened?,
            };
            file.seek(SeekFrom::Start(mark.0))?;
            file.read_to_string(&mut text)?;
            anyhow::Ok(text)
        };
        let text = read().with_context(|| format!("read {}", self.log.display()))?;
        // The last line may be unfinished.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse).collect()
    }
}

fn parse(line: &str) -> anyhow::Result<Write> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        verb: String,
        user: EventUser,
        object_ref: Option<ObjectRef>,
        response_status: Option<Status>,
    }
    #[derive(Deserialize)]
    struct EventUser {
        username: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ObjectRef {
        resource: String,
        subresource: Option<String>,
        namespace: String,
        name: String,
    }
    #[derive(Deserialize)]
    struct Status {
        code: Option<u16>,
    }
    let event: Event = serde_json::from_str(line).with_context(|| format!("read the audit event {line}"))?;
    let object = event.object_ref.unwrap_or_default();
    Ok(Write {
        user: event.user.username,
        verb: event.verb,
        resource: match object.subresource {
            Some(subresource) => format!("{}/{subresource}", object.resource),
            None => object.resource,
        },
        namespace: object.namespace,
        name: object.name,
        code: event.response_status.and_then(|status| status.code).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_of_a_status_is_read_from_the_log() {
        let line = r#"{"kind":"Event","level":"Metadata","verb":"patch","user":{"username":"operator","groups":["g"]},
            "objectRef":{"resource":"agents","namespace":"team","name":"weather","apiGroup":"steadfast.dev",
            "subresource":"status"},"responseStatus":{"metadata":{},"code":200}}"#;
        let write = Write {
            user: "operator".to_owned(),
            verb: "patch".to_owned(),
            resource: "agents/status".to_owned(),
            namespace: "team".to_owned(),
            name: "weather".to_owned(),
            code: 200,
        };
        assert_eq!(parse(&line.replace('\n', "")).unwrap(), write);
    }
}
