//! Reasoning inside of the text of a message: between tags at its beginning, as
//! models write it where the server has no parser for it. Tags come in pieces. Pure.

use super::content::Kind;

const TAGS: [(&str, &str); 9] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    // Gemini's OpenAI endpoint.
    ("<thought>", "</thought>"),
    ("<reason>", "</reason>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    // Mistral and Kimi.
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
];

/// The closing tag of reasoning whose opening tag was a part of the prompt.
pub(super) const CLOSING: &str = "</think>";

/// Reads the text of one message.
#[derive(Default)]
pub(super) struct ThinkTags {
    state: State,
    /// What may be a part of a tag.
    held: String,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Nothing but blank space so far.
    #[default]
    Beginning,
    Inside(&'static str),
    /// After the closing tag, before the first word.
    Closed,
    Text,
}

impl ThinkTags {
    /// Whether the text has begun, so that no tag can follow and nothing is held back.
    pub(super) fn is_past(&self) -> bool {
        self.state == State::Text
    }

    /// Reads the next piece of text; returns what it says.
    pub(super) fn push(&mut self, piece: &str) -> Vec<(Kind, String)> {
        let mut said = Vec::new();
        let mut text = std::mem::take(&mut self.held) + piece;
        loop {
            match self.state {
                State::Text => {
                    if !text.is_empty() {
                        said.push((Kind::Text, text));
                    }
                    return said;
                }
                State::Beginning => {
                    let begun = text.trim_start();
                    if let Some((opening, closing)) = TAGS.iter().find(|(opening, _)| begun.starts_with(opening)) {
                        let tag_end = text.len() - begun.len() + opening.len();
                        text.drain(..tag_end);
                        self.state = State::Inside(closing);
                    } else if TAGS.iter().any(|(opening, _)| opening.starts_with(begun)) {
                        self.held = text;
                        return said;
                    } else {
                        self.state = State::Text;
                    }
                }
                State::Inside(closing) => {
                    let end = text.find(closing);
                    let mut rest = text.split_off(end.unwrap_or_else(|| text.len() - partial(&text, closing)));
                    if !text.is_empty() {
                        said.push((Kind::Reasoning, text));
                    }
                    if end.is_none() {
                        self.held = rest;
                        return said;
                    }
                    text = rest.split_off(closing.len());
                    self.state = State::Closed;
                }
                State::Closed => {
                    let blank = text.len() - text.trim_start().len();
                    text.drain(..blank);
                    if text.is_empty() {
                        return said;
                    }
                    self.state = State::Text;
                }
            }
        }
    }

    /// The message has ended: what was held back.
    pub(super) fn finish(&mut self) -> Option<(Kind, String)> {
        let held = std::mem::take(&mut self.held);
        let kind = match self.state {
            State::Inside(_) => Kind::Reasoning,
            _ => Kind::Text,
        };
        (!held.is_empty()).then_some((kind, held))
    }
}

/// How many bytes at the end of the text are the beginning of the tag.
fn partial(text: &str, tag: &str) -> usize {
    let longest = tag.len().min(text.len() + 1);
    (1..longest)
        .rev()
        .find(|size| tag.get(..*size).is_some_and(|beginning| text.ends_with(beginning)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_wherever_the_text_is_cut() {
        for (whole, reasoning, text) in [
            ("<think>hm < 3</think>\n\nHi", "hm < 3", "Hi"),
            (" \n<thinking>\nhm</thinking>Hi <think>", "\nhm", "Hi <think>"),
            ("[THINK]hm[/THINK]Hi", "hm", "Hi"),
            ("<thought>hm</thought>Hi", "hm", "Hi"),
            ("<reasoning>hm</reasoning>Hi", "hm", "Hi"),
            ("<seed:think>hm</seed:think>Hi", "hm", "Hi"),
            ("<|begin_of_thought|>hm<|end_of_thought|>Hi", "hm", "Hi"),
            ("◁think▷hm ◁/thin◁/think▷Hi", "hm ◁/thin", "Hi"),
            ("<think></think>Hi", "", "Hi"),
            ("<think>only </thin", "only </thin", ""),
            ("<thin ice>", "", "<thin ice>"),
            ("<th", "", "<th"),
            ("  Hi", "", "  Hi"),
        ] {
            for at in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
                let mut tags = ThinkTags::default();
                let mut said = tags.push(&whole[..at]);
                said.extend(tags.push(&whole[at..]));
                said.extend(tags.finish());
                let of = |kind: Kind| -> String {
                    let pieces = said.iter().filter(|(of, _)| *of == kind);
                    pieces.map(|(_, piece)| piece.as_str()).collect()
                };
                assert_eq!(
                    (of(Kind::Reasoning).as_str(), of(Kind::Text).as_str()),
                    (reasoning, text),
                    "{at}"
                );
            }
        }
    }
}
