//! Reads server-sent events from pieces of bytes, whatever their borders. Pure:
//! who reads the bytes and what an event means is for others to say.

/// One event of a stream. Comments (`:ping`) never become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The id the stream stands at: of this event or the last one before it that had one.
    pub id: Option<String>,
    /// The event's name, when it has one.
    pub name: Option<String>,
    pub data: String,
}

/// The reader's state between pieces.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes of a line whose end has not come yet.
    unfinished: Vec<u8>,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_carriage_return: bool,
    last_id: Option<String>,
    name: Option<String>,
    data: Option<String>,
}

impl Parser {
    /// Takes in the next piece and returns the events it completes.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in piece {
            let joined = std::mem::replace(&mut self.after_carriage_return, byte == b'\r') && byte == b'\n';
            match byte {
                b'\n' if joined => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.unfinished);
                    frames.extend(self.line(&String::from_utf8_lossy(&line)));
                }
                other => self.unfinished.push(other),
            }
        }
        frames
    }

    fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let name = self.name.take();
            return Some(Frame {
                id: self.last_id.clone(),
                name,
                data: self.data.take()?,
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()).filter(|id| !id.is_empty()),
            "event" => self.name = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments have an empty field name; unknown fields are ignored by the standard.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<&str>, name: Option<&str>, data: &str) -> Frame {
        Frame {
            id: id.map(str::to_owned),
            name: name.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let text = "retry: 500\n\nid: 7-1\ndata: {\"a\":1}\n\n:ping\n\nid: 7-2\r\nevent: log_reset\r\ndata: ü\r\ndata:x\r\n\r\ndata: y\n\n";
        let expected = vec![
            frame(Some("7-1"), None, "{\"a\":1}"),
            frame(Some("7-2"), Some("log_reset"), "ü\nx"),
            frame(Some("7-2"), None, "y"),
        ];
        for size in 1..=text.len() {
            let mut parser = Parser::default();
            let frames: Vec<Frame> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| parser.push(piece))
                .collect();
            assert_eq!(frames, expected, "pieces of {size} bytes");
        }
    }

    #[test]
    fn an_event_without_its_closing_line_is_not_an_event() {
        assert_eq!(Parser::default().push(b"id: 1-1\ndata: half\n"), vec![]);
    }
}
