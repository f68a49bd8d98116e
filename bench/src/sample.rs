//! One measurement of one program, and how several are taken in turns.

use std::time::Duration;

use anyhow::Context;
use ringfence_peers::usage;

/// What one program did in one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// CPU for each unit of work, in microseconds.
    pub cpu_us: f64,
    /// Units that failed or were lost.
    pub failed: u64,
    /// Messages that had to be sent again, by either end.
    pub retransmissions: u64,
    /// Datagrams that the kernel dropped meanwhile, of anybody.
    pub drops: u64,
    /// Whether the machine was too busy for the load to keep its rate: cost at another rate is
    /// another cost.
    pub late: bool,
}

/// A program that can be measured again and again.
pub(crate) struct Subject<'a> {
    pub name: &'a str,
    pub measure: Box<dyn FnMut() -> anyhow::Result<Sample> + 'a>,
}

/// Measures every subject once a round, each round starting with the next one, and returns the
/// samples of each in the order of the subjects.
pub(crate) fn in_turns(
    rounds: usize,
    subjects: &mut [Subject<'_>],
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let count = subjects.len();
    let mut samples = vec![Vec::new(); count];
    for round in 0..rounds {
        for turn in 0..count {
            let place = (round + turn) % count;
            let subject = &mut subjects[place];
            let sample = (subject.measure)().with_context(|| subject.name.to_owned())?;
            println!(
                "round {} {:<22} {:>8.2} us each, failed {}, sent again {}, dropped {}{}",
                round + 1,
                subject.name,
                sample.cpu_us,
                sample.failed,
                sample.retransmissions,
                sample.drops,
                if sample.late { ", LOAD LATE" } else { "" }
            );
            samples[place].push(sample);
        }
    }
    Ok(samples)
}

/// What the tree of `pid` used while `work` ran, and the datagrams dropped meanwhile.
pub(crate) fn cpu_during<T>(
    pid: u32,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Duration, u64)> {
    let (cpu, drops) = (usage::cpu(pid), usage::kernel_drops());
    let done = work()?;
    let used = usage::cpu(pid).saturating_sub(cpu);
    Ok((done, used, usage::kernel_drops().saturating_sub(drops)))
}

/// `used` for each of `units`, in microseconds.
pub(crate) fn each(used: Duration, units: u64) -> f64 {
    used.as_secs_f64() * 1e6 / units.max(1) as f64
}

/// The median of the samples' CPU.
pub(crate) fn median(samples: &[Sample]) -> f64 {
    median_of(samples.iter().map(|sample| sample.cpu_us).collect())
}

/// The median.
pub(crate) fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median_of(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median_of(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median_of(vec![]).is_nan());
    }

    #[test]
    fn the_order_turns_and_samples_stay_with_their_subject() {
        let order = std::cell::RefCell::new(Vec::new());
        let subject = |name: &'static str, cpu_us| Subject {
            name,
            measure: Box::new({
                let order = &order;
                move || {
                    order.borrow_mut().push(name);
                    Ok(Sample {
                        cpu_us,
                        ..Sample::default()
                    })
                }
            }),
        };
        let samples = in_turns(2, &mut [subject("a", 1.0), subject("b", 2.0)]).expect("measured");
        assert_eq!((median(&samples[0]), median(&samples[1])), (1.0, 2.0));
        assert_eq!(*order.borrow(), ["a", "b", "b", "a"]);
    }
}
