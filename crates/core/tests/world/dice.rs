//! Chance that is the same everywhere, so that a walk can be played again from its seed.

/// A small generator (xorshift64*).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The next number below `most`.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % most
    }
}
