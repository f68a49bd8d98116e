//! Do strangers call everybody more than they use to?
//!
//! After a holiday, in a snow storm or while an advert runs for a whole trade, all businesses behind
//! one edge are called by more strangers at once, and none of them is attacked. Each site tells how
//! many strangers called it lately for each that was usual; what is usual for one site is multiplied
//! by the middle of what the others tell. A flood of one site, or of less than half of them, changes
//! nothing; and whoever floods them all at once gains no more than three times.

use std::time::Duration;

use ringfence_base::Instant;

/// Strangers that called a site in the last half hour or so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lately {
    /// Calls, each fading within half an hour.
    calls: f64,
    at: Instant,
    usual_per_second: f64,
}

impl Lately {
    /// A stranger calls at `now`, where `usual_per_second` are usual. Not to be told of an attack's
    /// calls, once they are known for it.
    pub fn note(&mut self, now: Instant, usual_per_second: f64) {
        self.calls = self.calls_at(now) + 1.0;
        self.at = now;
        self.usual_per_second = usual_per_second;
    }

    /// How many times the usual number of strangers called lately: 1 where little is known. None: no
    /// stranger ever called, so that nothing is known of the site.
    pub fn rise(&self, now: Instant) -> Option<f64> {
        let usual = self.usual_per_second * HALF_HOUR.as_secs_f64();
        (usual > 0.0).then(|| (self.calls_at(now) + 1.0) / (usual + 1.0))
    }

    fn calls_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_since(self.at).as_secs_f64();
        self.calls * (-passed / HALF_HOUR.as_secs_f64()).exp()
    }
}

/// So many times as many strangers as usual are usual now: the middle of what the other sites tell,
/// 1 to 3, and 1 where fewer than five tell anything.
///
/// ```
/// use ringfence_detect::tdos::climate::usual_now;
///
/// assert_eq!(usual_now([2.0, 2.5, 2.0, 1.0, 9.0]), 2.0);
/// assert_eq!(usual_now([9.0, 9.0, 9.0]), 1.0);
/// ```
pub fn usual_now(rises_elsewhere: impl IntoIterator<Item = f64>) -> f64 {
    let told = rises_elsewhere.into_iter().filter(|rise| rise.is_finite());
    let mut rises: Vec<f64> = told.take(SITES_MAX).collect();
    if rises.len() < SITES_MIN {
        return 1.0;
    }
    let middle = rises.len() / 2;
    let (_, middle, _) = rises.select_nth_unstable_by(middle, f64::total_cmp);
    middle.clamp(1.0, MOST)
}

/// Calls fade by this time.
const HALF_HOUR: Duration = Duration::from_secs(1_800);
/// Fewer sites have no middle worth the name.
const SITES_MIN: usize = 5;
/// More sites than these tell no more.
const SITES_MAX: usize = 256;
/// Most that what is usual is multiplied by: a flood is many times more.
const MOST: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_tells_how_many_times_the_usual_it_is_called() {
        let usual = 8.0 / 3600.0;
        let mut site = Lately::default();
        assert_eq!(site.rise(Instant::ZERO), None);
        // Four times the usual for three hours.
        let mut now = Instant::ZERO;
        for _ in 0..96 {
            now += Duration::from_secs_f64(0.25 / usual);
            site.note(now, usual);
        }
        assert!(
            site.rise(now)
                .is_some_and(|rise| (3.0..4.0).contains(&rise)),
            "{site:?}"
        );
        now += Duration::from_secs(4 * 3600);
        assert!(site.rise(now).is_some_and(|rise| rise < 1.0), "{site:?}");
    }

    #[test]
    fn what_befalls_less_than_half_of_the_sites_changes_nothing_and_all_no_more_than_three_times() {
        let mut rises = [1.1; 9];
        rises[..4].fill(50.0);
        assert_eq!(usual_now(rises), 1.1);
        assert_eq!(usual_now([50.0; 9]), MOST);
        assert_eq!(usual_now([0.1; 9]), 1.0);
        assert_eq!(usual_now([f64::NAN; 9]), 1.0);
    }
}
