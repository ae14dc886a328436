//! Builds a URL from pieces. An argument is one path segment or a part of one,
//! one name or value of the query, or a part of the host; no argument ends the
//! part of the URL in which it stands. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use super::pieces::Piece;

/// Everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How often a text is decoded to see what it means to a server that decodes more than once.
const DECODINGS: usize = 4;

/// Why a URL cannot be built. The message is for the model: it says which argument to send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlTextError {
    #[error("an argument in a URL must be a text, a number or a boolean")]
    NotScalar,
    #[error("an argument stands before the host of the URL, where none is allowed")]
    BeforeHost,
    #[error("the URL has no host")]
    NoHost,
    #[error("an argument in the host of a URL may contain letters, digits, '-' and '.' only")]
    InHost,
    #[error("an argument in the path of a URL must not be empty")]
    EmptySegment,
    #[error("an argument in the path of a URL must not be or contain a '.' or '..' segment")]
    DotSegment,
    #[error("an argument in the path of a URL must not contain control characters")]
    ControlCharacter,
    #[error("an argument would change another part of the URL than its own")]
    ChangesStructure,
    #[error("the URL is invalid")]
    Parse(#[source] url::ParseError),
}

/// A URL, and what the arguments have to do with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BuiltUrl {
    pub(super) url: Url,
    /// The host is the same for all arguments.
    pub(super) host_is_fixed: bool,
}

/// Builds a URL. `fixed` are the pieces before the first construct of a template; `value` returns the value of an
/// environment variable, which may hold any part of the URL.
pub(super) fn build<E: From<UrlTextError>>(
    pieces: &[Piece],
    fixed: &[Piece],
    value: impl Fn(&str) -> Result<String, E>,
) -> Result<BuiltUrl, E> {
    let mut text = UrlText::default();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_text(literal)?,
            Piece::Variable(name) => text.push_text(&value(name)?)?,
            Piece::Argument(argument) => text.push_argument(argument)?,
        }
    }
    let mut beginning = UrlText::default();
    for piece in fixed {
        match piece {
            Piece::Text(literal) => beginning.push_text(literal)?,
            Piece::Variable(name) => beginning.push_text(&value(name)?)?,
            Piece::Argument(_) => break,
        }
    }
    let host_is_fixed = pieces == fixed || beginning.place > Place::Authority;
    let url = text.finish()?;
    Ok(BuiltUrl { url, host_is_fixed })
}

/// The part of a URL, in the order in which they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Up to `://`.
    #[default]
    Scheme,
    Authority,
    Path,
    Query,
    Fragment,
}

#[derive(Debug, Default)]
struct UrlText {
    text: String,
    /// The same with a neutral text for each argument outside of the host.
    neutral: String,
    place: Place,
    has_argument: bool,
    authority_starts_at: usize,
    authority_has_argument: bool,
    segment_starts_at: usize,
    segment_has_argument: bool,
}

impl UrlText {
    /// Text of the author. Tabs and line breaks mean nothing in a URL.
    fn push_text(&mut self, text: &str) -> Result<(), UrlTextError> {
        for character in text
            .chars()
            .filter(|character| !matches!(character, '\t' | '\n' | '\r'))
        {
            if self.text.is_empty() && character == ' ' {
                continue;
            }
            self.end_part(character)?;
            self.text.push(character);
            self.neutral.push(character);
            self.begin_part(character);
        }
        Ok(())
    }

    /// Checks the part that this character ends, if it ends one.
    fn end_part(&mut self, character: char) -> Result<(), UrlTextError> {
        match (self.place, character) {
            (Place::Authority, '/' | '\\' | '?' | '#') => self.end_authority(),
            (Place::Path, '/' | '\\' | '?' | '#') => self.end_segment(),
            _ => Ok(()),
        }
    }

    fn begin_part(&mut self, character: char) {
        let next = match (self.place, character) {
            (Place::Scheme, '/') if self.text.ends_with("://") => {
                self.authority_starts_at = self.text.len();
                Place::Authority
            }
            (Place::Authority | Place::Path, '/' | '\\') => {
                self.segment_starts_at = self.text.len();
                Place::Path
            }
            (Place::Authority | Place::Path, '?') => Place::Query,
            (Place::Authority | Place::Path | Place::Query, '#') => Place::Fragment,
            (place, _) => place,
        };
        self.place = next;
    }

