//! A control plane without nodes, as a client of Kubernetes sees it, and with pods that are played or that run as processes.

#[path = "control_plane/benches.rs"]
mod benches;

use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    core::v1::Namespace,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use steadfast_testkit::{ControlPlane, ControlPlaneOptions, NewUser};

#[tokio::test]
async fn a_control_plane_serves_its_namespaces_to_client_and_kubectl() {
    let control_plane = ControlPlane::start().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(control_plane.client());
    let listed = namespaces.list(&ListParams::default()).await.unwrap();
    let mut names: Vec<_> = listed.iter().filter_map(|found| found.metadata.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);

    let listed = control_plane
        .kubectl(&["get", "namespace", "default", "-o", "name"])
        .await;
    assert_eq!(listed.unwrap(), "namespace/default\n");
}

#[tokio::test]
async fn tokens_of_initial_and_added_users_are_valid() {
    let options = ControlPlaneOptions {
        users: vec![NewUser::new("alice", &["staff"])],
    };
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    let alice = control_plane.user("alice").await.unwrap();
    let bob = control_plane
        .add_user(NewUser::new("bob", &["guests", "staff"]))
        .await
        .unwrap();

    let reviews: Api<TokenReview> = Api::all(control_plane.client());
    let mut reviewed = Vec::new();
    for user in [&alice, &bob] {
        let spec = TokenReviewSpec {
            token: Some(user.token.clone()),
            ..TokenReviewSpec::default()
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let status = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap()
            .status
            .unwrap();
        let info = status.user.unwrap();
        reviewed.push((info.username.unwrap(), info.groups.unwrap()));
    }
    let groups = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        reviewed,
        [
            ("alice".to_owned(), groups(&["staff", "system:authenticated"])),
            ("bob".to_owned(), groups(&["guests", "staff", "system:authenticated"])),
        ]
    );

    let as_alice: Api<Namespace> = Api::all(control_plane.client_of(&alice).await.unwrap());
    let refused = as_alice.list(&ListParams::default()).await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 403),
        "{refused}"
    );
}
