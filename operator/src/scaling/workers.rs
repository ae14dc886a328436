//! Asks the workers what they do, before the last one goes.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use steadfast_contract::work::{self, WORK_PATH};

use crate::{
    scaling::plan::Work,
    worker_admin::{WorkerAdmin, address_of, is_ready},
};

/// Longest answer; it has three numbers.
const MAXIMUM_ANSWER_BYTES: usize = 4 << 10;
/// Workers of one owner that are asked at the same time.
const CONCURRENCY: usize = 8;

/// What the workers do, all together. One that is not ready, or does not answer, may be in the middle of a turn.
pub(crate) async fn ask(admin: &WorkerAdmin, pods: &[Arc<Pod>]) -> Work {
    let ending = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    // A pod that ends finishes what it has begun: its tasks come back to the queue, and are counted there.
    let staying: Vec<&Arc<Pod>> = pods.iter().filter(|pod| !ending(pod)).collect();
    let addresses: Option<Vec<_>> = staying
        .iter()
        .map(|pod| address_of(pod).filter(|_| is_ready(pod)))
        .collect();
    let Some(addresses) = addresses.filter(|addresses| !addresses.is_empty()) else {
        return Work::Unknown;
    };
    let answers: Vec<Option<work::Work>> = stream::iter(addresses)
        .map(|address| async move {
            let answer = admin.get(address, WORK_PATH, MAXIMUM_ANSWER_BYTES).await;
            if let Err(error) = &answer {
                tracing::debug!(%address, error = error as &dyn std::error::Error, "a worker did not say what it does");
            }
            answer.ok()
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    together(&answers)
}

fn together(answers: &[Option<work::Work>]) -> Work {
    let mut idle = None;
    for answer in answers {
        match answer {
            None => return Work::Unknown,
            Some(work) if work.activities > 0 || work.turns > 0 => return Work::Busy,
            Some(work) => {
                let time = Duration::from_secs(work.idle_seconds);
                idle = Some(idle.map_or(time, |idle: Duration| idle.min(time)));
            }
        }
    }
    idle.map_or(Work::Unknown, Work::Idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(activities: u32, turns: u32, idle_seconds: u64) -> work::Work {
        work::Work {
            activities,
            turns,
            idle_seconds,
        }
    }

    #[test]
    fn all_workers_must_have_been_idle_and_say_so() {
        let idle = Work::Idle(Duration::from_secs(20));
        assert_eq!(together(&[Some(says(0, 0, 90)), Some(says(0, 0, 20))]), idle);
        assert_eq!(together(&[Some(says(0, 0, 90)), Some(says(1, 0, 0))]), Work::Busy);
        assert_eq!(together(&[Some(says(0, 0, 90)), Some(says(0, 1, 60))]), Work::Busy);
        assert_eq!(together(&[Some(says(0, 0, 90)), None]), Work::Unknown);
        assert_eq!(together(&[]), Work::Unknown);
    }
}
