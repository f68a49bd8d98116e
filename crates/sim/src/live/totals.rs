//! Sums over all endpoints of a demo.

use std::collections::BTreeMap;

use super::audio::{Heard, Speaker};
use super::report::{Percentiles, Report, Way};

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// The report, but for what is computed in [`Totals::report`].
    pub(super) report: Report,
    /// Leaks seen in signalling and by the attacker.
    pub(super) leaks: u64,
    setups: Vec<f64>,
    /// Ends of calls whose other end is not closed yet.
    half: BTreeMap<u64, (bool, Heard)>,
    matched: u64,
    wrong: u64,
}

/// Set-up times kept; a demo that runs for days keeps the last ones.
const SETUPS_MAX: usize = 100_000;

impl Totals {
    /// Notes a set-up time in milliseconds.
    pub(super) fn note_setup(&mut self, milliseconds: f64) {
        if self.setups.len() >= SETUPS_MAX {
            self.setups.drain(..SETUPS_MAX / 2);
        }
        self.setups.push(milliseconds);
    }

    /// Notes what one end of a call sent and heard; both ends together are a call.
    pub(super) fn close(&mut self, call: u64, inside: bool, _speaker: Speaker, heard: Heard) {
        self.leaks += heard.leaks;
        self.matched += heard.matched;
        self.wrong += heard.wrong + heard.forged;
        let Some((other_inside, other)) = self.half.remove(&call) else {
            self.half.insert(call, (inside, heard));
            return;
        };
        let (within, without) = match (inside, other_inside) {
            (true, false) => (heard, other),
            (false, true) => (other, heard),
            // Two ends on one side are no call through the fence.
            _ => return,
        };
        let media = &mut self.report.media;
        add(&mut media.inside_to_outside, within, without);
        add(&mut media.outside_to_inside, without, within);
    }

    /// All of it.
    pub(super) fn report(&self) -> Report {
        let mut report = self.report.clone();
        report.leaks = self.leaks;
        report.media.audio_matched = self.matched > 0 && self.wrong == 0;
        report.siege.attackers.scanner = report.attacker;
        report.setup_ms = Percentiles::of(self.setups.clone());
        report
    }
}

fn add(way: &mut Way, speaker: Heard, listener: Heard) {
    way.sent += speaker.sent;
    way.lost += speaker
        .sent
        .saturating_sub(listener.matched + listener.wrong);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_what_one_end_sent_and_the_other_did_not_hear() {
        let mut totals = Totals::default();
        let heard = |sent, matched| Heard {
            sent,
            matched,
            ..Heard::default()
        };
        totals.close(7, true, Speaker::Callee, heard(100, 99));
        assert_eq!(
            totals.report().media.inside_to_outside,
            Way::default(),
            "half a call"
        );
        totals.close(7, false, Speaker::Caller, heard(101, 100));
        let media = totals.report().media;
        assert_eq!(media.inside_to_outside, Way { sent: 100, lost: 0 });
        assert_eq!(media.outside_to_inside, Way { sent: 101, lost: 2 });
        assert!(media.audio_matched);
    }
}
