//! The documented examples: what is in them, and how they are applied.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::manifests::{TEMPORAL_ADDRESS, secret};
use super::{Administer, apply, wait_for_agent, wait_for_deployment};
use crate::files;
use crate::scratch::Scratch;
use crate::{release::REGISTRY, workspace};

/// Tag of the images that the manifests name.
const IMAGE_TAG: &str = "0.1.0";
/// The Secrets with a model's key that the examples name, and the key in them.
const MODEL_SECRETS: [&str; 3] = ["openai-secret", "billing-openai", "spanish-support-openai"];
const MODEL_SECRET_KEY: &str = "api-key";

/// One folder of `examples/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    pub name: &'static str,
    pub agents: &'static [&'static str],
    /// What runs beside the agents' own workers.
    pub deployments: &'static [&'static str],
}

impl Example {
    pub const ALL: [Self; 11] = [
        Self::new("haiku", &["haiku"], &[]),
        Self::new("weather", &["weather"], &["weather-tools"]),
        Self::new("http-tool", &["order-desk"], &["orders"]),
        Self::new("move-money", &["bank"], &["bank-tools", "ledger"]),
        Self::new("human-in-the-loop", &["purchasing"], &["purchasing-tools"]),
        Self::new("handoffs", &["triage", "billing", "spanish-support"], &["invoices"]),
        Self::new("research", &["writer", "researcher"], &["mcp-everything"]),
        Self::new("structured-output", &["invoice-reader"], &[]),
        Self::new("guardrails", &["concierge", "topic-judge"], &[]),
        Self::new("reasoning", &["puzzler"], &[]),
        Self::new("rust-tool", &["dice"], &[]),
    ];

    const fn new(name: &'static str, agents: &'static [&'static str], deployments: &'static [&'static str]) -> Self {
        Self {
            name,
            agents,
            deployments,
        }
    }

    /// The example in a folder of that name.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|example| example.name == name);
        found.with_context(|| format!("there is no example {name:?}"))
    }

    pub fn folder(&self) -> PathBuf {
        workspace::root().join("examples").join(self.name)
    }

    /// What the fake model answers in it.
    pub fn fixtures(&self) -> PathBuf {
        self.folder().join("model")
    }

    /// Waits until all of it runs, and every agent is Ready.
    pub async fn wait_until_ready(
        &self,
        cluster: &impl Administer,
        namespace: &str,
        timeout: Duration,
    ) -> anyhow::Result<()> {
        for deployment in self.deployments {
            wait_for_deployment(cluster, namespace, deployment, timeout).await?;
        }
        for agent in self.agents {
            wait_for_agent(cluster, namespace, agent, timeout).await?;
        }
        Ok(())
    }

    /// Applies it with other images and another Temporal than its manifests name.
    pub async fn apply_elsewhere(
        &self,
        cluster: &impl Administer,
        namespace: &str,
        elsewhere: &Elsewhere,
    ) -> anyhow::Result<()> {
        let scratch = Scratch::new("example")?;
        let folder = self.folder();
        let entries = std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let manifests = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let name = path.file_name().context("a file has a name")?;
            files::write_private(&scratch.path().join(name), &elsewhere.adapt(&manifests))?;
        }
        let folder = scratch.path().display().to_string();
        cluster
            .kubectl(&["apply", "--namespace", namespace, "--filename", &folder])
            .await
            .map(drop)
    }
}

/// Where a cluster has what the local platform has elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Registry, and path, of all images.
    pub registry: String,
    pub tag: String,
    /// Temporal's frontend, as pods reach it.
    pub temporal_address: String,
}

impl Elsewhere {
    fn adapt(&self, manifests: &str) -> String {
        let adapted: Vec<String> = manifests.lines().map(|line| self.adapt_line(line)).collect();
        adapted.join("\n") + "\n"
    }

    fn adapt_line(&self, line: &str) -> String {
        let line = line.replace(TEMPORAL_ADDRESS, &self.temporal_address);
        let local = format!("image: {REGISTRY}/");
        match line.split_once(&local) {
            Some((before, image)) => {
                let image = image.strip_suffix(IMAGE_TAG).unwrap_or(image);
                let tag = if image.ends_with(':') { &self.tag } else { "" };
                format!("{before}image: {}/{image}{tag}", self.registry)
            }
            None => line,
        }
    }
}

/// Makes, or replaces, every Secret with a model's key that the examples name.
pub async fn set_model_keys(cluster: &impl Administer, namespace: &str, key: &str) -> anyhow::Result<()> {
    for name in MODEL_SECRETS {
        set_model_key_in(cluster, namespace, name, key).await?;
    }
    Ok(())
}

/// The same for one Secret.
pub async fn set_model_key_in(cluster: &impl Administer, namespace: &str, name: &str, key: &str) -> anyhow::Result<()> {
    apply(cluster, &secret(namespace, name, MODEL_SECRET_KEY, key)).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_folder_of_examples_is_known() {
        let mut known: Vec<&str> = Example::ALL.iter().map(|example| example.name).collect();
        known.sort_unstable();
        let mut folders: Vec<String> = std::fs::read_dir(workspace::root().join("examples"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        folders.sort_unstable();
        assert_eq!(known, folders);
        for example in Example::ALL {
            assert!(example.folder().join("README.md").is_file(), "{}", example.name);
            assert!(example.fixtures().join("fixtures.json").is_file(), "{}", example.name);
        }
    }

    #[test]
    fn images_and_temporal_are_named_as_the_cluster_has_them() {
        let elsewhere = Elsewhere {
            registry: "registry.example/team".to_owned(),
            tag: "abc".to_owned(),
            temporal_address: "temporal:7233".to_owned(),
        };
        let manifests = format!(
            "    image: localhost/steadfast/example-python:0.1.0\n    value: {TEMPORAL_ADDRESS}\n    image: nginx:1\n"
        );
        assert_eq!(
            elsewhere.adapt(&manifests),
            "    image: registry.example/team/steadfast/example-python:abc\n    value: temporal:7233\n    image: nginx:1\n"
        );
    }
}
