//! The mark on the schedules of an operator, in their notes: which cluster created a schedule, and
//! the digest of its content. Pure.

use std::fmt;

const PREFIX: &str = "steadfast ";
const CLUSTER: &str = "cluster=";

/// The mark on one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The cluster whose operator created the schedule.
    pub(crate) cluster: ClusterId,
    /// Differs between two versions of a schedule.
    pub(crate) digest: String,
}

/// The id of a cluster: the UID of its namespace `kube-system`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterId(pub String);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Mark {
    /// Reads notes; `None` for those of a person.
    pub(crate) fn parse(notes: &str) -> Option<Self> {
        let (cluster, digest) = notes.strip_prefix(PREFIX)?.strip_prefix(CLUSTER)?.split_once(' ')?;
        Some(Self {
            cluster: ClusterId(cluster.to_owned()),
            digest: digest.to_owned(),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{CLUSTER}{} {}", self.cluster, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_the_notes_of_a_person_are_none() {
        let mark = Mark {
            cluster: ClusterId("c".to_owned()),
            digest: "d".to_owned(),
        };
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        for notes in ["", "nightly report", "steadfast d", "steadfast cluster=c"] {
            assert_eq!(Mark::parse(notes), None, "{notes}");
        }
    }
}
