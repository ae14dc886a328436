//! Servers quote the request in their errors, with the whole content of an image. It must not reach history, and words
//! must not be found in it. Pure.

use std::borrow::Cow;

/// The longest run of base64 characters that is kept; a longer one is cut. No word and no id is longer.
const LONGEST_RUN: usize = 200;

/// A text without long runs of base64.
pub(super) fn without_echoed_content(text: &str) -> Cow<'_, str> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
    let bytes = text.as_bytes();
    let (mut kept, mut from, mut start) = (String::new(), 0, 0);
    while start < bytes.len() {
        let run = bytes[start..].iter().take_while(|byte| is_base64(byte)).count();
        if run > LONGEST_RUN {
            // A run is ASCII, so its ends are ends of characters.
            kept.push_str(&text[from..start]);
            kept.push('…');
            from = start + run;
        }
        start += run.max(1);
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_an_image_is_cut_and_words_stay() {
        let words = "täxt: {\"type\": \"image_url\"}";
        assert_eq!(without_echoed_content(words), words);
        let image = "iVBORw0KGgo+/".repeat(1_000);
        assert_eq!(
            without_echoed_content(&format!("{words}, \"data:image/png;base64,{image}\", ü")),
            format!("{words}, \"data:image/png;base64,…\", ü")
        );
        assert_eq!(without_echoed_content(&image), "…");
    }
}
