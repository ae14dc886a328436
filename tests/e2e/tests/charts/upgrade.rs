//! A release of the former charts is upgraded as the page of operations says, and back, on a real API server. No pod runs.

use steadfast_e2e::{
    chart::REQUIRED,
    pages::{blocks, page},
};
use steadfast_testkit::{ControlPlane, workspace};

use crate::pages::link_sources;

#[tokio::test]
async fn a_release_of_the_former_charts_keeps_its_values_and_agents_through_an_upgrade_and_back() {
    let cluster = ControlPlane::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    link_sources(directory.path());
    let former = workspace::root().join("tests/released/charts").display().to_string();
    let settings = [&REQUIRED[..], &["operator.replicas=2"]].concat().join(",");
    let install = format!(
        "helm upgrade --install steadfast-crds {former}/steadfast-crds.tgz \
           --namespace steadfast-system --create-namespace\n\
         helm upgrade --install steadfast {former}/steadfast.tgz --namespace steadfast-system --set {settings}\n\
         kubectl wait --for=condition=Established --timeout=30s crd --all\n"
    );
    let state = async || {
        let replicas = "jsonpath={.spec.replicas}";
        let operator = "--namespace=steadfast-system";
        let replicas = [
            "get",
            "deployment",
            "steadfast-operator",
            operator,
            "--output",
            replicas,
        ];
        let spec = [
            "get",
            "agent",
            "haiku",
            "--output=jsonpath={.metadata.uid} {.spec.instructions}",
        ];
        (
            cluster.kubectl(&replicas).await.unwrap(),
            cluster.kubectl(&spec).await.unwrap(),
        )
    };
    cluster.shell(&install, directory.path()).await.unwrap();
    cluster
        .shell("kubectl apply --filename examples/haiku", directory.path())
        .await
        .unwrap();
    let before = state().await;
    assert_eq!(before.0, "2");
    assert!(cluster.kubectl(&["get", "workerpools"]).await.is_err());

    let upgrade = blocks(&page("operations"), "sh").remove(0);
    assert!(upgrade.contains("helm upgrade steadfast "), "{upgrade}");
    cluster.shell(&upgrade, directory.path()).await.unwrap();
    assert_eq!(state().await, before);
    cluster.kubectl(&["get", "workerpools"]).await.unwrap();

    // The way back is an installation of the former ones. What they do not know stays.
    cluster.shell(&install, directory.path()).await.unwrap();
    assert_eq!(state().await, before);
}
