//! The names of the objects of the store: below the installation, the namespace and the task, the SHA-256 of the bytes.
//! So an upload that is repeated is one object, two tenants share none, and a task goes with one prefix.

use sha2::{Digest as _, Sha256};

/// The longest task id that is a part of a name as it is.
const MAX_PLAIN_ID: usize = 128;

/// The SHA-256 of bytes, in hexadecimal digits.
pub fn sha256_of(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Whether a text is a SHA-256 in hexadecimal digits, as [`sha256_of`] writes it.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What the names of all objects of a task begin with, without the slash that follows.
pub fn task_prefix(install: &str, namespace: &str, task_id: &str) -> String {
    format!("{}/{}/{}", part(install), part(namespace), part(task_id))
}

/// The name of the object of a task with this SHA-256.
pub fn object_of(install: &str, namespace: &str, task_id: &str, sha256: &str) -> String {
    format!("{}/{sha256}", task_prefix(install, namespace, task_id))
}

/// An id as one part of a name. One with signs that a store or a file system reads otherwise is a digest.
fn part(id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let plain = (1..=MAX_PLAIN_ID).contains(&id.len()) && id.bytes().all(is_plain) && !id.starts_with('.');
    if plain {
        id.to_owned()
    } else {
        format!("sha256-{}", sha256_of(id.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_four_parts_whatever_the_ids_are() {
        let sha256 = sha256_of(b"tea");
        assert!(is_sha256(&sha256) && !is_sha256(&sha256.to_uppercase()) && !is_sha256("ab"));
        assert_eq!(
            object_of("steadfast", "default", "0190-a", &sha256),
            format!("steadfast/default/0190-a/{sha256}")
        );
        for id in ["../../other", "a/b", "", ".", "..", "ü", "a b", &"x".repeat(200)] {
            let name = object_of("i", "n", id, &sha256);
            assert_eq!(name.split('/').count(), 4, "{name}");
            assert!(name.starts_with("i/n/sha256-"), "{name}");
        }
    }
}
