//! The documented examples: their agents and Deployments, and how to apply them.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;

use super::{
    ClusterAdmin, apply,
    manifests::{TEMPORAL_ADDRESS, secret},
    wait_for_agent, wait_for_deployment,
};
use crate::{files, release::REGISTRY, temp_dir::TempDir, workspace};

/// The tag of the images in the manifests.
const IMAGE_TAG: &str = "0.1.0";
/// The Secrets with a model key that the examples name, and the key inside them.
const MODEL_SECRETS: [&str; 3] = ["openai-secret", "billing-openai", "spanish-support-openai"];
const MODEL_SECRET_KEY: &str = "api-key";

/// One directory of `examples/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    pub name: &'static str,
    pub agents: &'static [&'static str],
    /// Deployments beside those of the agents' workers.
    pub deployments: &'static [&'static str],
}

impl Example {
    pub const ALL: [Self; 12] = [
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
        Self::new("worker-pool", &["limerick", "proverb"], &[]),
    ];

    const fn new(name: &'static str, agents: &'static [&'static str], deployments: &'static [&'static str]) -> Self {
        Self {
            name,
            agents,
            deployments,
        }
    }

    /// The example in the directory of this name.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|example| example.name == name);
        found.with_context(|| format!("there is no example {name:?}"))
    }

    pub fn dir(&self) -> PathBuf {
        workspace::root().join("examples").join(self.name)
    }

    /// The fake model's fixtures for this example.
    pub fn fixtures(&self) -> PathBuf {
        self.dir().join("model")
    }

    /// Waits until every Deployment is Available and every agent is Ready.
    pub async fn wait_until_ready(
        &self,
        cluster: &impl ClusterAdmin,
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

    /// Applies the example with other images and another Temporal than its manifests name.
    pub async fn apply_with(
        &self,
        cluster: &impl ClusterAdmin,
        namespace: &str,
        overrides: &ManifestOverrides,
    ) -> anyhow::Result<()> {
        let temp_dir = TempDir::new("example")?;
        let dir = self.dir();
        let entries = std::fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let manifests = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let name = path.file_name().context("a file has a name")?;
            files::write_private(&temp_dir.path().join(name), &overrides.apply(&manifests))?;
        }
        let dir = temp_dir.path().display().to_string();
        cluster
            .kubectl(&["apply", "--namespace", namespace, "--filename", &dir])
            .await
            .map(drop)
    }
}

/// What replaces the images and the Temporal address in the examples' manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestOverrides {
    /// Registry and path of all images.
    pub registry: String,
    pub tag: String,
    /// The address of Temporal's frontend for pods.
    pub temporal_address: String,
}

impl ManifestOverrides {
    fn apply(&self, manifests: &str) -> String {
        let lines: Vec<String> = manifests.lines().map(|line| self.apply_to_line(line)).collect();
        lines.join("\n") + "\n"
    }

    fn apply_to_line(&self, line: &str) -> String {
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

/// Creates or replaces every Secret with a model key that the examples name.
pub async fn set_model_keys(cluster: &impl ClusterAdmin, namespace: &str, key: &str) -> anyhow::Result<()> {
    for name in MODEL_SECRETS {
        set_model_key_in(cluster, namespace, name, key).await?;
    }
    Ok(())
}

/// Creates or replaces one Secret with a model key.
pub async fn set_model_key_in(
    cluster: &impl ClusterAdmin,
    namespace: &str,
    name: &str,
    key: &str,
) -> anyhow::Result<()> {
    apply(cluster, &secret(namespace, name, MODEL_SECRET_KEY, key)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_directory_is_listed() {
        let mut known: Vec<&str> = Example::ALL.iter().map(|example| example.name).collect();
        known.sort_unstable();
        let mut dirs: Vec<String> = std::fs::read_dir(workspace::root().join("examples"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        dirs.sort_unstable();
        assert_eq!(known, dirs);
        for example in Example::ALL {
            assert!(example.dir().join("README.md").is_file(), "{}", example.name);
            assert!(example.fixtures().join("fixtures.json").is_file(), "{}", example.name);
        }
    }

    #[test]
    fn overrides_replace_images_and_the_temporal_address() {
        let overrides = ManifestOverrides {
            registry: "registry.example/team".to_owned(),
            tag: "abc".to_owned(),
            temporal_address: "temporal:7233".to_owned(),
        };
        let manifests = format!(
            "    image: localhost/steadfast/example-python:0.1.0\n    value: {TEMPORAL_ADDRESS}\n    image: nginx:1\n"
        );
        assert_eq!(
            overrides.apply(&manifests),
            "    image: registry.example/team/steadfast/example-python:abc\n    value: temporal:7233\n    image: nginx:1\n"
        );
    }
}
