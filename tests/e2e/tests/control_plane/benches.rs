//! The benches of whole clusters with small numbers: what they promise for each Agent holds for a few, too.

use std::{collections::BTreeMap, time::Duration};

use steadfast_testkit::{
    bench::{
        Build,
        density::{self, DensityOptions},
        fleet::{self, FleetOptions},
        rotation::{self, RotationOptions},
    },
    stack::BinaryDir,
};

#[tokio::test]
async fn an_agent_of_a_fleet_costs_few_writes_when_it_comes_and_none_when_nothing_happens() {
    let build = Build::of_this_commit(BinaryDir::of_this_test().unwrap());
    let options = FleetOptions {
        agents: 12,
        agents_per_namespace: 6,
        paced: 2,
        idle: Duration::from_secs(3),
    };
    let report = fleet::run(&build, options).await.unwrap();
    assert_eq!((report.agents, report.tools, report.namespaces), (12, 36, 2));
    // For each Agent. The Role of a namespace is for all of its Agents; several of them may write it at once.
    let at_most = BTreeMap::from([
        ("create agentrevisions", 1),
        ("create events", 2),
        ("patch agents/status", 3),
        ("patch agenttools/status", 3),
        ("patch deployments", 1),
        ("patch rolebindings", 1),
        ("patch roles", 1),
        ("patch serviceaccounts", 1),
    ]);
    for (kind, count) in &report.writes.by_kind {
        let limit = at_most.get(kind.as_str()).copied().unwrap_or_default();
        assert!(*count <= limit * report.agents, "{kind}: {:?}", report.writes);
    }
    assert!(report.writes.per_tool <= 1.0, "{:?}", report.writes);
    assert_eq!(report.idle.writes, 0, "{:?}", report.idle.by_kind);
    let paced = report.paced.unwrap();
    assert!(
        paced.rates.iter().all(|rate| rate.agents.p50_milliseconds > 0.0),
        "{paced:?}"
    );
}

#[tokio::test]
async fn agents_on_a_pool_answer_and_one_more_starts_no_process() {
    let programs = BinaryDir::of_this_test().unwrap();
    let options = DensityOptions {
        agents: 5,
        workers: 2,
        own_workers: 1,
        messages: 3,
        idle_tasks: 4,
        rest: Duration::from_secs(1),
    };
    let report = density::run(&programs, None, options).await.unwrap();
    assert_eq!((report.pool.workers, report.own_workers.workers), (2, 1));
    assert_eq!(report.next_agent.other_processes, 0);
    assert_eq!(report.idle_tasks.unwrap().pods, 0);
}

#[tokio::test]
async fn no_turn_is_lost_when_a_secret_is_rotated_while_it_streams() {
    let programs = BinaryDir::of_this_test().unwrap();
    let options = RotationOptions {
        turns: 6,
        answer: Duration::from_secs(10),
    };
    let report = rotation::run(&programs, options).await.unwrap();
    assert_eq!((report.turns, report.live), (6, 6));
    assert_eq!(report.problems, Vec::<String>::new());
}
