//! The table at the end.

use crate::sample::{self, Sample};

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was done, at what rate, for how long.
    pub work: String,
    /// Who else did it; empty when nobody.
    pub peer: String,
    /// The peer's figure.
    pub theirs: f64,
    /// The edge's figure.
    pub ours: f64,
    /// The unit of both.
    pub unit: &'static str,
    /// The most that the ratio (or, without a peer, our figure) should be; NaN where a figure is
    /// only shown.
    pub goal: f64,
    /// The peer's second figure over its first: the noise.
    pub noise: Option<f64>,
    /// Of the edge: units that failed.
    pub failed: u64,
    /// Of the edge: messages sent again.
    pub retransmissions: u64,
    /// Of the edge: datagrams dropped by the kernel.
    pub drops: u64,
    /// Of the peer: units that failed, messages sent again, datagrams dropped.
    pub peers_faults: [u64; 3],
    /// Whether the load could not keep its rate.
    pub late: bool,
}

impl Row {
    /// A row out of the samples of the peer, of the edge, and of the peer again.
    pub(crate) fn compared(
        work: String,
        peer: &str,
        goal: f64,
        theirs: &[Sample],
        ours: &[Sample],
        again: Option<&[Sample]>,
    ) -> Row {
        let peers = || theirs.iter().chain(again.unwrap_or_default());
        Row {
            work,
            peer: peer.to_owned(),
            theirs: sample::median(theirs),
            ours: sample::median(ours),
            unit: "us",
            goal,
            noise: again.map(|again| sample::median(again) / sample::median(theirs)),
            failed: ours.iter().map(|sample| sample.failed).sum(),
            retransmissions: ours.iter().map(|sample| sample.retransmissions).sum(),
            drops: ours.iter().map(|sample| sample.drops).sum(),
            peers_faults: [
                peers().map(|sample| sample.failed).sum(),
                peers().map(|sample| sample.retransmissions).sum(),
                peers().map(|sample| sample.drops).sum(),
            ],
            late: peers().chain(ours).any(|sample| sample.late),
        }
    }

    fn ratio(&self) -> Option<f64> {
        (!self.peer.is_empty()).then(|| self.ours / self.theirs)
    }

    fn cells(&self, judged: bool) -> [String; 10] {
        let figure = |value: f64| {
            let digits = if value >= 100.0 { 0 } else { 2 };
            if value.is_nan() {
                "-".to_owned()
            } else {
                format!("{value:.digits$} {}", self.unit)
            }
        };
        let reached = self.ratio().unwrap_or(self.ours) <= self.goal;
        let goal = if !judged || self.goal.is_nan() {
            "-".to_owned()
        } else if self.ratio().is_some() {
            format!("<= {:.2}", self.goal)
        } else {
            format!("<= {}", figure(self.goal))
        };
        [
            self.work.clone(),
            if self.peer.is_empty() {
                "-".to_owned()
            } else {
                self.peer.clone()
            },
            if self.peer.is_empty() {
                "-".to_owned()
            } else {
                figure(self.theirs)
            },
            figure(self.ours),
            self.ratio()
                .map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            goal,
            match (judged && !self.goal.is_nan(), self.late, reached) {
                (false, ..) => "-",
                // What did not do the work is no measure of it.
                (true, ..) if self.peers_faults[0] > 0 => "void",
                (true, true, _) => "busy",
                (true, false, true) => "yes",
                (true, false, false) => "NO",
            }
            .to_owned(),
            self.noise
                .map_or("-".to_owned(), |noise| format!("{noise:.2}")),
            format!("{}/{}/{}", self.failed, self.retransmissions, self.drops),
            self.peers_faults.map(|count| count.to_string()).join("/"),
        ]
    }
}

const HEAD: [&str; 10] = [
    "work",
    "peer",
    "peer, each",
    "edge, each",
    "ratio",
    "goal",
    "met",
    "A/A",
    "failed/sent again/dropped",
    "peer's",
];

/// The rows as a Markdown table whose columns line up. Goals are for the real rates: a smoke run is
/// not judged.
pub(crate) fn print(rows: &[Row], judged: bool) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| row.cells(judged)));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            out.push_str(&format!("| {cell:<width$} "));
        }
        out.push_str("|\n");
        if number == 0 {
            for width in &widths {
                out.push_str(&format!("|{}", "-".repeat(width + 2)));
            }
            out.push_str("|\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_the_ratio_and_whether_it_is_good_enough() {
        let sample = |cpu_us| Sample {
            cpu_us,
            failed: 1,
            ..Sample::default()
        };
        let (theirs, ours, again) = ([sample(10.0)], [sample(4.0)], [sample(11.0)]);
        let mut row = Row::compared("calls".into(), "peer", 0.5, &theirs, &ours, Some(&again));
        assert_eq!(
            row.cells(true),
            [
                "calls", "peer", "10.00 us", "4.00 us", "0.40", "<= 0.50", "void", "1.10", "1/0/0",
                "2/0/0"
            ]
        );
        row.peers_faults = [0; 3];
        assert_eq!(row.cells(true)[6], "yes");
        row.late = true;
        assert_eq!(row.cells(true)[6], "busy");
        let table = print(&[row], true);
        assert_eq!(table.lines().count(), 3);
        let length = |line: &str| line.chars().count();
        assert!(
            table
                .lines()
                .all(|line| length(line) == length(&table[..table.find('\n').unwrap_or(0)]))
        );
    }
}
