//! Generates text that compresses about as well as English. The same seed gives
//! the same text.

use std::fmt::Write as _;

use anyhow::Context as _;

use super::{random::Random, statistics::ratio};

/// The most frequent words of English. They make up half of a text.
const FREQUENT: &str = "the of and to in a is that for it as was with be by on not he his but at are this have from \
    or had which one you were her all she there would their we him been has when who will more no if out so said \
    what up its about into than them can only other new some could time these two may then do first any my now such \
    like our over man me even most made after also did many before must through back years where much your way well \
    down should because each just those people how too little state good very make world still own see men work \
    long get here between both life being under never day same another know while last might us great old year off \
    come since against go came right used take three";

/// The syllables of rare words.
const ONSETS: [&str; 24] = [
    "b", "br", "c", "ch", "cl", "d", "f", "fr", "g", "gr", "h", "j", "l", "m", "n", "p", "pr", "qu", "r", "s", "st",
    "t", "tr", "w",
];
const RIMES: [&str; 30] = [
    "able", "ack", "ade", "age", "ain", "all", "and", "ant", "ar", "art", "ate", "ation", "ell", "ence", "end", "ent",
    "er", "est", "ic", "ide", "ight", "ile", "in", "ing", "ion", "ire", "ist", "ol", "or", "ound",
];
const WORDS: usize = 6_000;

/// Generates text from a seed.
#[derive(Clone, Debug)]
pub(super) struct TextGenerator {
    random: Random,
    words: Vec<String>,
    /// For each word, the sum of the weights up to it.
    cumulative_weights: Vec<f64>,
}

impl TextGenerator {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut words: Vec<String> = FREQUENT.split_whitespace().map(str::to_owned).collect();
        while words.len() < WORDS {
            let syllables = 1 + random.below(3);
            let word = (0..syllables)
                .flat_map(|_| [random.choose(&ONSETS), random.choose(&RIMES)])
                .collect();
            words.push(word);
        }
        // Zipf's law: the weight of the n-th most frequent word is 1/n.
        let mut total = 0.0;
        let mut rank = 0.0;
        let cumulative_weights = words
            .iter()
            .map(|_| {
                rank += 1.0;
                total += 1.0 / (rank + 1.7);
                total
            })
            .collect();
        Self {
            random,
            words,
            cumulative_weights,
        }
    }

    /// Exactly this many bytes of ASCII.
    pub(super) fn text(&mut self, size_bytes: usize) -> String {
        let mut text = String::with_capacity(size_bytes + 256);
        while text.len() < size_bytes {
            self.add_sentence(&mut text);
        }
        text.truncate(size_bytes);
        text
    }

    fn add_sentence(&mut self, text: &mut String) {
        let length = 6 + self.random.below(18);
        for position in 0..length {
            let word = self.word();
            if position == 0 {
                let (head, tail) = word.split_at(1);
                // Writing to a string cannot fail.
                let _ = write!(text, "{}{tail}", head.to_uppercase());
            } else {
                let comma = if self.random.below(9) == 0 { "," } else { "" };
                let _ = write!(text, "{comma} {word}");
            }
        }
        text.push_str(if self.random.below(6) == 0 { ".\n\n" } else { ". " });
    }

    fn word(&mut self) -> String {
        let total = self.cumulative_weights.last().copied().unwrap_or_default();
        let drawn = self.random.fraction() * total;
        let index = self.cumulative_weights.partition_point(|sum| *sum < drawn);
        self.words.get(index).cloned().unwrap_or_default()
    }
}

/// The ratio by which zstd (level 1, the level of our payloads) shrinks a text.
pub(super) fn compression_ratio(text: &str) -> anyhow::Result<f64> {
    let compressed = zstd::bulk::compress(text.as_bytes(), 1).context("compress a text")?;
    Ok(ratio(text.len(), compressed.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text_of_the_requested_size() {
        let text = TextGenerator::new(7).text(10_000);
        assert_eq!((text.len(), &text), (10_000, &TextGenerator::new(7).text(10_000)));
        assert_ne!(text, TextGenerator::new(8).text(10_000));
    }

    #[test]
    fn the_text_compresses_about_as_well_as_english() {
        let ratio = compression_ratio(&TextGenerator::new(1).text(835_000)).unwrap();
        assert!((2.0..3.2).contains(&ratio), "{ratio}");
    }
}
