//! `ringfence replay --last`: detection over the events that the edge kept.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use ringfence_base::{HashKey, UnixTime};
use ringfence_control::config;
use ringfence_detect::codec::Kept;
use ringfence_detect::event::{Event, PeerRef, Principal, SiteRef, What};
use ringfence_edge::clock::unix_now;
use ringfence_edge::resolve::resolve;
use ringfence_replay::engine::Setting;
use ringfence_replay::stored::{Question, StoredReport, replay};
use ringfence_session::plan::{PeerKind, Plan};
use ringfence_store::events::{self, Directory, Ledger, Piece, Summary};
use serde::Serialize;

use crate::Exit;
use crate::args::{ReplayOptions, Target};

/// What a peer or a site is that the configuration no longer has: no index of any.
const GONE: u16 = u16::MAX;
/// Bytes between two looks at the progress.
const PROGRESS_BYTES: u64 = 16 << 20;

/// The answer, with what the files say of themselves.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    report: StoredReport,
    /// Files read.
    files: u64,
    /// Bytes of them.
    bytes: u64,
    /// Events that the edge could not keep in their time.
    unkept: u64,
    /// Parts of files that could not be read.
    damaged: Vec<Damaged>,
    /// More of them.
    damaged_left_out: u64,
}

#[derive(Serialize)]
struct Damaged {
    file: PathBuf,
    offset: u64,
    bytes: u64,
    why: &'static str,
}

/// Replays what was kept. Something hostile in it is an answer, not a failure.
pub(super) fn run(target: &Target, options: &ReplayOptions, json: bool) -> anyhow::Result<Exit> {
    let config = config::load(&target.config)?.config;
    let ask = |wanted: &_| resolve(&config.edge.dns, wanted);
    let plan = ringfence_control::compile(&config, &ask).plan;
    let site = super::site(&plan, options)?;
    let mut scenarios = config.scenarios.clone();
    scenarios.extend(super::scenarios(options)?);
    let setting = Setting {
        peers: super::peers(&plan, site),
        local: Vec::new(),
        modes: config.detect,
        scenarios,
        lists: config.lists(),
    };
    let now = unix_now().as_micros();
    let last = options.last.unwrap_or_default().as_micros();
    let since = now.saturating_sub(i64::try_from(last).unwrap_or(i64::MAX));
    let key = key(&config.edge.data);
    let accounts = plan.phone_accounts();
    let question = Question {
        key,
        setting: &setting,
        accounts: accounts.map(Iterator::collect),
        since: UnixTime::from_micros(since),
        until: UnixTime::from_micros(now),
    };
    let ledger = Ledger::open(&config.edge.data.join(events::FOLDER))?;
    let mut progress = Progress::new(ledger.bytes());
    let mut summary = Summary::default();
    let report = replay(&question, |each| {
        let mut names = Names::new(&plan, site);
        summary = ledger.read(key, |piece| match piece {
            Piece::Directory(directory) => names.learn(&directory),
            Piece::Record(kept) => {
                if let Some(kept) = names.of_now(kept) {
                    each(kept);
                }
            }
            Piece::Progress(bytes) => progress.at(bytes),
        })?;
        progress.next_pass();
        anyhow::Ok(())
    });
    progress.end();
    let answer = Answer {
        report: report?,
        files: summary.files,
        bytes: ledger.bytes(),
        unkept: summary.lost,
        damaged: summary
            .damages
            .into_iter()
            .map(|damage| Damaged {
                file: damage.path,
                offset: damage.offset,
                bytes: damage.bytes,
                why: damage.why,
            })
            .collect(),
        damaged_left_out: summary.damages_left_out,
    };
    let mut out = std::io::stdout().lock();
    match json {
        true => writeln!(out, "{}", serde_json::to_string(&answer)?)?,
        false => write!(out, "{}", text(&answer))?,
    }
    if answer.files == 0 {
        let folder = config.edge.data.join(events::FOLDER);
        eprintln!(
            "{}: no events are kept here. `detect.keep_events` says how long they are",
            folder.display()
        );
    }
    Ok(Exit::Ok)
}

/// The key of the edge's names. Without it only long names are not known again.
fn key(data: &std::path::Path) -> HashKey {
    let bytes = std::fs::read(data.join(events::KEY));
    let key: Option<[u8; 16]> = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    HashKey::from_bytes(key.unwrap_or(*b"ringfence replay"))
}

/// Peers and sites of events, by their names, as the configuration has them now.
struct Names<'a> {
    plan: &'a Plan,
    site: Option<usize>,
    peers: Vec<u16>,
    sites: Vec<u16>,
    /// Peers of other sites than the one that is asked about.
    elsewhere: Vec<bool>,
}

