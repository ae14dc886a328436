//! A text in deltas, with pauses and faults between them.

use std::time::Duration;

use super::Gate;

/// A text, as a model streams it.
#[derive(Clone, Debug)]
pub struct Text {
    pub(super) pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Delta(String),
    Hold(Gate),
    Pause(Duration),
    /// The connection breaks.
    Cut,
    /// The stream ends cleanly, without `response.completed`.
    EndEarly,
}

impl Text {
    /// One delta per word.
    pub fn words(text: impl AsRef<str>) -> Self {
        let deltas = text.as_ref().split_inclusive(' ');
        Self {
            pieces: deltas.map(|word| Piece::Delta(word.to_owned())).collect(),
        }
    }

    /// One delta.
    pub fn whole(text: impl Into<String>) -> Self {
        Self {
            pieces: vec![Piece::Delta(text.into())],
        }
    }

    /// A pause before every delta but the first.
    #[must_use]
    pub fn every(mut self, pause: Duration) -> Self {
        let pieces = std::mem::take(&mut self.pieces);
        for piece in pieces {
            if matches!(piece, Piece::Delta(_)) && !self.pieces.is_empty() {
                self.pieces.push(Piece::Pause(pause));
            }
            self.pieces.push(piece);
        }
        self
    }

    /// Waits at the gate after `count` deltas.
    #[must_use]
    pub fn hold_after(self, count: usize, gate: &Gate) -> Self {
        self.insert_after(count, Piece::Hold(gate.clone()))
    }

    /// Breaks the connection after `count` deltas.
    #[must_use]
    pub fn cut_after(self, count: usize) -> Self {
        self.insert_after(count, Piece::Cut)
    }

    /// Ends the stream cleanly after `count` deltas, without `response.completed`.
    #[must_use]
    pub fn end_early_after(self, count: usize) -> Self {
        self.insert_after(count, Piece::EndEarly)
    }

    fn insert_after(mut self, count: usize, inserted: Piece) -> Self {
        let mut deltas = 0;
        let place = self.pieces.iter().position(|piece| {
            deltas += usize::from(matches!(piece, Piece::Delta(_)));
            deltas > count
        });
        self.pieces.insert(place.unwrap_or(self.pieces.len()), inserted);
        self
    }

    /// The whole text, for the final item.
    pub(super) fn joined(&self) -> String {
        let deltas = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Delta(delta) => Some(delta.as_str()),
            _ => None,
        });
        deltas.collect()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::words(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::words(text)
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::words(text)
    }
}
