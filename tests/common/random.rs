//! Numbers and mutated files for property tests.

/// A small generator of numbers for property tests (xorshift64*), the same in every run.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    /// A copy of `bytes` with a few places overwritten, removed, doubled or cut off; new bytes are
    /// often from `alphabet`.
    pub fn mutated(&mut self, bytes: &[u8], alphabet: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            let fresh = match self.below(4) {
                0 => self.below(256) as u8,
                _ => alphabet[self.below(alphabet.len())],
            };
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, fresh),
                3 => {
                    let end = (at + self.below(20)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                _ => bytes[at] = fresh,
            }
        }
        bytes
    }
}
