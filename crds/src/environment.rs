//! The environment variables that a resource may set, and `${env.NAME}`, by
//! which a text refers to one. Pure; nothing here reads an environment.

use std::collections::BTreeSet;

const REFERENCE_START: &str = "${env.";

/// Prefixes of variables that the worker itself uses, or that change how a process starts or connects.
const RESERVED_PREFIXES: [&str; 6] = ["TEMPORAL_", "REDIS_", "STEADFAST_", "KUBERNETES_", "LD_", "SSL_"];

/// The admission rule of [`is_reserved`]; `self` is the name.
pub(crate) const NOT_RESERVED_RULE: &str =
    "!self.matches('^(?i)((TEMPORAL_|REDIS_|STEADFAST_|KUBERNETES_|LD_|SSL_).*|PATH|.*_PROXY)$')";
pub(crate) const NOT_RESERVED_MESSAGE: &str = "is reserved: TEMPORAL_*, REDIS_*, STEADFAST_*, KUBERNETES_*, LD_*, SSL_*, PATH and *_PROXY belong to the worker itself";

/// Whether a variable is reserved: no credential may set it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name == "PATH" || name.ends_with("_PROXY") || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A part of a text that may refer to environment variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Text that stays as it is.
    Text(&'a str),
    /// The name in `${env.NAME}`, without surrounding spaces.
    Variable(&'a str),
}

/// Why a text could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is not set")]
pub struct MissingVariable {
    /// Name of the variable.
    pub name: String,
}

/// Splits a text at its `${env.NAME}` references. A `${env.` that no `}` closes is text.
pub fn segments(text: &str) -> impl Iterator<Item = Segment<'_>> {
    let mut chunks = text.split(REFERENCE_START);
    let first = chunks.next().map(Segment::Text);
    let others = chunks.scan(text.find(REFERENCE_START).unwrap_or(text.len()), |start, chunk| {
        let reference = *start..*start + REFERENCE_START.len() + chunk.len();
        *start = reference.end;
        Some(match chunk.split_once('}') {
            Some((name, rest)) => [Segment::Variable(name.trim()), Segment::Text(rest)],
            None => [Segment::Text(&text[reference]), Segment::Text("")],
        })
    });
    first
        .into_iter()
        .chain(others.flatten())
        .filter(|segment| *segment != Segment::Text(""))
}

/// Replaces every `${env.NAME}` of `text` by the value that `lookup` returns for the name.
///
/// One pass: a value is data, and `${env.OTHER}` inside a value stays as it is.
pub fn expand<V: AsRef<str>>(text: &str, mut lookup: impl FnMut(&str) -> Option<V>) -> Result<String, MissingVariable> {
    try_expand(text, |name| {
        lookup(name).ok_or_else(|| MissingVariable { name: name.to_owned() })
    })
}

/// As [`expand`], for a lookup with errors of its own. The first error ends the expansion.
pub fn try_expand<V: AsRef<str>, E>(text: &str, mut lookup: impl FnMut(&str) -> Result<V, E>) -> Result<String, E> {
    let mut expanded = String::with_capacity(text.len());
    for segment in segments(text) {
        match segment {
            Segment::Text(text) => expanded.push_str(text),
            Segment::Variable(name) => expanded.push_str(lookup(name)?.as_ref()),
        }
    }
    Ok(expanded)
}

/// The names of all variables to which `text` refers as `${env.NAME}`.
#[must_use]
pub fn referenced_variables(text: &str) -> BTreeSet<String> {
    segments(text)
        .filter_map(|segment| match segment {
            Segment::Variable(name) => Some(name.to_owned()),
            Segment::Text(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Segment::*, *};

    fn values(name: &str) -> Option<&'static str> {
        match name {
            "TOKEN" => Some("s3cret"),
            "NESTED" => Some("${env.TOKEN} {{ x }}"),
            "EMPTY" => Some(""),
            _ => None,
        }
    }

    #[test]
    fn a_reference_inside_a_value_is_not_expanded() {
        let expanded = expand("${env.NESTED}/${env.TOKEN}", values);
        assert_eq!(expanded, Ok("${env.TOKEN} {{ x }}/s3cret".to_owned()));
    }

    #[test]
    fn every_reference_of_a_text_is_expanded_and_the_rest_stays() {
        for (text, expected) in [
            ("", ""),
            ("plain } $env.TOKEN ${TOKEN}", "plain } $env.TOKEN ${TOKEN}"),
            ("Bearer ${env.TOKEN}", "Bearer s3cret"),
            ("${env. TOKEN }${env.TOKEN}", "s3crets3cret"),
            ("a${env.EMPTY}b}", "ab}"),
            ("${env.OPEN ${env.TOKEN} ${env.TOKEN", "${env.OPEN s3cret ${env.TOKEN"),
            ("ä${env.TOKEN}ö", "äs3cretö"),
        ] {
            assert_eq!(expand(text, values).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_variable_without_a_value_is_an_error_with_its_name() {
        let error = expand("${env.TOKEN} ${env.NOBODY}", values);
        assert_eq!(
            error,
            Err(MissingVariable {
                name: "NOBODY".to_owned()
            })
        );
    }

    #[test]
    fn segments_are_text_and_names_in_order() {
        let found: Vec<_> = segments("https://${env.HOST}/${env.PATH_}${env.X").collect();
        assert_eq!(
            found,
            [
                Text("https://"),
                Variable("HOST"),
                Text("/"),
                Variable("PATH_"),
                Text("${env.X")
            ]
        );
    }

    #[test]
    fn variables_of_the_worker_itself_are_reserved() {
        for name in [
            "TEMPORAL_ADDRESS",
            "REDIS_URL",
            "STEADFAST_AGENT",
            "KUBERNETES_SERVICE_HOST",
            "LD_PRELOAD",
            "SSL_CERT_FILE",
            "PATH",
            "https_proxy",
            "NO_PROXY",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["OPENAI_API_KEY", "PATHS", "MY_TEMPORAL_KEY", "PROXY_TOKEN"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn every_reference_in_a_text_is_found_once() {
        let found = referenced_variables("Bearer ${env.TOKEN} ${env.REGION}/${env.TOKEN} $env.NO ${env.OPEN");
        assert_eq!(found, BTreeSet::from(["TOKEN".to_owned(), "REGION".to_owned()]));
    }
}