impl<'a> Names<'a> {
    /// Until a file says who its numbers are, they are taken for those of now.
    fn new(plan: &'a Plan, site: Option<usize>) -> Names<'a> {
        let elsewhere = plan.peers.iter();
        let elsewhere = elsewhere.map(|peer| site.is_some_and(|site| peer.site.index() != site));
        Names {
            plan,
            site,
            peers: (0..plan.peers.len() as u16).collect(),
            sites: (0..plan.sites.len() as u16).collect(),
            elsewhere: elsewhere.collect(),
        }
    }

    fn learn(&mut self, directory: &Directory) {
        let kind = |kind: PeerKind| match kind {
            PeerKind::Trunk => "trunk",
            PeerKind::Pbx => "pbx",
            PeerKind::Phones => "phones",
        };
        let place = |place: Option<usize>| place.and_then(|it| it.try_into().ok()).unwrap_or(GONE);
        let peers = directory.peers.iter().map(|(sort, name)| {
            let mut known = self.plan.peers.iter();
            place(known.position(|peer| peer.key == *name && kind(peer.kind) == sort))
        });
        self.peers = peers.collect();
        let sites = directory.sites.iter().map(|name| {
            let mut known = self.plan.sites.iter();
            place(known.position(|site| site.key == *name))
        });
        self.sites = sites.collect();
    }

    fn peer(&self, peer: PeerRef) -> PeerRef {
        PeerRef::new(self.peers.get(peer.index()).copied().unwrap_or(GONE))
    }

    /// The record with the numbers of now; none if it is of another site than the one asked about.
    fn of_now(&self, kept: Kept) -> Option<Kept> {
        let Kept::Event { at, mut event } = kept else {
            return Some(kept);
        };
        event.source.principal = match event.source.principal {
            Principal::Stranger => Principal::Stranger,
            Principal::Trunk(peer) => Principal::Trunk(self.peer(peer)),
            Principal::Pbx(peer) => Principal::Pbx(self.peer(peer)),
            Principal::Phone { group, user } => Principal::Phone {
                group: self.peer(group),
                user,
            },
        };
        if let What::Call { site, .. } = &mut event.what {
            *site = SiteRef::new(self.sites.get(site.index()).copied().unwrap_or(GONE));
        }
        self.is_asked_about(&event)
            .then_some(Kept::Event { at, event })
    }

    fn is_asked_about(&self, event: &Event) -> bool {
        let Some(wanted) = self.site else {
            return true;
        };
        if let What::Call { site, .. } = event.what {
            return site.index() == wanted;
        }
        match event.source.principal {
            // Strangers knock at the edge, not at a site.
            Principal::Stranger => true,
            Principal::Trunk(peer)
            | Principal::Pbx(peer)
            | Principal::Phone { group: peer, .. } => {
                self.elsewhere.get(peer.index()) == Some(&false)
            }
        }
    }
}

/// A line on the terminal while it takes long.
struct Progress {
    shown: bool,
    whole: u64,
    passes: u64,
    next: u64,
}

impl Progress {
    fn new(bytes: u64) -> Progress {
        Progress {
            shown: std::io::stderr().is_terminal() && bytes > PROGRESS_BYTES,
            whole: bytes,
            passes: 0,
            next: 0,
        }
    }

    fn at(&mut self, bytes: u64) {
        if self.shown && bytes >= self.next {
            self.next = bytes + PROGRESS_BYTES;
            // The same is read twice.
            let percent = (self.passes * self.whole + bytes) * 50 / self.whole.max(1);
            eprint!("\rreading events: {percent} %");
        }
    }

    fn next_pass(&mut self) {
        self.passes += 1;
        self.next = 0;
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

fn text(answer: &Answer) -> String {
    let report = &answer.report;
    let mut text = match report.first_at_us.zip(report.last_at_us) {
        None => "no events in this time\n".to_owned(),
        Some((first, last)) => format!(
            "{} to {}: {} events, {} of them the customer's own; {} messages, {} of them hostile\n",
            time(first),
            time(last),
            report.events,
            report.own_events,
            report.messages,
            report.hostile_messages
        ),
    };
    for line in &report.findings {
        let finding = &line.finding;
        text += &format!(
            "{} found {} ({} messages, until {}): {}\n",
            time(line.first_at_us),
            finding.kind,
            finding.messages,
            time(line.last_at_us),
            finding.why
        );
    }
    for line in &report.decisions {
        let decision = &line.decision;
        text += &format!("{} {}: {}\n", time(line.at_us), decision.mode, decision.why);
    }
    if report.findings.is_empty() {
        text += "nothing found\n";
    }
    for line in &report.touched {
        text += &format!(
            "{} would have met the customer's own: {} {} with {} events, by {} for {} ({})\n",
            time(line.first_at_us),
            line.who,
            line.source,
            line.events,
            line.action,
            line.kind,
            line.mode
        );
    }
    if report.touched.is_empty() && report.events > 0 {
        text += "nobody of the customer's own would have met any of it\n";
    }
    if report.left_out > 0 {
        text += &format!(
            "{} more findings and decisions are left out\n",
            report.left_out
        );
    }
    if answer.unkept > 0 {
        let unkept = answer.unkept;
        text += &format!("{unkept} events were not kept in their time: the disk did not follow\n");
    }
    for damage in &answer.damaged {
        text += &format!(
            "{}: {} bytes from byte {} on are left out: {}\n",
            damage.file.display(),
            damage.bytes,
            damage.offset,
            damage.why
        );
    }
    if answer.damaged_left_out > 0 {
        text += &format!("{} more files are damaged\n", answer.damaged_left_out);
    }
    text
}

fn time(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
