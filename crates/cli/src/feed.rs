//! `ringfence feed`: addresses that attacked here, for others' lists.

use std::fmt::Write;
use std::time::Duration;

use hyper::Method;
use ringfence_control::api::{Feed, paths};
use serde_json::json;

use crate::Exit;
use crate::args::{FeedFormat, Target};
use crate::client;
use crate::show::print;

/// `ringfence feed export`.
pub(crate) fn export(
    target: &Target,
    since: Duration,
    format: FeedFormat,
    json: bool,
) -> anyhow::Result<Exit> {
    let path = format!("{}?since={}", paths::FEED, since.as_secs());
    let feed: Feed = client::ask(target, Method::GET, &path)?;
    print(&feed, json || format == FeedFormat::Json, || match format {
        FeedFormat::Apiban => apiban(&feed),
        FeedFormat::Text | FeedFormat::Json => text(&feed),
    })?;
    Ok(Exit::Ok)
}

fn text(feed: &Feed) -> String {
    let mut out = format!(
        "# {} addresses that attacked from {} to {}; ringfence feed export\n",
        feed.addresses.len(),
        feed.since,
        feed.at,
    );
    for entry in &feed.addresses {
        let _ = writeln!(out, "{}  # {}", entry.address, entry.kinds.join(", "));
    }
    out
}

/// As <https://apiban.org/doc.html> answers: addresses and a number that is higher the next time.
fn apiban(feed: &Feed) -> String {
    let addresses: Vec<String> = feed
        .addresses
        .iter()
        .map(|entry| entry.address.to_string())
        .collect();
    let id = (feed.at.0.as_micros() / 1_000_000).to_string();
    format!("{}\n", json!({ "ipaddress": addresses, "ID": id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_control::api::FeedAddress;

    fn feed() -> Feed {
        Feed {
            addresses: vec![FeedAddress {
                address: "203.0.113.9".parse().unwrap(),
                kinds: vec!["guessing".into(), "scan".into()],
                first: Default::default(),
                last: Default::default(),
                confidence: 90,
                events: 14,
            }],
            ..Feed::default()
        }
    }

    #[test]
    fn what_is_written_is_read_again_as_a_list() {
        use ringfence_control::feed::{Kind, parse};
        for written in [text(&feed()), apiban(&feed())] {
            let feed = parse("ours", Kind::Addresses, written.as_bytes()).expect("a list");
            let list = feed.list.addresses().expect("addresses");
            let address = "203.0.113.9".parse().unwrap();
            assert!(list.contains(address) && list.len() == 1, "{written}");
        }
    }
}
