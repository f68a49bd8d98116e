//! The demo's second business: attacked by a guesser, a thief, a fraudster and a flood, beside callers
//! who have a right to get through.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringfence_control::api::Judgement;
use ringfence_edge::Edge;
use ringfence_sim::live::{LENGTH_MIN, Noticed, PhoneUser, Report, Seen, Share, SiegeConfig};

use super::{free_udp, write};
use crate::paint::{Paint, Tone};

/// Lines of the site that is flooded.
const CHANNELS: u64 = 8;
/// How long the attacks go on in a demo without an end.
const LENGTH: Duration = Duration::from_secs(60);
/// The number that all call.
const NUMBER: u64 = 13_305_550_200;
const REALM: &str = "riverside.example";
const USERS: [&str; 2] = ["201", "202"];

/// Who sits where in the business that is attacked.
pub(super) struct Attacked {
    carrier: SocketAddr,
    pbx: SocketAddr,
    phones_carrier: SocketAddr,
    users: [PhoneUser; 2],
}

impl Attacked {
    /// Free ports on loopback addresses, and passwords that nobody guesses.
    pub(super) fn find() -> anyhow::Result<Attacked> {
        let at = |address| anyhow::Ok(SocketAddr::new(address, free_udp(address)?));
        let mut chance = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut chance)?;
        let secret = u128::from_be_bytes(chance);
        Ok(Attacked {
            carrier: at(outside(21))?,
            pbx: at(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 21)))?,
            phones_carrier: at(outside(22))?,
            users: USERS.map(|name| PhoneUser {
                name: name.to_owned(),
                secret: format!("{:032x}{name}", secret),
            }),
        })
    }

    /// Its part of the configuration.
    pub(super) fn configuration(&self) -> String {
        let Attacked {
            carrier,
            pbx,
            phones_carrier,
            ..
        } = self;
        let (last, home) = (NUMBER + 9, NUMBER + 10);
        let (home_last, offset) = (NUMBER + 19, late_morning());
        format!(
            r#"
# The business that is attacked: an office with {CHANNELS} lines, and phones at home.
[tenant.riverside]
name = "Riverside Dental"
country = "US"

[tenant.riverside.fraud]
mode = "enforce"
utc_offset = "{offset}" # it is always late morning in the demo

[site.office]
tenant = "riverside"
numbers = ["+{NUMBER}-+{last}"]
channels = {CHANNELS}
emergency = ["911", "933"]
tdos = "enforce"

[site.office.screening]
language = "en"

[trunk.carrier-b]
site = "office"
listen = "outside"
peer = "sip:{carrier}"
media = "rtp"
channels = 0
calls_per_second = 0

[pbx.office]
site = "office"
listen = "inside"
peer = "sip:{pbx}"
media = "rtp"

[site.home]
tenant = "riverside"
numbers = ["+{home}-+{home_last}"]
channels = 0
emergency = ["911", "933"]

[trunk.carrier-c]
site = "home"
listen = "outside"
peer = "sip:{phones_carrier}"
media = "rtp"
channels = 0
calls_per_second = 0

[phones.staff]
site = "home"
listen = "outside"
realm = "{REALM}"
users = {{ file = "phones.csv" }}
media = "rtp"

# What is found is acted upon, inside this process: a demo leaves the host's firewall alone.
[detect]
mode = "enforce"
firewall = "off"
"#
        )
    }

    /// Writes the phones' file.
    pub(super) fn write_phones(&self, folder: &Path) -> anyhow::Result<()> {
        let line = |(user, number): (&PhoneUser, u64)| {
            format!("{},{},+{}\n", user.name, user.secret, NUMBER + 10 + number)
        };
        let lines: String = self.users.iter().zip(1..).map(line).collect();
        write(folder.join("phones.csv"), &lines)
    }

    /// The attacks on it, if there is time for them.
    pub(super) fn siege(
        &self,
        edge: &Arc<Edge>,
        places: (SocketAddr, SocketAddr),
        length: Option<Duration>,
        seed: u64,
    ) -> Option<SiegeConfig> {
        let length = length.map_or(LENGTH, |length| length.min(10 * LENGTH));
        if length < LENGTH_MIN {
            return None;
        }
        let edge = Arc::clone(edge);
        let (edge_outside, edge_inside) = places;
        Some(SiegeConfig {
            length,
            edge_outside,
            edge_inside,
            carrier: self.carrier,
            pbx: self.pbx,
            phones_carrier: self.phones_carrier,
            number: format!("+{NUMBER}"),
            channels: CHANNELS,
            realm: REALM.to_owned(),
            users: self.users.clone(),
            phones: [outside(31), outside(32)],
            guessers: (71..=76).map(outside).collect(),
            thief: outside(90),
            ask: Arc::new(move || seen(&edge)),
            seed,
        })
    }
}

