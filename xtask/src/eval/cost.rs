//! What a hostile packet costs: processor time and bytes, before its source is known and after.

use anyhow::Context;
use serde_json::Value;

use super::{Row, number};

/// Run by itself, after everything else.
pub(super) const COMMAND: &str = "sim cost --rounds 9 --packets 2000 --seed 3000 --json";

/// The bar: a source that has proved nothing gets no more bytes than it sends, packet by packet.
pub(super) fn row(object: &Value) -> anyhow::Result<Row> {
    let echoes = costs(object)?
        .iter()
        .map(|cost| number(cost, "/amplification_max"))
        .collect::<anyhow::Result<Vec<f64>>>()?;
    let most = echoes.into_iter().reduce(f64::max);
    let most = most.context("no packet was measured")?;
    Ok(Row {
        what: "hostile packets: bytes back for each byte of one, at most".to_owned(),
        without: "-".to_owned(),
        with: format!("{most:.2}"),
        bar: "<= 1.00",
        met: Some(most <= 1.0),
    })
}

/// The section of the document.
pub(super) fn section(object: &Value) -> anyhow::Result<String> {
    let mut text = format!(
        "## What a hostile packet costs\n\n\
         Processor time of the process in the edge's own machines, from the bytes of a datagram to those of its \
         answer: the workers' door, reading, answering, and the judge. The middle, the least and the \
         most of {} rounds of {} packets; the kernel's share, which receives and sends, is not in it, and what the \
         host's firewall drops never gets here. Before a source is known each packet comes from an address of its \
         own; afterwards all come from one that is blocked, or slowed to 20 a minute. A packet that is missing \
         \"known\" never proves a source that something could be done against. Small: a REGISTER of as few bytes as can be; the edge cuts its answer \
         short or gives none, for over UDP nobody who has proved nothing gets more bytes than he sent.\n\n\
         | packet | source | us: half | least to most | bytes in | bytes back | back for each byte of one, at most | dropped unread |\n\
         |---|---|---|---|---|---|---|---|\n",
        number(object, "/rounds")?,
        number(object, "/packets")?,
    );
    for cost in costs(object)? {
        let at = |path: &str| number(cost, path);
        let known = cost.pointer("/source_known").and_then(Value::as_bool);
        text += &format!(
            "| {} | {} | {:.2} | {:.2} to {:.2} | {:.0} | {:.0} | {:.2} | {:.1} % |\n",
            cost.pointer("/packet")
                .and_then(Value::as_str)
                .unwrap_or("-"),
            if known == Some(true) {
                "known"
            } else {
                "unknown"
            },
            at("/cpu_us/median")?,
            at("/cpu_us/least")?,
            at("/cpu_us/most")?,
            at("/bytes_in")?,
            at("/bytes_back")?,
            at("/amplification_max")?,
            100.0 * at("/dropped")?,
        );
    }
    Ok(text)
}

fn costs(object: &Value) -> anyhow::Result<&Vec<Value>> {
    let costs = object.pointer("/costs").and_then(Value::as_array);
    costs.context("there are no costs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_that_is_answered_with_more_than_it_has_misses_the_bar() {
        let object = |most: f64| {
            let cost = |most: f64| serde_json::json!({"amplification_max": most});
            serde_json::json!({"costs": [cost(0.4), cost(most), cost(0.0)]})
        };
        assert_eq!(row(&object(1.0)).unwrap().met, Some(true));
        assert_eq!(row(&object(1.01)).unwrap().met, Some(false));
        assert!(row(&serde_json::json!({"costs": []})).is_err());
    }
}