    fn push_argument(&mut self, argument: &Value) -> Result<(), UrlTextError> {
        let text = match argument {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(UrlTextError::NotScalar),
        };
        self.has_argument = true;
        match self.place {
            Place::Scheme => return Err(UrlTextError::BeforeHost),
            Place::Authority => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
                if text.is_empty() || !text.bytes().all(fits) {
                    return Err(UrlTextError::InHost);
                }
                self.authority_has_argument = true;
                self.text.push_str(&text);
                self.neutral.push_str(&text);
                return Ok(());
            }
            Place::Path => {
                if text.chars().any(char::is_control) {
                    return Err(UrlTextError::ControlCharacter);
                }
                self.segment_has_argument = true;
            }
            Place::Query | Place::Fragment => {}
        }
        self.text.extend(utf8_percent_encode(&text, ENCODED));
        self.neutral.push('0');
        Ok(())
    }

    fn end_authority(&mut self) -> Result<(), UrlTextError> {
        let authority = &self.text[self.authority_starts_at..];
        if authority.is_empty() {
            // Parsers of URLs would take the next part of the path as the host.
            return Err(UrlTextError::NoHost);
        }
        // User and password, which no argument may set.
        if self.authority_has_argument && authority.contains('@') {
            return Err(UrlTextError::BeforeHost);
        }
        Ok(())
    }

    fn end_segment(&mut self) -> Result<(), UrlTextError> {
        if !std::mem::take(&mut self.segment_has_argument) {
            return Ok(());
        }
        let segment = &self.text[self.segment_starts_at..];
        if segment.is_empty() {
            return Err(UrlTextError::EmptySegment);
        }
        let mut decoded = segment.to_owned();
        for _ in 0..DECODINGS {
            decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
            // What follows a semicolon are parameters of the segment to some servers.
            let name = |part: &str| part.split(';').next().unwrap_or_default().trim().to_owned();
            let mut names = decoded.split(['/', '\\']).map(name);
            if names.any(|name| matches!(name.as_str(), "." | "..")) {
                return Err(UrlTextError::DotSegment);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Url, UrlTextError> {
        match self.place {
            Place::Authority => self.end_authority()?,
            Place::Path => self.end_segment()?,
            Place::Scheme | Place::Query | Place::Fragment => {}
        }
        let url = Url::parse(&self.text).map_err(UrlTextError::Parse)?;
        if self.has_argument {
            let neutral = Url::parse(&self.neutral).map_err(UrlTextError::Parse)?;
            if structure(&url) != structure(&neutral) {
                return Err(UrlTextError::ChangesStructure);
            }
        }
        Ok(url)
    }
}

/// What no argument may change: everything before the path, the number of segments and of pairs in the query.
fn structure(url: &Url) -> (String, usize, usize, bool) {
    let before_path = url[..url::Position::BeforePath].to_owned();
    let segments = url.path_segments().map_or(0, Iterator::count);
    (
        before_path,
        segments,
        url.query_pairs().count(),
        url.fragment().is_some(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::egress::pieces;

    fn built(template: &str, arguments: &Value) -> Result<BuiltUrl, UrlTextError> {
        let rendered = pieces::render(template, arguments.as_object().unwrap()).unwrap();
        let fixed = match steadfast_crds::url_template::fixed_part(template) {
            part if part == template => rendered.clone(),
            part => pieces::split(part),
        };
        build(&rendered, &fixed, |name| {
            Ok(match name {
                "BASE" => "https://api.test/v1",
                "HOST" => "api.test",
                "SCHEME" => "https:",
                _ => "",
            }
            .to_owned())
        })
    }

    fn url(template: &str, argument: impl Into<Value>) -> Result<String, UrlTextError> {
        built(template, &json!({"x": argument.into()})).map(|built| built.url.to_string())
    }

    #[test]
    fn an_argument_is_encoded_for_its_place() {
        let template = "https://api.test/orders/{{ x }}/refund?q={{ x }}&n=1#{{ x }}";
        for (argument, encoded) in [
            ("1001", "1001"),
            ("São Paulo", "S%C3%A3o%20Paulo"),
            ("a/b", "a%2Fb"),
            ("a?b#c", "a%3Fb%23c"),
            ("a&n=2", "a%26n%3D2"),
            ("a%2Fb", "a%252Fb"),
            ("a+b", "a%2Bb"),
            ("v1.2", "v1.2"),
            ("~_-", "~_-"),
        ] {
            let expected = format!("https://api.test/orders/{encoded}/refund?q={encoded}&n=1#{encoded}");
            assert_eq!(url(template, argument).unwrap(), expected);
        }
        assert_eq!(url("https://api.test/{{ x }}", 7).unwrap(), "https://api.test/7");
        assert_eq!(
            url("https://api.test/?{{ x }}=1", true).unwrap(),
            "https://api.test/?true=1"
        );
    }

    #[test]
    fn the_filter_urlencode_changes_nothing() {
        for template in ["https://api.test/{{ x }}", "https://api.test/{{ x | urlencode }}"] {
            assert_eq!(url(template, "a/b c").unwrap(), "https://api.test/a%2Fb%20c");
        }
    }

    #[test]
    fn no_argument_is_a_dot_segment_or_empty() {
        for argument in [".", "..", "a/../b", "../b", "a/.", "..\\b", "%2e%2e"] {
            for template in [
                "https://api.test/orders/{{ x }}",
                "https://api.test/orders/{{ x }}/refund?a=1",
            ] {
                assert_eq!(url(template, argument), Err(UrlTextError::DotSegment), "{argument}");
            }
        }
        assert_eq!(url("https://api.test/a/.{{ x }}/b", "."), Err(UrlTextError::DotSegment));
        assert_eq!(url("https://api.test/a/{{ x }}/b", ""), Err(UrlTextError::EmptySegment));
        assert_eq!(
            url("https://api.test/a/{{ x }}", "a\nb"),
            Err(UrlTextError::ControlCharacter)
        );
        // In a query, none of these is a step to another place.
        assert_eq!(
            url("https://api.test/?x={{ x }}", "..").unwrap(),
            "https://api.test/?x=.."
        );
        assert_eq!(url("https://api.test/?x={{ x }}", "").unwrap(), "https://api.test/?x=");
        assert_eq!(
            url("https://api.test/a...{{ x }}", "..").unwrap(),
            "https://api.test/a....."
        );
    }

    #[test]
    fn several_segments_are_written_one_by_one() {
        let template = "https://api.test/files{% for part in x | split('/') %}/{{ part }}{% endfor %}";
        assert_eq!(url(template, "docs/a b").unwrap(), "https://api.test/files/docs/a%20b");
        assert_eq!(url(template, "docs/../x"), Err(UrlTextError::DotSegment));
    }

    #[test]
    fn only_a_text_a_number_or_a_boolean_stands_in_a_url() {
        for argument in [json!(null), json!([1]), json!({"a": 1})] {
            assert_eq!(
                url("https://api.test/?x={{ x }}", argument),
                Err(UrlTextError::NotScalar)
            );
        }
    }

    #[test]
    fn an_argument_in_the_host_is_a_part_of_a_name() {
        assert_eq!(url("https://{{ x }}.test/", "eu").unwrap(), "https://eu.test/");
        assert_eq!(
            url("https://api.test:{{ x }}/", 8443).unwrap(),
            "https://api.test:8443/"
        );
        for argument in ["", "a/b", "a@b", "a:b", "a?b", "a#b", "a%2Fb", "ä"] {
            assert_eq!(
                url("https://{{ x }}.test/", argument),
                Err(UrlTextError::InHost),
                "{argument}"
            );
        }
        assert_eq!(url("https://{{ x }}@api.test/", "me"), Err(UrlTextError::BeforeHost));
        assert_eq!(url("{{ x }}://api.test/", "http"), Err(UrlTextError::BeforeHost));
        assert_eq!(url("https:///{{ x }}/", "api.test"), Err(UrlTextError::NoHost));
        assert_eq!(
            url("https://${env.EMPTY}/{{ x }}/", "api.test"),
            Err(UrlTextError::NoHost)
        );
    }

    #[test]
    fn a_host_is_fixed_if_it_ends_before_the_template_begins() {
        for (template, is_fixed) in [
            ("https://api.test", true),
            ("https://api.test/{{ x }}", true),
            ("https://api.test?x={{ x }}", true),
            ("https://${env.HOST}/{{ x }}", true),
            ("${env.BASE}/{{ x }}", true),
            ("${env.BASE}", true),
            ("https://api.test{{ x }}", false),
            ("https://{{ x }}.test/", false),
            ("https://{% if x %}a{% else %}b{% endif %}.test/", false),
            ("https://${env.HOST}{{ x }}", false),
            ("${env.SCHEME}//{{ x }}", false),
        ] {
            let built = built(template, &json!({"x": "eu"})).unwrap();
            assert_eq!(built.host_is_fixed, is_fixed, "{template}");
        }
    }

    proptest! {
        #[test]
        fn no_argument_leaves_its_place(path in ".{1,24}", query in ".{0,24}") {
            let template = "https://api.test/orders/{{ p }}/refund?q={{ q }}&n=1";
            prop_assume!(!format!("{path}{query}").contains(['\u{fdd0}', '\u{fdd1}']));
            if let Ok(BuiltUrl { url, host_is_fixed }) = built(template, &json!({"p": path, "q": query})) {
                prop_assert!(host_is_fixed);
                prop_assert_eq!(url.host_str(), Some("api.test"));
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments.len(), 3);
                prop_assert_eq!((segments[0], segments[2]), ("orders", "refund"));
                let segment = percent_decode_str(segments[1]).decode_utf8().unwrap();
                prop_assert_eq!(segment.as_ref(), path.as_str());
                let pairs: Vec<_> = url.query_pairs().into_owned().collect();
                prop_assert_eq!(pairs, vec![("q".to_owned(), query), ("n".to_owned(), "1".to_owned())]);
                prop_assert_eq!(url.fragment(), None);
            }
        }

        #[test]
        fn a_plain_argument_is_always_accepted(path in "[A-Za-z0-9_~ -]{1,24}") {
            prop_assert!(url("https://api.test/{{ x }}/b", path).is_ok());
        }
    }
}