fn outside(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// What the edge says of itself. One that does not answer says nothing.
fn seen(edge: &Edge) -> Seen {
    let noticed = |judgement: Judgement| Noticed {
        kind: judgement.kind,
        subject: judgement.subject,
        why: judgement.why,
    };
    let mut incidents = edge.incidents().unwrap_or_default();
    incidents.reverse();
    let blocked = edge.blocks().unwrap_or_default();
    let enforced = blocked.into_iter().filter(|judgement| {
        matches!(judgement.action.as_deref(), Some("block" | "limit"))
            && judgement.mode.as_deref() == Some("enforce")
    });
    let defences = edge.defences();
    Seen {
        flood_alarm: defences.iter().any(|site| site.alarm_since.is_some()),
        incidents: incidents.into_iter().map(noticed).collect(),
        blocked: enforced
            .filter_map(|judgement| judgement.subject.parse().ok())
            .collect(),
    }
}

/// The offset from UTC of where it is between 10 and 11 now: what is unusual at night is not what
/// the demo is about, and it must not depend on when it is run.
fn late_morning() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let hour = now.unwrap_or_default().as_secs() / 3600 % 24;
    let offset = (10 + 24 - hour as i64 + 12).rem_euclid(24) - 12;
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign}{:02}:00", offset.abs())
}

/// What an owner would want to know of each attack, a line each.
pub(super) fn summary(report: &Report, paint: Paint) -> String {
    let siege = &report.siege;
    let good = |ok: bool, text: String| paint.tone(if ok { Tone::Good } else { Tone::Bad }, text);
    let mut out = String::new();
    let Some(guesser) = &siege.attackers.guesser else {
        return out;
    };
    out += &format!(
        "guesser   {} passwords tried from {} addresses, {}\n",
        guesser.tries,
        guesser.addresses,
        good(guesser.got_in == 0, format!("{} got in", guesser.got_in)),
    );
    if guesser.stolen_worked {
        let alarm = match guesser.alarm_after_s {
            Some(after) => good(after <= 1.0, format!("the alarm came after {after} s")),
            None => good(false, "no alarm yet".to_owned()),
        };
        out += &format!("stolen    the right password worked from a new place; {alarm}\n");
    }
    if let Some(fraudster) = &siege.attackers.fraudster {
        out += &format!(
            "fraud     {} calls to premium numbers with it, {}, {}\n",
            fraudster.tried,
            good(
                fraudster.stopped_before_setup == fraudster.tried,
                format!("{} stopped before set-up", fraudster.stopped_before_setup)
            ),
            good(
                fraudster.leaked == 0.0,
                format!("{:.2} dollars lost", fraudster.leaked)
            ),
        );
    }
    let through = |share: Share| {
        good(
            share.connected == share.offered,
            format!("{} of {}", share.connected, share.offered),
        )
    };
    let legitimate = siege.legitimate;
    if legitimate.staff_abroad.offered > 0 {
        out += &format!(
            "staff     {} calls abroad got through\n",
            through(legitimate.staff_abroad)
        );
    }
    let Some(flood) = &siege.attackers.flood else {
        return out;
    };
    let found = match siege.detected_after_s {
        Some(after) => format!("known for an attack after {after} s"),
        None => "not known for an attack yet".to_owned(),
    };
    out += &format!(
        "flood     {} calls, {} a minute on {} lines, {found}: {} reached the office, {} were asked for \
         digits and had none, {} refused\n\
         people    {} known callers and {} who never called before got through ({} times they found the \
         line busy and tried again); emergency {}\n\
         own       {}\n",
        flood.offered,
        flood.rate,
        flood.channels,
        flood.connected,
        flood.screened,
        flood.shed,
        through(legitimate.known),
        through(legitimate.unknown_human),
        legitimate.busy,
        through(siege.emergency),
        good(
            siege.false_bans == 0,
            format!(
                "{} of the customer's own addresses blocked",
                siege.false_bans
            )
        ),
    );
    out
}

/// The same in the width of a line, for where there is no terminal.
pub(super) fn line(report: &Report) -> String {
    let siege = &report.siege;
    let mut out = String::new();
    if let Some(guesser) = &siege.attackers.guesser {
        out += &format!("  guesses {}/{}", guesser.tries, guesser.got_in);
    }
    if let Some(fraudster) = &siege.attackers.fraudster {
        let (tried, stopped) = (fraudster.tried, fraudster.stopped_before_setup);
        out += &format!("  fraud {tried}, stopped {stopped}");
    }
    if let Some(flood) = &siege.attackers.flood {
        let (known, unknown) = (siege.legitimate.known, siege.legitimate.unknown_human);
        out += &format!(
            "  flood {}, people through {}/{}",
            flood.offered,
            known.connected + unknown.connected,
            known.offered + unknown.offered,
        );
    }
    out
}
