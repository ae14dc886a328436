//! The users of the API server: the lines of its token file.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::files;

/// A user to create: its name and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    pub name: String,
    pub groups: Vec<String>,
}

impl NewUser {
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        }
    }
}

/// A user and its bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    pub token: String,
}

pub(crate) const ADMIN: &str = "admin";
pub(crate) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
pub(crate) const SCHEDULER: &str = "system:kube-scheduler";
pub(crate) const PROXY: &str = "system:kube-proxy";

/// All users of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    path: PathBuf,
    users: Vec<User>,
}

impl Users {
    /// The users in the file; adds these if they are missing. The API server reads
    /// the file only at its start.
    pub(crate) fn ensure(path: PathBuf, wanted: &[NewUser]) -> anyhow::Result<Self> {
        let known = if path.is_file() { read(&path)? } else { Vec::new() };
        let mut users = Self { path, users: known };
        for user in wanted {
            users.add(user.clone())?;
        }
        Ok(users)
    }

    /// The user of this name. Creates it and writes the file if there is none.
    pub(crate) fn add(&mut self, wanted: NewUser) -> anyhow::Result<User> {
        if let Some(known) = self.find(&wanted.name) {
            if known.groups != wanted.groups {
                bail!("user {} exists with the groups {:?}", known.name, known.groups);
            }
            return Ok(known.clone());
        }
        let NewUser { name, groups } = wanted;
        let user = User {
            name,
            groups,
            token: random_token()?,
        };
        self.users.push(user.clone());
        let lines: String = self.users.iter().map(line).collect();
        files::write_private(&self.path, &lines)?;
        Ok(user)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&User> {
        self.find(name)
            .with_context(|| format!("the cluster has no user {name}"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// `token,name,uid,"group,group"`
fn line(user: &User) -> String {
    format!(
        "{},{},{},\"{}\"\n",
        user.token,
        user.name,
        user.name,
        user.groups.join(",")
    )
}

fn read(path: &Path) -> anyhow::Result<Vec<User>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.lines().filter_map(parse_line).collect())
}

fn parse_line(line: &str) -> Option<User> {
    let mut fields = line.splitn(4, ',');
    let token = fields.next()?.to_owned();
    let name = fields.next()?.to_owned();
    let groups = fields.nth(1)?.trim_matches('"');
    let groups = groups
        .split(',')
        .filter(|group| !group.is_empty())
        .map(str::to_owned)
        .collect();
    Some(User { name, groups, token })
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("read random bytes")?;
    Ok(crate::hash::sha256_hex([bytes.as_slice()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_written_and_read_back_unchanged() {
        for groups in [vec![], vec!["one".to_owned()], vec!["one".to_owned(), "two".to_owned()]] {
            let user = User {
                name: "system:node:n".to_owned(),
                groups,
                token: "t".to_owned(),
            };
            assert_eq!(parse_line(line(&user).trim_end()), Some(user));
        }
    }
}
