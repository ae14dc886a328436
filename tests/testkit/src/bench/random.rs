//! Seeded random numbers: the same seed gives the same numbers.

/// A xorshift64* generator: small, and sufficient for choosing words and faults.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In [0, 1).
    pub(super) fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
    }

    /// In [0, bound); 0 if the bound is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from((self.next() >> 33).checked_rem(u64::from(bound)).unwrap_or_default()).unwrap_or_default()
    }

    pub(super) fn choose<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        let bound = u32::try_from(texts.len()).unwrap_or(1);
        texts
            .get(usize::try_from(self.below(bound)).unwrap_or_default())
            .copied()
            .unwrap_or_default()
    }
}
