//! What the demo must be told of a cluster that is there already. Pure.

use anyhow::{Context as _, ensure};
use clap::Args;
use steadfast_testkit::install::{InstallOptions, ManifestOverrides};

/// Where the cluster of a context has what the local platform brings along.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ExistingArguments {
    /// Uses the cluster of this kubeconfig context instead of starting a platform: nothing is built for it, and
    /// kubectl and helm of the PATH are used.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub context: Option<String>,
    /// With --context: registry, and path, that the cluster pulls all images from.
    #[arg(long, value_name = "REGISTRY", requires = "context")]
    pub image_registry: Option<String>,
    /// With --context: tag of all images there.
    #[arg(long, value_name = "TAG", requires = "context")]
    pub image_tag: Option<String>,
    /// With --context: Temporal's frontend as pods reach it, HOST:PORT.
    #[arg(long, value_name = "ADDRESS", requires = "context")]
    pub temporal_address: Option<String>,
    /// With --context: Redis as pods reach it.
    #[arg(long, value_name = "URL", requires = "context")]
    pub redis_url: Option<String>,
    /// With --context: base URL of the model that pods call, when it is not the provider's.
    #[arg(long, value_name = "URL", requires = "context")]
    pub model_base_url: Option<String>,
}

/// A cluster that is there, and everything that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Existing {
    pub context: String,
    pub overrides: ManifestOverrides,
    pub redis_url: String,
    pub model_base_url: Option<String>,
}

impl ExistingArguments {
    /// The cluster; none when the local platform is meant.
    pub(super) fn read(&self) -> anyhow::Result<Option<Existing>> {
        let Some(context) = &self.context else {
            return Ok(None);
        };
        let needed = [
            ("--image-registry", &self.image_registry),
            ("--image-tag", &self.image_tag),
            ("--temporal-address", &self.temporal_address),
            ("--redis-url", &self.redis_url),
        ];
        let missing: Vec<&str> = needed
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(flag, _)| *flag)
            .collect();
        ensure!(
            missing.is_empty(),
            "--context uses a cluster as it is: it must be told where images, Temporal and Redis are, as pods reach \
             them; give {} too",
            missing.join(", ")
        );
        let given = |value: &Option<String>| value.clone().unwrap_or_default();
        Ok(Some(Existing {
            context: context.clone(),
            overrides: ManifestOverrides {
                registry: given(&self.image_registry),
                tag: given(&self.image_tag),
                temporal_address: given(&self.temporal_address),
            },
            redis_url: given(&self.redis_url),
            model_base_url: self.model_base_url.clone(),
        }))
    }
}

impl Existing {
    /// How to install, and the key that model calls carry.
    pub(super) fn model(&self, key: Option<String>) -> anyhow::Result<(InstallOptions, String)> {
        let Some(base_url) = &self.model_base_url else {
            let key = key.context(
                "with --context no fake model is started: set OPENAI_API_KEY, or give --model-base-url of a model that \
                 pods can reach",
            )?;
            return Ok((InstallOptions::default(), key));
        };
        let options = InstallOptions::default().with_model_at(base_url);
        Ok((options, key.unwrap_or_else(|| "none".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> ExistingArguments {
        let text = |text: &str| Some(text.to_owned());
        ExistingArguments {
            context: text("kind"),
            image_registry: text("registry.example"),
            image_tag: text("1"),
            temporal_address: text("temporal:7233"),
            redis_url: text("redis://redis"),
            model_base_url: None,
        }
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        assert_eq!(ExistingArguments::default().read().unwrap(), None);
        let incomplete = ExistingArguments {
            temporal_address: None,
            redis_url: None,
            ..complete()
        };
        let complaint = incomplete.read().unwrap_err().to_string();
        assert!(
            complaint.ends_with("give --temporal-address, --redis-url too"),
            "{complaint}"
        );
    }

    #[test]
    fn a_model_must_be_named_by_its_key_or_its_address() {
        let existing = complete().read().unwrap().unwrap();
        assert!(existing.model(None).unwrap_err().to_string().contains("OPENAI_API_KEY"));
        assert_eq!(existing.model(Some("sk".to_owned())).unwrap().1, "sk");
        let local = Existing {
            model_base_url: Some("http://model/v1".to_owned()),
            ..existing
        };
        let (options, key) = local.model(None).unwrap();
        assert_eq!(options.worker_env["STEADFAST_MODEL_BASE_URL"], "http://model/v1");
        assert_eq!(key, "none");
    }
}
