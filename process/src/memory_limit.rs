//! The memory limit of the process's cgroup, which is that of its container.

use std::{fs, path::Path};

/// The limit of version 2, seen from inside a container.
/// Source: <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>
const V2: &str = "/sys/fs/cgroup/memory.max";
/// The limit of version 1.
/// Source: <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#benefits-and-purpose-of-the-memory-controller>
const V1: &str = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
/// Version 1 writes "no limit" as a number of pages above every machine's.
const NO_LIMIT_BYTES: usize = 1 << 60;

/// The memory limit in bytes; `None` without one, or where the kernel does not tell.
pub fn memory_limit() -> Option<usize> {
    [V2, V1].into_iter().find_map(|path| read(Path::new(path)))
}

fn read(path: &Path) -> Option<usize> {
    let limit = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (limit < NO_LIMIT_BYTES).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_bytes() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, limit) in [
            ("268435456\n", Some(268_435_456)),
            ("max\n", None),
            ("9223372036854771712\n", None),
            ("", None),
        ] {
            fs::write(file.path(), text).expect("written");
            assert_eq!(read(file.path()), limit, "{text:?}");
        }
        assert_eq!(read(Path::new("/nonexistent")), None);
    }
}
