//! The objects that an install needs beside the charts. Pure.

use anyhow::Context as _;
use serde_json::{Value, json};

/// The address of the frontend of Temporal's own chart, which the examples name.
pub(super) const TEMPORAL_ADDRESS: &str = "temporal-frontend.temporal.svc.cluster.local:7233";
const SERVICE: &str = "temporal-frontend";
const SERVICE_NAMESPACE: &str = "temporal";

/// A Service and its endpoints for a Temporal at `address` outside the cluster.
pub(super) fn temporal_service(address: &str) -> anyhow::Result<Value> {
    let (host, port) = address.rsplit_once(':').context("Temporal's address has no port")?;
    let port: u16 = port.parse().context("read the port of Temporal's address")?;
    let metadata = json!({"name": SERVICE, "namespace": SERVICE_NAMESPACE});
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SERVICE_NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "grpc", "port": 7233, "targetPort": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": SERVICE,
                "namespace": SERVICE_NAMESPACE,
                "labels": {"kubernetes.io/service-name": SERVICE},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [host]}],
            "ports": [{"name": "grpc", "port": port}],
        },
    ]}))
}

/// A namespace whose pods must meet the restricted Pod Security standard.
pub(super) fn restricted_namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    })
}

/// A ServiceAccount and its RoleBindings to ClusterRoles in its own namespace.
pub(super) fn account_with_roles(namespace: &str, name: &str, roles: &[String]) -> Value {
    let metadata = |name: &str| json!({"name": name, "namespace": namespace});
    let mut items = vec![json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name)})];
    items.extend(roles.iter().map(|role| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(&format!("{name}-{role}")),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        })
    }));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

pub(super) fn secret(namespace: &str, name: &str, key: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {key: value},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporal_outside_the_cluster_gets_an_endpoint() {
        let manifests = temporal_service("10.1.2.3:17233").unwrap();
        assert_eq!(manifests["items"][2]["endpoints"], json!([{"addresses": ["10.1.2.3"]}]));
        assert_eq!(manifests["items"][2]["ports"], json!([{"name": "grpc", "port": 17233}]));
        assert!(temporal_service("nonsense").is_err());
    }
}
