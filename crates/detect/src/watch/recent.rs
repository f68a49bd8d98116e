//! How many different things were seen of late, of a few.

use std::time::Duration;

use ringfence_base::Instant;

/// The last `N` different keys, and when each was seen last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recent<const N: usize> {
    seen: [Option<(u64, Instant)>; N],
}

impl<const N: usize> Default for Recent<N> {
    fn default() -> Recent<N> {
        Recent { seen: [None; N] }
    }
}

impl<const N: usize> Recent<N> {
    /// Notes `key`. How many different ones, at most `N`, were seen within `window`.
    pub(crate) fn note(&mut self, now: Instant, key: u64, window: Duration) -> usize {
        let is_it = |slot: &Option<(u64, Instant)>| slot.is_some_and(|(other, _)| other == key);
        let known = self.seen.iter().position(is_it);
        // An empty slot is older than any other.
        let oldest = || {
            let all = self.seen.iter().enumerate();
            all.min_by_key(|(_, slot)| slot.map(|(_, at)| at))
                .map(|(place, _)| place)
        };
        if let Some(slot) = known.or_else(oldest).and_then(|at| self.seen.get_mut(at)) {
            *slot = Some((key, now));
        }
        let fresh = |(_, at): &&(u64, Instant)| now.saturating_since(*at) < window;
        self.seen.iter().flatten().filter(fresh).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_keys_of_late_are_counted() {
        const WINDOW: Duration = Duration::from_secs(60);
        let mut recent = Recent::<3>::default();
        let mut note =
            |seconds, key| recent.note(Instant::ZERO + Duration::from_secs(seconds), key, WINDOW);
        assert_eq!(
            [note(0, 1), note(1, 1), note(2, 2), note(3, 0)],
            [1, 1, 2, 3]
        );
        assert_eq!(note(4, 9), 3, "no more than are kept");
        assert_eq!(note(62, 9), 2);
        assert_eq!(note(200, 7), 1);
    }
}
