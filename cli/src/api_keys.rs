//! `steadfast api-keys`: a key, and the entry of a Secret by which the gateway knows it. Only the hash is stored.

use std::fmt::Write as _;

use anyhow::{Context as _, anyhow, bail};
use jiff::{Timestamp, tz::TimeZone};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use serde::Serialize;
use serde_json::{Value, json};
use steadfast_contract::api_keys::{API_KEY_PREFIX, ApiKeyEntry};

use crate::{
    args::{ApiKeysCommand, CreateApiKeyArguments},
    stdout::{print, print_structured},
};

/// As many as SHA-256 has: nobody guesses a key, and a hash of it needs no salt.
const RANDOM_BYTES: usize = 32;
/// Names that only Kubernetes itself gives; the gateway refuses them.
const RESERVED_PREFIX: &str = "system:";

/// A key that was made.
#[derive(Debug, Serialize)]
struct NewKey {
    name: String,
    key: String,
    entry: ApiKeyEntry,
    /// The patch that adds the entry to a Secret.
    patch: Value,
}

pub(crate) fn run(command: ApiKeysCommand) -> anyhow::Result<()> {
    match command {
        ApiKeysCommand::Create(arguments) => {
            let mut random = [0; RANDOM_BYTES];
            SystemRandom::new()
                .fill(&mut random)
                .map_err(|_| anyhow!("the system gives no random bytes"))?;
            let key = NewKey::of(&random, &arguments, Timestamp::now())?;
            match arguments.output.structured() {
                Some(format) => print_structured(format, &key),
                None => print(&key.in_words(&arguments)),
            }
        }
    }
}

impl NewKey {
    fn of(random: &[u8], arguments: &CreateApiKeyArguments, now: Timestamp) -> anyhow::Result<Self> {
        let name = &arguments.name;
        let is_usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_usable) {
            bail!("the name of a key has letters, digits, -, _ and . only, as the entry of a Secret: {name:?}");
        }
        if arguments.user.is_empty() {
            bail!("--user must not be empty");
        }
        for name in std::iter::once(&arguments.user).chain(&arguments.groups) {
            if name.starts_with(RESERVED_PREFIX) {
                bail!(
                    "{name:?} is a name that Kubernetes keeps for itself: choose one that does not begin with system:"
                );
            }
        }
        let expires = arguments
            .expires_in
            .map(|span| now.to_zoned(TimeZone::UTC).checked_add(span))
            .transpose()
            .context("--expires-in is not a time that can be added to now")?
            .map(|time| time.timestamp());
        if expires.is_some_and(|expires| expires <= now) {
            bail!("--expires-in must be longer than nothing");
        }
        let key = format!("{API_KEY_PREFIX}{}", hexadecimal(random));
        let entry = ApiKeyEntry {
            user: arguments.user.clone(),
            groups: arguments.groups.clone(),
            sha256: hexadecimal(digest(&SHA256, key.as_bytes()).as_ref()),
            expires,
        };
        let text = serde_json::to_string(&entry)?;
        Ok(Self {
            name: name.clone(),
            key,
            entry,
            patch: json!({"stringData": {name: text}}),
        })
    }

    fn in_words(&self, arguments: &CreateApiKeyArguments) -> String {
        let CreateApiKeyArguments { secret, namespace, .. } = arguments;
        // Within single quotes of a shell.
        let patch = self.patch.to_string().replace('\'', r"'\''");
        format!(
            "The key of {user}, which is shown only this once:\n\n  {key}\n\nAdd its hash to the Secret that the gateway \
             reads:\n\n  kubectl --namespace {namespace} patch secret {secret} --type=merge --patch='{patch}'\n\nIf there \
             is no such Secret yet, create it first, and name it in the Helm value gateway.apiKeys.secretNames:\n\n  \
             kubectl --namespace {namespace} create secret generic {secret}\n",
            user = arguments.user,
            key = self.key,
        )
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::OutputFormat;

    fn arguments() -> CreateApiKeyArguments {
        CreateApiKeyArguments {
            name: "ui-1".to_owned(),
            user: "o'hara".to_owned(),
            groups: vec!["chat".to_owned()],
            expires_in: Some("90d".parse().unwrap()),
            secret: "keys".to_owned(),
            namespace: "steadfast".to_owned(),
            output: OutputFormat::Text,
        }
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_secret_gets_the_hash_of_the_key_and_never_the_key() {
        let key = NewKey::of(&[7; 32], &arguments(), now()).unwrap();
        assert_eq!(key.key, format!("sfk_{}", "07".repeat(32)));
        assert_eq!(
            key.entry,
            ApiKeyEntry {
                user: "o'hara".to_owned(),
                groups: vec!["chat".to_owned()],
                sha256: hexadecimal(digest(&SHA256, key.key.as_bytes()).as_ref()),
                expires: Some("2027-02-26T12:00:00Z".parse().unwrap()),
            }
        );
        let entry = key.patch["stringData"]["ui-1"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<ApiKeyEntry>(entry).unwrap(), key.entry);
        assert!(!key.patch.to_string().contains(&key.key));
    }

    #[test]
    fn the_command_can_be_pasted_into_a_shell() {
        let arguments = arguments();
        let words = NewKey::of(&[7; 32], &arguments, now()).unwrap().in_words(&arguments);
        assert!(words.contains("kubectl --namespace steadfast patch secret keys --type=merge --patch='{"));
        assert!(words.contains(r"o'\''hara"), "{words}");
    }

    #[test]
    fn what_the_gateway_would_refuse_is_refused_here() {
        let refused = |change: fn(&mut CreateApiKeyArguments)| {
            let mut arguments = arguments();
            change(&mut arguments);
            NewKey::of(&[7; 32], &arguments, now()).unwrap_err().to_string()
        };
        assert!(refused(|arguments| arguments.name = "a b".to_owned()).contains("name of a key"));
        assert!(refused(|arguments| arguments.user = String::new()).contains("--user"));
        assert!(refused(|arguments| arguments.groups = vec!["system:masters".to_owned()]).contains("system:masters"));
        assert!(refused(|arguments| arguments.expires_in = Some("-1d".parse().unwrap())).contains("--expires-in"));
    }
}
