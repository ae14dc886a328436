//! The memory of worker pods, in mebibytes of 2^20 bytes.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    bench::{
        process_usage,
        statistics::{float, median, rounded},
    },
    local_node::RunningPod,
};

const BYTES_PER_MEBIBYTE: f64 = 1_048_576.0;

/// All workers of a pool.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PoolMemory {
    pub workers: usize,
    /// Resident, in total.
    pub mebibytes: f64,
    /// Of that, what is no page of the program's file.
    pub anonymous_mebibytes: f64,
}

/// Workers of one Agent each.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnWorkers {
    workers: usize,
    median: f64,
    total: f64,
}

/// What workers of one Agent each need, and what so many more of them would.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Extrapolated {
    /// Workers that were measured.
    pub workers: usize,
    /// Resident, of one worker.
    pub median_mebibytes: f64,
    /// Resident, of as many workers as the pool has Agents.
    pub mebibytes: f64,
}

impl PoolMemory {
    pub(super) fn of(pods: &[Arc<RunningPod>]) -> anyhow::Result<Self> {
        let memory = pods
            .iter()
            .map(|pod| process_usage::memory(pod.service()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mebibytes = |megabytes: f64| rounded(megabytes * 1e6 / BYTES_PER_MEBIBYTE);
        Ok(Self {
            workers: memory.len(),
            mebibytes: mebibytes(memory.iter().map(|memory| memory.megabytes).sum()),
            anonymous_mebibytes: mebibytes(memory.iter().map(|memory| memory.anonymous_megabytes).sum()),
        })
    }
}

impl OwnWorkers {
    pub(super) fn of(pods: &[Arc<RunningPod>]) -> anyhow::Result<Self> {
        let resident = pods
            .iter()
            .map(|pod| process_usage::resident_mebibytes(pod.service()))
            .collect::<anyhow::Result<Vec<f64>>>()?;
        Ok(Self {
            workers: resident.len(),
            total: resident.iter().sum(),
            median: median(resident, f64::total_cmp),
        })
    }

    pub(super) fn extrapolated(self, agents: usize) -> Extrapolated {
        Extrapolated {
            workers: self.workers,
            median_mebibytes: rounded(self.median),
            mebibytes: rounded(self.total / float(self.workers) * float(agents)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_more_workers_is_that_of_the_mean_worker_as_often() {
        let measured = OwnWorkers {
            workers: 4,
            median: 20.0,
            total: 84.0,
        };
        let extrapolated = measured.extrapolated(1_000);
        assert!((extrapolated.mebibytes - 21_000.0).abs() < 1e-9);
        assert!((extrapolated.median_mebibytes - 20.0).abs() < 1e-9);
    }
}
