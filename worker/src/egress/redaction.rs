//! Removes the values of credentials from texts that come back from outside: a
//! server that echoes a request must not put a secret into the log, the history
//! or the context of the model. Pure.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// A shorter value is not looked for: it would be found in ordinary words and numbers.
pub(crate) const MINIMUM_BYTES: usize = 8;
/// What most encoders of URLs leave as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Replaces the values of credentials by `[redacted: NAME]`. `Debug` shows the names only.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    automaton: Option<AhoCorasick>,
    /// By pattern of the automaton.
    patterns: Vec<Pattern>,
}

#[derive(Clone)]
struct Pattern {
    text: String,
    replacement: String,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let replacements = self.patterns.iter().map(|pattern| &pattern.replacement);
        formatter.debug_set().entries(replacements).finish()
    }
}

impl Redactor {
    /// A redactor of these credentials, as name and value.
    pub(crate) fn new<'a>(credentials: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let patterns: Vec<Pattern> = credentials
            .into_iter()
            .filter(|(_, value)| value.len() >= MINIMUM_BYTES)
            .flat_map(|(name, value)| {
                let replacement = format!("[redacted: {name}]");
                forms(value).into_iter().map(move |text| Pattern {
                    text,
                    replacement: replacement.clone(),
                })
            })
            .collect();
        if patterns.is_empty() {
            return Self::default();
        }
        let texts = patterns.iter().map(|pattern| &pattern.text);
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(texts);
        Self {
            // Fails for patterns of gigabytes only.
            automaton: automaton.ok(),
            patterns,
        }
    }

    fn finds(&self, text: &str) -> bool {
        match &self.automaton {
            Some(automaton) => automaton.is_match(text),
            None => self.patterns.iter().any(|pattern| text.contains(&pattern.text)),
        }
    }

    /// The text without the values.
    pub(crate) fn text(&self, text: &str) -> String {
        if !self.finds(text) {
            return text.to_owned();
        }
        let Some(automaton) = &self.automaton else {
            return self.patterns.iter().fold(text.to_owned(), |text, pattern| {
                text.replace(&pattern.text, &pattern.replacement)
            });
        };
        let mut redacted = String::with_capacity(text.len());
        automaton.replace_all_with(text, &mut redacted, |found, _, redacted| {
            redacted.push_str(&self.patterns[found.pattern().as_usize()].replacement);
            true
        });
        redacted
    }

    /// The same for a text that was cut at its end: also without the beginning of a value at the end.
    pub(crate) fn cut_text(&self, text: &str) -> String {
        let beginning = self.patterns.iter().filter_map(|pattern| {
            let longest = pattern.text.len().saturating_sub(1).min(text.len());
            (MINIMUM_BYTES / 2..=longest)
                .rev()
                .find(|length| text.as_bytes().ends_with(&pattern.text.as_bytes()[..*length]))
        });
        let end = text.len() - beginning.max().unwrap_or(0);
        self.text(&text[..text.floor_char_boundary(end)])
    }

    /// Removes the values from every text, name and number of a JSON value.
    pub(crate) fn value(&self, value: &mut Value) {
        if self.patterns.is_empty() {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let text = number.to_string();
                if self.finds(&text) {
                    *value = Value::String(self.text(&text));
                }
            }
            Value::String(text) => {
                if self.finds(text) {
                    *text = self.text(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| self.value(member));
                if members.keys().any(|name| self.finds(name)) {
                    *members = std::mem::take(members)
                        .into_iter()
                        .map(|(name, member)| (self.text(&name), member))
                        .collect();
                }
            }
        }
    }
}

