//! The build id of an image. It is made of the image alone: nothing else of a pod template makes another version. Pure.

use sha2::{Digest as _, Sha256};

/// A label value has 63 characters at most, and the hash needs 9.
const LONGEST_TAG: usize = 40;
/// Hexadecimal digits of a digest in a build id.
const DIGEST_DIGITS: usize = 16;
/// Hexadecimal digits of a hash in a name.
const HASH_DIGITS: usize = 8;

/// The build id of an image: of its digest, or of its tag and a hash of the whole reference. It is a label value.
pub(crate) fn build_id(image: &str) -> String {
    if let Some((_, digest)) = image.rsplit_once('@') {
        let (algorithm, digits) = digest.split_once(':').unwrap_or(("", digest));
        let digits: String = digits.chars().take(DIGEST_DIGITS).collect();
        return label(&format!("{algorithm}-{digits}"));
    }
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    let tag = name.split_once(':').map_or("latest", |(_, tag)| tag);
    let tag: String = tag.chars().take(LONGEST_TAG).collect();
    label(&format!("{tag}-{}", short_hash(image)))
}

/// A short hash for a name.
pub(crate) fn short_hash(text: &str) -> String {
    let mut hash = format!("{:x}", Sha256::digest(text));
    hash.truncate(HASH_DIGITS);
    hash
}

/// The text as a label value: it begins with a letter or a digit, and ends with a hash.
fn label(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_version_whatever_the_name_and_the_tag_are() {
        let digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for name in ["worker", "registry.example:5000/team/worker:1.4.0"] {
            assert_eq!(build_id(&format!("{name}@{digest}")), "sha256-9f86d081884c7d65");
        }
    }

    #[test]
    fn a_tag_stands_in_the_build_id_and_the_registry_makes_a_difference() {
        let of = |image: &str| build_id(image);
        assert!(of("registry.example:5000/worker:1.4.0").starts_with("1.4.0-"));
        assert!(of("registry.example:5000/worker").starts_with("latest-"));
        assert_ne!(of("a/worker:1"), of("b/worker:1"));
        assert_eq!(of("a/worker:1"), of("a/worker:1"));
    }

    #[test]
    fn a_build_id_is_a_label_value() {
        for image in ["worker:_dev", &format!("worker:{}", "x".repeat(128)), "worker@odd"] {
            let id = build_id(image);
            assert!((1..=63).contains(&id.len()), "{id}");
            let ends = [id.chars().next(), id.chars().last()];
            assert!(ends.iter().flatten().all(char::is_ascii_alphanumeric), "{id}");
        }
    }
}
