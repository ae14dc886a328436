//! What is known of a secret value: its keyed hash, and whether a pod could be given it. Pure.

use crate::hashing::keyed_hash::KeyedHash;

/// What is kept of one value of a Secret: nothing that tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretValue {
    /// Its keyed hash.
    pub hash: String,
    /// Whether an environment variable can hold it.
    pub form: ValueForm,
}

/// Whether a value can be that of an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueForm {
    /// It can.
    Text,
    /// Nothing is left of it without the spaces and line breaks around it, which a worker removes.
    Empty,
    /// It is no text in UTF-8, or contains a NUL: no container starts with it.
    NotText,
}

impl SecretValue {
    /// What is kept of `value`.
    #[must_use]
    pub fn of(value: &[u8], hash: &KeyedHash) -> Self {
        let form = match std::str::from_utf8(value) {
            Ok(text) if text.trim().is_empty() => ValueForm::Empty,
            Ok(text) if !text.contains('\0') => ValueForm::Text,
            _ => ValueForm::NotText,
        };
        Self {
            hash: hash.digest(value),
            form,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_no_environment_variable_can_hold_is_known_as_such() {
        let hash = KeyedHash::new(b"key").unwrap();
        for (value, form) in [
            (b"sk-1".as_slice(), ValueForm::Text),
            (b"sk-1\n", ValueForm::Text),
            ("größe".as_bytes(), ValueForm::Text),
            (b"", ValueForm::Empty),
            (b" \r\n", ValueForm::Empty),
            (b"\xff\xfe", ValueForm::NotText),
            (b"a\0b", ValueForm::NotText),
        ] {
            let kept = SecretValue::of(value, &hash);
            assert_eq!((kept.form, kept.hash), (form, hash.digest(value)), "{value:?}");
        }
    }
}