/// The forms in which a server may send a value back: as it is, in a JSON string, in a URL, and in base64 at each of
/// the three alignments within a longer text, for example `user:password`.
fn forms(value: &str) -> Vec<String> {
    let json = Value::String(value.to_owned()).to_string();
    let percent = utf8_percent_encode(value, UNRESERVED).to_string();
    let mut forms = vec![
        value.to_owned(),
        json[1..json.len() - 1].to_owned(),
        percent.replace("%20", "+"),
        lower_case_escapes(&percent),
        percent,
        utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
    ];
    for alignment in 0..3 {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let mut bytes = vec![0; alignment];
            bytes.extend_from_slice(value.as_bytes());
            let encoded = engine.encode(&bytes);
            // The characters that also hold bits of the neighbours differ from text to text.
            let start = (alignment * 8).div_ceil(6);
            let end = bytes.len() * 8 / 6;
            forms.extend(encoded.get(start..end).map(str::to_owned));
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms.retain(|form| form.len() >= MINIMUM_BYTES);
    forms
}

fn lower_case_escapes(percent: &str) -> String {
    let mut parts = percent.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escape, rest) = part.split_at(part.len().min(2));
        lower.push('%');
        lower.push_str(&escape.to_ascii_lowercase());
        lower.push_str(rest);
    }
    lower
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "p@ss \"w\u{f6}rd\"/1";

    fn redactor() -> Redactor {
        Redactor::new([("PASSWORD", SECRET), ("TOKEN", "tok-12345678"), ("PIN", "1234")])
    }

    #[test]
    fn a_value_is_replaced_by_its_name() {
        assert_eq!(
            redactor().text(&format!("you sent Bearer tok-12345678 and {SECRET}; 1234")),
            "you sent Bearer [redacted: TOKEN] and [redacted: PASSWORD]; 1234"
        );
        assert_eq!(Redactor::default().text("tok-12345678"), "tok-12345678");
        assert_eq!(
            format!("{:?}", Redactor::new([("TOKEN", "tok-12345678")]))
                .matches("tok-")
                .count(),
            0
        );
    }

    #[test]
    fn an_encoded_value_is_replaced() {
        let basic = format!("user:{SECRET}");
        for encoded in [
            Value::String(SECRET.to_owned()).to_string(),
            utf8_percent_encode(SECRET, NON_ALPHANUMERIC).to_string(),
            "p%40ss+%22w%C3%B6rd%22%2F1".to_owned(),
            "p%40ss%20%22w%c3%b6rd%22%2f1".to_owned(),
            STANDARD.encode(SECRET),
            URL_SAFE.encode(&basic),
            STANDARD.encode(format!("me:{SECRET}:x")),
        ] {
            let redacted = redactor().text(&encoded);
            assert!(redacted.contains("[redacted: PASSWORD]"), "{encoded} became {redacted}");
        }
    }

    #[test]
    fn every_text_name_and_number_of_a_json_value_is_read() {
        let mut value = json!({"a": [{"tok-12345678": "x tok-12345678"}], "n": 87_654_321, "ok": true});
        Redactor::new([("TOKEN", "tok-12345678"), ("ID", "87654321")]).value(&mut value);
        assert_eq!(
            value,
            json!({"a": [{"[redacted: TOKEN]": "x [redacted: TOKEN]"}], "n": "[redacted: ID]", "ok": true})
        );
    }

    #[test]
    fn the_beginning_of_a_value_at_a_cut_is_removed() {
        assert_eq!(redactor().cut_text("you sent tok-1234567"), "you sent ");
        assert_eq!(
            redactor().cut_text("you sent tok-12345678"),
            "you sent [redacted: TOKEN]"
        );
        assert_eq!(redactor().cut_text("you sent to"), "you sent to");
    }

    proptest! {
        #[test]
        fn no_value_is_left_in_any_form(
            secret in "[ -~äö]{8,40}",
            before in "[ -~]{0,12}",
            after in "[ -~]{0,12}",
        ) {
            let redactor = Redactor::new([("KEY", secret.as_str())]);
            let echoed = format!("{before}{secret}{after}");
            for text in [
                echoed.clone(),
                utf8_percent_encode(&echoed, UNRESERVED).to_string(),
                json!([echoed.clone()]).to_string(),
            ] {
                let redacted = redactor.text(&text);
                for form in forms(&secret) {
                    prop_assert!(!redacted.contains(&form), "{:?} is in {:?}", form, redacted);
                }
            }
            let encoded = STANDARD.encode(&echoed);
            prop_assert!(redactor.text(&encoded) != encoded);
        }
    }
}
