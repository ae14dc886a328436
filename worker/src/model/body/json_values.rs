//! Cuts a body of JSON values into its values: one whole answer, an array of
//! chunks, or a line for each chunk. Pure. Strings and brackets are all it knows.

/// Cuts one body.
#[derive(Default)]
pub(super) struct JsonValues {
    /// The value so far.
    value: String,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl JsonValues {
    /// Reads the next piece of the body; returns the objects that have ended. An array around them is not a value.
    pub(super) fn push(&mut self, text: &str) -> Vec<String> {
        let mut ended = Vec::new();
        for character in text.chars() {
            let is_outside = self.depth == 0;
            if is_outside && character != '{' {
                continue;
            }
            self.value.push(character);
            match character {
                _ if self.is_escaped => self.is_escaped = false,
                '\\' if self.in_string => self.is_escaped = true,
                '"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                '{' | '[' => self.depth += 1,
                '}' | ']' => self.depth -= 1,
                _ => {}
            }
            if self.depth == 0 {
                ended.push(std::mem::take(&mut self.value));
            }
        }
        ended
    }

    /// Whether the body ends within a value.
    pub(super) fn is_open(&self) -> bool {
        self.depth > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_wherever_the_body_is() {
        let object = r#"{"a": "}\"{", "b": [{}, 2]}"#;
        for body in [
            object.to_owned(),
            format!("\n{object}\n{object}\n"),
            format!("[{object},\r\n{object}]"),
        ] {
            for size in 1..body.len() {
                let mut values = JsonValues::default();
                let characters: Vec<char> = body.chars().collect();
                let cut: Vec<String> = characters
                    .chunks(size)
                    .flat_map(|piece| values.push(&piece.iter().collect::<String>()))
                    .collect();
                assert!(cut.iter().all(|value| value == object), "{cut:?}");
                assert_eq!(cut.len(), body.matches("\"a\"").count());
                assert!(!values.is_open());
            }
        }
        let mut values = JsonValues::default();
        assert_eq!(values.push("{\"a\": "), Vec::<String>::new());
        assert!(values.is_open());
    }
}
