//! The loss of a worker in the middle of an answer.

use steadfast_e2e::{
    backend::cluster::{namespace::Namespace, pods},
    scenario::worker_loss::a_killed_worker_loses_nothing,
};

pub(crate) async fn the_only_worker_is_killed_in_the_middle_of_an_answer(namespace: Namespace) {
    a_killed_worker_loses_nothing(&namespace, 1).await;
    pods::until_restarted(&namespace, 1).await.unwrap();
}

pub(crate) async fn one_of_two_workers_is_killed_in_the_middle_of_an_answer(namespace: Namespace) {
    a_killed_worker_loses_nothing(&namespace, 2).await;
    pods::until_restarted(&namespace, 1).await.unwrap();
}
