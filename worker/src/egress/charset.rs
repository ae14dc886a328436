//! The text of a body in any charset of the Encoding Standard, chunk by chunk: a
//! character may be cut by the end of a chunk. Malformed bytes become U+FFFD.

use encoding_rs::{Decoder, Encoding, UTF_8};

/// Decodes the bytes of one body.
pub(super) struct TextDecoder(Decoder);

impl TextDecoder {
    /// For the value of the header `content-type`; UTF-8 without a charset that is known. A byte order mark overrides
    /// both, and is no part of the text.
    pub(super) fn new(content_type: &str) -> Self {
        let charset = content_type
            .split(';')
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .and_then(|(_, value)| Encoding::for_label(value.trim().trim_matches(['"', '\'']).as_bytes()));
        Self(charset.unwrap_or(UTF_8).new_decoder())
    }

    /// The text of a chunk; the end of a character that is cut comes with the next one.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.decode(bytes, false)
    }

    /// The body has ended: what was held back.
    pub(super) fn finish(&mut self) -> String {
        self.decode(&[], true)
    }

    fn decode(&mut self, bytes: &[u8], is_last: bool) -> String {
        let length = self.0.max_utf8_buffer_length(bytes.len());
        let mut text = String::with_capacity(length.unwrap_or(0));
        let _ = self.0.decode_to_string(bytes, &mut text, is_last);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(content_type: &str, bytes: &[u8]) -> String {
        let mut decoder = TextDecoder::new(content_type);
        let pieces: Vec<String> = bytes.iter().map(|byte| decoder.push(&[*byte])).collect();
        pieces.concat() + &decoder.finish()
    }

    #[test]
    fn every_charset_is_read_wherever_a_character_is_cut() {
        let utf_16: Vec<u8> = "né 雪".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let with_mark: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf_16.iter().copied()).collect();
        for (content_type, bytes, text) in [
            ("text/event-stream", "né 雪".as_bytes(), "né 雪"),
            ("text/event-stream; charset=utf-8", "\u{feff}né 雪".as_bytes(), "né 雪"),
            ("application/json; charset=\"UTF8\"", "né".as_bytes(), "né"),
            ("text/plain; Charset=ISO-8859-1", b"n\xe9", "né"),
            ("text/plain; charset=Shift_JIS", b"\x90\xe1", "雪"),
            ("text/event-stream; charset=utf-16le", &utf_16, "né 雪"),
            ("text/event-stream", &with_mark, "né 雪"),
            ("text/event-stream; charset=nobody", "é".as_bytes(), "é"),
            ("text/event-stream", b"a\xffb\xc3", "a\u{fffd}b\u{fffd}"),
        ] {
            assert_eq!(decode(content_type, bytes), text, "{content_type}");
        }
    }
}
