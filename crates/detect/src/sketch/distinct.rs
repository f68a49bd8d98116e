//! How many different things: exact while they are few, HyperLogLog (Flajolet et al.) when they
//! are many. Between is no seam: below [`EXACT_MAX`] nothing is estimated, so a limit of five
//! means five.

/// Most that are counted exactly.
pub const EXACT_MAX: usize = 24;

/// Registers of the sketch: 256 of one byte, a standard error of 6.5 %.
const REGISTERS: usize = 256;
const REGISTER_BITS: u32 = 8;

/// A set that only knows its size. Empty it takes no heap, few 8 bytes each, many 256 bytes.
#[derive(Clone, Debug, Default)]
pub struct Distinct {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Exact(Vec<u64>),
    Sketch(Box<[u8; REGISTERS]>),
}

impl Default for State {
    fn default() -> State {
        State::Exact(Vec::new())
    }
}

impl Distinct {
    /// Adds a keyed hash. Whether it was new, as far as that is known.
    pub fn insert(&mut self, hash: u64) -> bool {
        match &mut self.state {
            State::Exact(seen) => {
                if seen.contains(&hash) {
                    return false;
                }
                if seen.len() < EXACT_MAX {
                    seen.push(hash);
                    return true;
                }
                let mut registers = Box::new([0; REGISTERS]);
                for old in seen.iter() {
                    note(&mut registers, *old);
                }
                note(&mut registers, hash);
                self.state = State::Sketch(registers);
                true
            }
            State::Sketch(registers) => note(registers, hash),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        match &self.state {
            State::Exact(seen) => seen.len() as u64,
            State::Sketch(registers) => estimate(registers),
        }
    }

    /// Forgets all of them and their memory.
    pub fn clear(&mut self) {
        self.state = State::default();
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match &self.state {
            State::Exact(seen) => seen.capacity() * size_of::<u64>(),
            State::Sketch(_) => REGISTERS,
        }
    }
}

fn note(registers: &mut [u8; REGISTERS], hash: u64) -> bool {
    // Callers hash for tables too; one multiplication keeps the two uses apart.
    let hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ hash >> 32;
    let place = (hash >> (64 - REGISTER_BITS)) as usize;
    let rank = ((hash << REGISTER_BITS).leading_zeros() + 1).min(64 - REGISTER_BITS + 1) as u8;
    match registers.get_mut(place) {
        Some(register) if *register < rank => {
            *register = rank;
            true
        }
        _ => false,
    }
}

fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let m = REGISTERS as f64;
    let alpha = 0.7213 / (1.0 + 1.079 / m);
    let sum: f64 = registers
        .iter()
        .map(|rank| (-f64::from(*rank)).exp2())
        .sum();
    let raw = alpha * m * m / sum;
    let zeros = registers.iter().filter(|rank| **rank == 0).count();
    if raw <= 2.5 * m && zeros > 0 {
        return (m * (m / zeros as f64).ln()).round() as u64;
    }
    raw.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::Entropy;
    use ringfence_base::entropy::SeededEntropy;

    #[test]
    fn few_are_counted_exactly() {
        let mut set = Distinct::default();
        for hash in 0..EXACT_MAX as u64 {
            assert!(set.insert(hash));
            assert!(!set.insert(hash));
            assert_eq!(set.count(), hash + 1);
        }
    }

    #[test]
    fn many_are_estimated_within_a_fifth() {
        for many in [50_u64, 400, 5_000, 200_000] {
            let (mut set, mut entropy) = (Distinct::default(), SeededEntropy::new(many));
            for _ in 0..many {
                let hash = entropy.next_u64();
                set.insert(hash);
                set.insert(hash);
            }
            let error = set.count() as f64 / many as f64 - 1.0;
            assert!(error.abs() < 0.2, "{many}: {}", set.count());
            assert_eq!(set.memory(), REGISTERS);
        }
    }
}
