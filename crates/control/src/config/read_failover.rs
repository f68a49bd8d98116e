//! `priority`, `weight`, `failover_after`, `failover_on` and `quarantine_after` of a trunk or PBX.

use std::time::Duration;

use ringfence_session::failover::{Failover, is_callees_word};

use super::table::Section;

pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Failover {
    let default = Failover::default();
    let priority = section.integer("priority", 1..=65_535);
    let weight = section.integer("weight", 1..=65_535);
    let after = Duration::from_millis(500)..=Duration::from_secs(30);
    let after = section.duration("failover_after", after, false);
    let codes = section.integers("failover_on", 400..=699);
    let quarantine_after = section.integer("quarantine_after", 1..=1_000);
    for (index, code) in codes.iter().flatten().enumerate() {
        let Some(code) = code.map(|code| code as u16) else {
            continue;
        };
        let fault = match code {
            code if is_callees_word(code) => "is the callee's own word, who would be rung again",
            401 | 407 => "asks who we are, and is answered to the same peer",
            _ => continue,
        };
        let key = section.key(&format!("failover_on[{index}]"));
        let message = format!("{code} {fault}");
        section.report().error(&key, message, "take it out");
    }
    let codes = codes.map(|codes| {
        let mut codes: Vec<u16> = codes
            .into_iter()
            .flatten()
            .map(|code| code as u16)
            .collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    });
    Failover {
        priority: priority.map_or(default.priority, |number| number as u16),
        weight: weight.map_or(default.weight, |number| number as u16),
        after: after.unwrap_or(default.after),
        codes: codes.unwrap_or(default.codes),
        quarantine_after: quarantine_after.map_or(default.quarantine_after, |n| n as u32),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{DOCUMENTED, read_text};
    use ringfence_session::failover::Failover;
    use std::time::Duration;

    fn with(lines: &str) -> String {
        DOCUMENTED.replace(
            "calls_per_second = 5",
            &format!("calls_per_second = 5\n{lines}"),
        )
    }

    #[test]
    fn the_keys_are_read_and_have_defaults() {
        let config = read_text(DOCUMENTED).0.unwrap().config;
        assert_eq!(config.peers[0].failover, Failover::default());
        let text = with(
            "priority = 2\nweight = 30\nfailover_after = \"1500ms\"\n\
             failover_on = [504, 408, 480, 503]\nquarantine_after = 5",
        );
        let failover = read_text(&text).0.unwrap().config.peers[0].failover.clone();
        assert_eq!(
            failover,
            Failover {
                priority: 2,
                weight: 30,
                after: Duration::from_millis(1500),
                codes: vec![408, 480, 503, 504],
                quarantine_after: 5,
            }
        );
    }

    #[test]
    fn a_code_that_rings_the_callee_again_is_a_fault_with_its_line() {
        for code in [401, 407, 486, 487, 600, 603, 608] {
            let text = with(&format!("failover_on = [503, {code}]"));
            let error = read_text(&text).0.unwrap_err().to_string();
            assert!(error.contains("trunk.carrier-a.failover_on[1]"), "{error}");
            assert!(error.contains("take it out"), "{error}");
        }
        let error = read_text(&with("failover_on = [200]")).0.unwrap_err();
        assert!(error.to_string().contains("out of range"), "{error}");
    }
}
