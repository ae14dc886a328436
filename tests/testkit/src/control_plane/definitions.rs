//! Custom resources of a control plane.

use anyhow::{Context as _, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt as _, api::PostParams};

use super::{ControlPlane, READY_TIMEOUT};
use crate::wait;

impl ControlPlane {
    /// Defines custom resources, and waits until the API server serves them.
    pub async fn define(&self, definitions: impl IntoIterator<Item = CustomResourceDefinition>) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client());
        for definition in definitions {
            let name = definition.name_any();
            api.create(&PostParams::default(), &definition)
                .await
                .with_context(|| format!("define {name}"))?;
            wait::until(format!("{name} to be served"), READY_TIMEOUT, async || {
                let status = api.get(&name).await?.status;
                let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
                let mut established = conditions.iter().filter(|one| one.type_ == "Established");
                ensure!(established.any(|one| one.status == "True"), "it is not established");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}
