//! Count-min with conservative update (Estan and Varghese), decaying.
//!
//! Cells hold forward-decayed weights: what is added at `t` is multiplied by 2^(t / half-life), so
//! that old counts fade without being touched. When the weights grow large, all cells are scaled
//! down at once; that is one pass over the sketch in 32 half-lives.

use ringfence_base::Instant;

use super::Horizon;

const ROWS: usize = 4;
/// Half-lives after which cells are scaled down.
const RESCALE_AFTER: f64 = 32.0;

/// Estimates how often each key was there, never too low (but for what has faded), too high only
/// by collisions in all rows at once.
#[derive(Clone, Debug)]
pub struct CountMin {
    horizon: Horizon,
    landmark: Instant,
    /// A power of two.
    width: usize,
    cells: Box<[f32]>,
}

impl CountMin {
    /// A sketch with 4 rows of `width` cells, rounded up to a power of two.
    pub fn new(width: usize, horizon: Horizon) -> CountMin {
        let width = width.clamp(16, 1 << 20).next_power_of_two();
        CountMin {
            horizon,
            landmark: Instant::ZERO,
            width,
            cells: vec![0.0; ROWS * width].into_boxed_slice(),
        }
    }

    /// Adds `amount` to the key with hash `key`; its estimate afterwards.
    pub fn add(&mut self, now: Instant, key: u64, amount: f32) -> f32 {
        let weight = self.weight(now);
        let places = self.places(key);
        let lowest = self.lowest(places);
        let target = (lowest + amount * weight).max(0.0);
        for place in places {
            if let Some(cell) = self.cells.get_mut(place) {
                // Conservative: only the cells that are too low for the new estimate grow. A
                // refund lowers those that hold no more than the key itself.
                if amount >= 0.0 {
                    *cell = cell.max(target);
                } else if *cell <= lowest {
                    *cell = target;
                }
            }
        }
        target / weight
    }

    /// The estimate of the key with hash `key`.
    pub fn get(&mut self, now: Instant, key: u64) -> f32 {
        let weight = self.weight(now);
        self.lowest(self.places(key)) / weight
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.cells)
    }

    fn lowest(&self, places: [usize; ROWS]) -> f32 {
        places
            .into_iter()
            .filter_map(|place| self.cells.get(place))
            .copied()
            .fold(f32::INFINITY, f32::min)
    }

    /// One cell in each row; the rows' hashes are made of two (Kirsch and Mitzenmacher).
    fn places(&self, key: u64) -> [usize; ROWS] {
        let (low, high) = (key as u32 as u64, key >> 32 | 1);
        std::array::from_fn(|row| {
            let mixed = low.wrapping_add((row as u64).wrapping_mul(high));
            let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            row * self.width + (mixed as usize & (self.width - 1))
        })
    }

    fn weight(&mut self, now: Instant) -> f32 {
        let half_life = self.horizon.half_life().as_secs_f64();
        let halves = |since: Instant| now.saturating_since(since).as_secs_f64() / half_life;
        let mut passed = halves(self.landmark);
        if passed > RESCALE_AFTER {
            let factor = (-passed).exp2() as f32;
            for cell in &mut self.cells {
                *cell *= factor;
            }
            self.landmark = now;
            passed = 0.0;
        }
        passed.exp2() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::Entropy;
    use ringfence_base::entropy::SeededEntropy;
    use std::time::Duration;

    #[test]
    fn a_heavy_key_stands_out_of_a_flood_of_single_ones() {
        let mut sketch = CountMin::new(4096, Horizon::Minutes);
        let mut entropy = SeededEntropy::new(1);
        let now = Instant::ZERO;
        for _ in 0..20_000 {
            sketch.add(now, entropy.next_u64(), 1.0);
        }
        for _ in 0..100 {
            sketch.add(now, 42 << 32 | 77, 1.0);
        }
        let heavy = sketch.get(now, 42 << 32 | 77);
        assert!((100.0..115.0).contains(&heavy), "{heavy}");
        let stranger = sketch.get(now, entropy.next_u64());
        assert!(stranger < 15.0, "{stranger}");
    }

    #[test]
    fn counts_fade_over_any_time_and_never_overflow() {
        let mut sketch = CountMin::new(64, Horizon::Burst);
        let mut now = Instant::ZERO;
        for _ in 0..400 {
            sketch.add(now, 7, 10.0);
            now += Duration::from_secs(10);
        }
        // Half is lost between two: the series of halves sums up to twice the first.
        let estimate = sketch.get(now, 7);
        assert!((9.0..11.0).contains(&estimate), "{estimate}");
        now += Duration::from_secs(86_400 * 365);
        assert!(sketch.get(now, 7) < 1e-6);
    }

    #[test]
    fn a_refund_takes_back_what_was_added() {
        let mut sketch = CountMin::new(64, Horizon::Minutes);
        sketch.add(Instant::ZERO, 7, 3.0);
        assert_eq!(sketch.add(Instant::ZERO, 7, -3.0), 0.0);
    }
}
