//! Objects that the last release stored are read whole and pass the rules of admission. That the API server takes them is
//! tested in `operator/tests/control_plane/admission.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeSet, error::Error as _, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use steadfast_crds::{Agent, AgentReferenceGrant, AgentRevision, AgentTool, WorkerPool, manifests};

#[path = "../../tests/released/lost.rs"]
mod lost;

/// What a kind loses of a stored object.
fn read<T: DeserializeOwned + Serialize>(manifest: &manifests::Manifest) -> Option<String> {
    let object: T = manifest
        .decode()
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.source()));
    lost::lost(&manifest.object, &serde_json::to_value(&object).unwrap(), "")
}

#[test]
fn every_object_of_the_last_release_is_read_whole_and_admitted() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/released/objects.yaml");
    let stored = manifests::parse(&file, &std::fs::read_to_string(&file).unwrap()).unwrap();
    let mut kinds = BTreeSet::new();
    for manifest in &stored {
        let (lost, refused) = match manifest.kind() {
            "Agent" => (
                read::<Agent>(manifest),
                manifest.decode::<Agent>().unwrap().validate_cel().err(),
            ),
            "AgentTool" => (
                read::<AgentTool>(manifest),
                manifest.decode::<AgentTool>().unwrap().validate_cel().err(),
            ),
            "WorkerPool" => {
                let pool: WorkerPool = manifest.decode().unwrap();
                (read::<WorkerPool>(manifest), pool.validate_cel().err())
            }
            "AgentReferenceGrant" => (read::<AgentReferenceGrant>(manifest), None),
            "AgentRevision" => {
                let revision: AgentRevision = manifest.decode().unwrap();
                (read::<AgentRevision>(manifest), revision.validate_cel().err())
            }
            other => panic!("{}: {other} is no kind of Steadfast", manifest.origin),
        };
        assert_eq!(lost, None, "{}", manifest.origin);
        assert!(refused.is_none(), "{}: {refused:?}", manifest.origin);
        kinds.insert(manifest.kind().to_owned());
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}
