//! The operating system's randomness, through aws-lc's generator.

use aws_lc_rs::rand;
use ringfence_base::Entropy;

/// Bytes fetched at once: a generator call costs the same for 8 bytes as for 256.
const POOL: usize = 256;

/// Unpredictable bytes for tags, branches, keys and hash keys. One per worker; used bytes are
/// wiped as they are handed out.
pub struct SystemEntropy {
    pool: [u8; POOL],
    left: usize,
}

impl SystemEntropy {
    /// An empty pool; the first request fills it.
    pub const fn new() -> SystemEntropy {
        SystemEntropy {
            pool: [0; POOL],
            left: 0,
        }
    }
}

impl Default for SystemEntropy {
    fn default() -> SystemEntropy {
        SystemEntropy::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        if out.len() > POOL / 4 {
            system_fill(out);
            return;
        }
        if self.left < out.len() {
            system_fill(&mut self.pool);
            self.left = POOL;
        }
        let taken = &mut self.pool[self.left - out.len()..self.left];
        out.copy_from_slice(taken);
        taken.fill(0);
        self.left -= out.len();
    }
}

/// A program that cannot get randomness must not go on: every guard here rests on it.
fn system_fill(out: &mut [u8]) {
    assert!(
        rand::fill(out).is_ok(),
        "the system's random generator failed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_given_out_twice() {
        let mut entropy = SystemEntropy::new();
        let mut seen = std::collections::BTreeSet::new();
        assert!((0..1000).all(|_| seen.insert(entropy.next_u64())));
        let mut large = [0; 200];
        entropy.fill(&mut large);
        assert!(large.iter().any(|&byte| byte != 0));
    }
}
