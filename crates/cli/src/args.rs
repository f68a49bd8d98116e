//! What may be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A fence around a business's phone lines.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Print one JSON value on standard output instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which edge is meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The configuration of the edge that is asked.
    #[arg(
        long,
        global = true,
        default_value = "ringfence.toml",
        value_name = "FILE"
    )]
    pub(crate) config: PathBuf,

    /// The control socket of the edge that is asked, if there is no configuration at hand.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validate a configuration and say everything that is wrong with it.
    Check {
        /// The file.
        #[arg(default_value = "ringfence.toml", value_name = "FILE")]
        file: PathBuf,
    },
    /// The ready profiles of carriers and phone systems, or what one of them holds.
    Profiles {
        /// The profile.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Run the edge in the foreground. SIGTERM drains, SIGHUP reloads.
    Run {
        /// Same as the global --config.
        #[arg(skip)]
        config: Option<PathBuf>,
    },
    /// Run the main job on this machine: real sockets, simulated carrier, PBX, callers, attacker.
    Demo(DemoOptions),
    /// Play attacks on a simulated business, in virtual time, with the edge's own machines.
    Sim {
        #[command(subcommand)]
        command: SimCommand,
    },
    /// How the edge is doing.
    Status,
    /// The lines, and what proves that they work.
    Lines,
    /// The trunks that register, and how their registrations stand.
    Registrations,
    /// Calls in progress.
    Calls {
        /// Keep showing them, refreshed each second, until Ctrl-C.
        #[arg(long)]
        follow: bool,
        /// Show the last N calls that are over instead.
        #[arg(long, value_name = "N", conflicts_with = "follow")]
        records: Option<u32>,
        #[command(subcommand)]
        command: Option<CallsCommand>,
    },
    /// Write what passes the edge into a pcapng file, TLS decrypted, keys and passwords masked.
    Capture(CaptureOptions),
    /// Run detection over a capture (pcap, pcapng), or over what the edge kept, and say what would
    /// have been stopped.
    Replay(ReplayOptions),
    /// Toll fraud: what calls have cost today, what was stopped and why.
    Fraud,
    /// Phones that register at the edge.
    Phones {
        #[command(subcommand)]
        command: PhonesCommand,
    },
    /// What the edge would do with a call.
    Route {
        #[command(subcommand)]
        command: RouteCommand,
    },
    /// What detection found: attacks, and why it thinks so.
    Incidents {
        /// Show so many of the past.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Whom detection slows, limits or blocks now, and why.
    Blocks {
        #[command(subcommand)]
        command: Option<BlocksCommand>,
    },
    /// Addresses that attacked here, for others' lists.
    Feed {
        #[command(subcommand)]
        command: FeedCommand,
    },
    /// Who is known to the business: such callers get through when an attack fills the lines.
    Callers {
        #[command(subcommand)]
        command: Option<CallersCommand>,
    },
    /// Detectors that are data: test them, see what they find, change their modes.
    Scenario {
        #[command(subcommand)]
        command: ScenarioCommand,
    },
    /// Say that calls hold the lines: strangers are asked by voice until it ends by itself.
    AttackMode {
        #[command(subcommand)]
        command: Option<AttackCommand>,
    },
    /// What is known of an address, an account, a number or a call, and why it was treated so.
    Explain {
        /// An address, an account, a number, or a call's id.
        #[arg(value_name = "ADDRESS|NUMBER|CALL")]
        about: String,
    },
    /// Look for what is wrong with this host and set-up.
    Doctor,
    /// Apply the changed configuration file without dropping a call. Same as SIGHUP.
    Reload,
    /// Take no new calls, let those in progress end, then stop. Same as SIGTERM.
    Drain,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CallersCommand {
    /// How many numbers are remembered for each tenant.
    Status,
    /// Make the numbers of a file known: contacts (CSV of Google, Outlook and others, vCard) or call
    /// records (CSV of Asterisk, FreePBX, 3CX and others).
    Import {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Whose callers they are; may be left out if there is one tenant only.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// What the file is, if that cannot be seen.
        #[arg(long, value_enum, default_value_t = CallersFormat::Auto)]
        format: CallersFormat,
        /// Only say what would be taken.
        #[arg(long)]
        dry_run: bool,
    },
    /// What a number is to the business, and why.
    Show {
        /// The number, as it is written in the tenant's country.
        number: String,
        /// Key of the tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Who was asked by voice, was not put through and waits for a call back, the newest first;
    /// without those who got through since, or were called.
    CallBack {
        /// How far back (30m, 24h, 7d).
        #[arg(long, value_name = "TIME", value_parser = days, default_value = "24h")]
        since: Duration,
        /// Key of the tenant; without it, all.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Make a number a stranger's again.
    Forget {
        /// The number.
        number: String,
        /// Key of the tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScenarioCommand {
    /// The scenarios of a running edge: their modes, and what they have found.
    List,
    /// Run scenarios on the traces beside them, and compare with what is expected.
    Test {
        /// A folder of scenarios, the folder of one, or a scenario.toml; without it those that are
        /// shipped.
        #[arg(value_name = "PATH")]
        path: Option<PathBuf>,
    },
    /// Let a scenario act, or only look, from now on: until its file changes or the edge ends.
    Mode {
        /// Its name.
        name: String,
        /// observe or enforce.
        #[arg(value_enum)]
        mode: ScenarioModeName,
    },
}

/// What becomes of what a scenario finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ScenarioModeName {
    /// An incident is noted.
    Observe,
    /// The ladder hears of it, too.
    Enforce,
}

/// What a file of callers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CallersFormat {
    /// Seen from its name and its first line.
    Auto,
    /// Call records in CSV.
    Cdr,
    /// Contacts in CSV.
    Contacts,
    /// Contacts in vCard.
    Vcard,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CallsCommand {
    /// The ladder of one call: every message on both legs.
    Trace {
        /// The call's id, as `ringfence calls` shows it.
        id: String,
    },
    /// End one call.
    Hangup {
        /// The call's id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Say step by step what would become of a call. Nothing is sent, no channel is taken.
    Test(RouteOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RouteOptions {
    /// What is dialled: a number, a name, or urn:service:sos.
    pub(crate) called: String,

    /// The calling number, or the trunk, PBX or phone user (GROUP/USER) that calls. Without it the
    /// call is an anonymous one from outside.
    #[arg(long, value_name = "NUMBER|NAME")]
    pub(crate) from: Option<String>,

    /// The trunk, PBX or phone user (GROUP/USER) that calls, if the calling number does not say
    /// it.
    #[arg(long, value_name = "NAME")]
    pub(crate) via: Option<String>,

    /// The caller asks to be anonymous (Privacy: id).
    #[arg(long)]
    pub(crate) private: bool,

    /// When the call is made: 'Sat 19:00', '19:00'.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,

    /// Judge by the configuration file alone, even if the edge runs.
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeedCommand {
    /// Print proven addresses that scanned, guessed or flooded; none of the customer's, and nothing
    /// but addresses.
    Export {
        /// How far back (24h, 7d).
        #[arg(long, value_name = "TIME", value_parser = days, default_value = "7d")]
        since: Duration,
        /// How it is written; `--json` is `--format json`.
        #[arg(long, value_enum, default_value_t = FeedFormat::Text)]
        format: FeedFormat,
    },
}

/// How a list of addresses is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FeedFormat {
    /// An address a line.
    Text,
    /// With what each did, when, and how sure it is.
    Json,
    /// As APIBAN answers.
    Apiban,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlocksCommand {
    /// Take back what is in force. Always works.
    Remove {
        /// Against this address, or this account (`201`, `201@phones.example`).
        #[arg(value_name = "ADDRESS|ACCOUNT", required_unless_present = "all")]
        whose: Option<String>,
        /// Against everybody.
        #[arg(long, conflicts_with = "whose")]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AttackCommand {
    /// Begin, or set the end anew.
    On {
        /// How long it lasts (30m, 1h); a week at most.
        #[arg(long = "for", value_parser = duration, value_name = "TIME")]
        length: Duration,
        #[command(flatten)]
        whom: AttackedSites,
    },
    /// It is over.
    Off {
        #[command(flatten)]
        whom: AttackedSites,
    },
    /// How each site stands.
    Status {
        #[command(flatten)]
        whom: AttackedSites,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AttackedSites {
    /// Only this site.
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,
    /// Only the sites of this tenant.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PhonesCommand {
    /// Make a user with a secret, which is shown this once. Then: ringfence reload.
    Add {
        /// The group: NAME of [phones.NAME].
        group: String,
        /// The user's name.
        user: String,
        /// A number of the site that is this user's own.
        #[arg(long, value_name = "+NUMBER")]
        number: Option<String>,
    },
    /// Who is registered, and where.
    List,
    /// Make a new secret for a user, which is shown this once. Then: ringfence reload.
    Rotate {
        /// The group: NAME of [phones.NAME].
        group: String,
        /// The user's name.
        user: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Calls that hold a business's lines: who gets through?
    Tdos(TdosOptions),
    /// A day without an attack: is anybody harmed?
    BusyDay(BusyDayOptions),
    /// Who looks for ways in: what do they learn, and when are they found?
    Scan(ScanOptions),
    /// Who tries passwords: does one work, and who hears of it?
    Guess(GuessOptions),
    /// What a hostile packet costs: processor time, and bytes in and back.
    Cost(CostOptions),
    /// Businesses that call abroad, and fraudsters who make dear calls: what is lost?
    Fraud(FraudOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ScanOptions {
    /// What the scan is like.
    #[arg(long, value_enum, default_value_t = ScanStyle::Scanner)]
    pub(crate) style: ScanStyle,
    #[command(flatten)]
    pub(crate) perimeter: PerimeterOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct GuessOptions {
    /// How passwords are tried.
    #[arg(long, value_enum, default_value_t = GuessStyle::Guess)]
    pub(crate) style: GuessStyle,
    /// With --style stuff: so many pairs are right, and a hundred addresses take turns.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=12))]
    pub(crate) right: u32,
    #[command(flatten)]
    pub(crate) perimeter: PerimeterOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PerimeterOptions {
    /// Requests or guesses in a minute, on average, instead of the style's own pace.
    #[arg(long, value_name = "N", value_parser = pace)]
    pub(crate) per_minute: Option<f64>,
    /// Days without an attack before it, the phones registering; five minutes unless said.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=60))]
    pub(crate) history: Option<u32>,
    /// How long the attack goes on.
    #[arg(long, default_value_t = 10.0, value_parser = amount)]
    pub(crate) minutes: f64,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Whose rules are carried out.
    #[arg(long, value_enum, default_value_t = PerimeterRules::Edge)]
    pub(crate) rules: PerimeterRules,
}

/// Whose rules are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PerimeterRules {
    /// The edge's.
    Edge,
    /// Those of fail2ban with its jail for Asterisk.
    Fail2ban,
    /// Those of FreePBX's responsive firewall: 50 packets in 10 s.
    Freepbx,
    /// Nobody's.
    Nobody,
    /// Those of Kamailio's pike.
    Pike,
}

/// How ways in are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScanStyle {
    /// Each request from an address of its own, for users.
    Distributed,
    /// A new address after every five requests.
    Rotating,
    /// One address, twenty requests a second.
    Scanner,
    /// One request a minute.
    Slow,
    /// Under the carrier's address.
    Spoofed,
}

/// How passwords are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GuessStyle {
    /// Many for one user.
    Guess,
    /// Few for many users.
    Spray,
    /// A few wrong ones, and then the right one from elsewhere.
    Stolen,
    /// Pairs from other break-ins, from many addresses.
    Stuff,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CostOptions {
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How often each kind of packet is measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Packets in each round.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) packets: u32,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FraudOptions {
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many days.
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) days: u32,
    /// How many businesses; each is attacked once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) businesses: u32,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TdosOptions {
    /// Channels of the trunk.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) channels: u32,
    /// Attack calls in a minute.
    #[arg(long, default_value_t = 40.0, value_parser = amount)]
    pub(crate) rate: f64,
    /// Seconds until the attacker hangs up.
    #[arg(long, default_value_t = 60.0, value_parser = amount)]
    pub(crate) hold: f64,
    /// How long the attack goes on.
    #[arg(long, default_value_t = 30.0, value_parser = amount)]
    pub(crate) minutes: f64,
    /// How the calls are made.
    #[arg(long, value_enum, default_value_t = AttackStyle::Flood)]
    pub(crate) style: AttackStyle,
    /// Minutes until there are so many calls in a minute; from the start unless said.
    #[arg(long, default_value_t = 0.0, value_parser = amount)]
    pub(crate) ramp: f64,
    /// Traffic of real callers, in Erlang.
    #[arg(long, default_value_t = 1.0, value_parser = amount)]
    pub(crate) load: f64,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Play so many seeds, from --seed on, and add them up.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) seeds: u64,
    /// Days of ordinary business before, of which the edge knows what it has seen; unless said, it
    /// knows the callers of the last weeks and no hour's traffic.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=60))]
    pub(crate) history: Option<u32>,
    /// Without the edge: first come, first served.
    #[arg(long)]
    pub(crate) unguarded: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BusyDayOptions {
    /// Channels of the trunk.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) channels: u32,
    /// Traffic of real callers in a busy hour, in Erlang.
    #[arg(long, default_value_t = 1.0, value_parser = amount)]
    pub(crate) load: f64,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How an attack's calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AttackStyle {
    /// Real people who return calls that they never got.
    Backscatter,
    /// Machines in step with made-up numbers.
    Flood,
    /// Valid numbers, spaced like people; they speak and cannot pass a challenge.
    Human,
    /// A ramp.
    Slow,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CaptureOptions {
    /// The file; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: PathBuf,

    /// Both legs of this call in progress.
    #[arg(long, value_name = "ID")]
    pub(crate) call: Option<String>,

    /// Calls from or to this number.
    #[arg(long, value_name = "+NUMBER")]
    pub(crate) number: Option<String>,

    /// What comes from or goes to this address or block.
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub(crate) address: Option<String>,

    /// What comes from or goes to this trunk, PBX or group of phones.
    #[arg(long, value_name = "NAME")]
    pub(crate) trunk: Option<String>,

    /// Messages of this method, and responses to them.
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,

    /// RTP and RTCP too, not only signalling.
    #[arg(long)]
    pub(crate) rtp: bool,

    /// Stop after this long (30s, 2m).
    #[arg(long = "for", value_parser = duration, value_name = "TIME", default_value = "10m")]
    pub(crate) length: Duration,

    /// Stop after so many packets.
    #[arg(long, value_name = "N")]
    pub(crate) packets: Option<u64>,

    /// Stop before the file is larger (500k, 100M, 2G).
    #[arg(long, value_parser = bytes, value_name = "SIZE", default_value = "100M")]
    pub(crate) size: u64,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReplayOptions {
    /// The capture.
    #[arg(value_name = "FILE", required_unless_present = "last")]
    pub(crate) capture: Option<PathBuf>,

    /// Instead of a capture: what the edge of the configuration was told in this time until now
    /// (30m, 24h, 7d). It may run meanwhile, or not.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = days,
        conflicts_with_all = ["capture", "local", "per_message"]
    )]
    pub(crate) last: Option<Duration>,

    /// Take the trunks and phone systems of this site of the configuration for the customer's own;
    /// without it those of all sites, if there is a configuration.
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,

    /// An address of ours in the capture: what it asks of others is no attack.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) local: Vec<std::net::IpAddr>,

    /// Run these scenarios, too: a folder of them, the folder of one, or a scenario.toml.
    #[arg(long, value_name = "PATH")]
    pub(crate) scenario: Vec<PathBuf>,

    /// A line for each SIP message: its number, the score of its source and the marks in it.
    #[arg(long)]
    pub(crate) per_message: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoOptions {
    /// Stop after this long (30s, 2m). Without it, the demo runs until Ctrl-C.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(crate) length: Option<Duration>,

    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// New calls a second.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) rate: f64,

    /// Keep the folder with the demo's configuration, certificates and database.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keep: Option<PathBuf>,
}

/// A number that is neither negative nor beyond reason.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=100_000.0).contains(&number) => Ok(number),
        _ => Err("write a number from 0 to 100000".to_owned()),
    }
}

fn pace(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.01..=10_000.0).contains(&number) => Ok(number),
        _ => Err("write a number from 0.01 to 10000".to_owned()),
    }
}

/// As [`duration`], and `7d`.
fn days(text: &str) -> Result<Duration, String> {
    let Some(days) = text.strip_suffix('d') else {
        let other = duration(text);
        return other.map_err(|_| "write a number with s, m, h or d, like 7d".to_owned());
    };
    let days: Option<u64> = days.parse().ok().filter(|days| (1..=3_660).contains(days));
    let days = days.ok_or("write from 1d to 3660d, like 7d")?;
    Ok(Duration::from_secs(days * 86_400))
}

/// `90`, `30s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write a number with s, m or h, like 30s".to_owned()),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
    {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("write a number with s, m or h, like 30s".to_owned()),
    }
}

/// `900`, `500k`, `100M`, `2G`: powers of 1,024.
fn bytes(text: &str) -> Result<u64, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("write a number with k, M or G, like 100M".to_owned()),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
    {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("write a number with k, M or G, like 100M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_issue_spellings_parse() {
        for line in [
            "ringfence check ringfence.toml",
            "ringfence run --config ringfence.toml",
            "ringfence status --json",
            "ringfence lines",
            "ringfence registrations --json",
            "ringfence calls --follow",
            "ringfence calls trace 0123456789abc --json",
            "ringfence doctor",
            "ringfence route test +13125550001 --from +13305550101 --at 19:00 --json",
            "ringfence capture -w calls.pcapng --number +13305550100 --rtp --for 30s --size 10M",
            "ringfence replay attack.pcapng --site hq --per-message --json",
            "ringfence replay attack.pcapng --scenario scenarios",
            "ringfence incidents --limit 5 --json",
            "ringfence blocks",
            "ringfence blocks remove 203.0.113.9 --json",
            "ringfence blocks remove --all",
            "ringfence attack-mode on --for 1h",
            "ringfence attack-mode on --for 30m --site summit --json",
            "ringfence attack-mode off --tenant summit",
            "ringfence attack-mode status --json",
            "ringfence attack-mode",
            "ringfence callers import contacts.csv --tenant summit --dry-run --json",
            "ringfence callers import Master.csv --format cdr",
            "ringfence callers show 330-555-0100",
            "ringfence callers call-back --since 7d --tenant summit --json",
            "ringfence feed export --since 24h --format apiban",
            "ringfence callers call-back",
            "ringfence callers forget +13305550100 --tenant summit",
            "ringfence callers --json",
            "ringfence scenario test scenarios --json",
            "ringfence scenario test",
            "ringfence scenario list --json",
            "ringfence scenario mode options-probing enforce",
            "ringfence explain 203.0.113.9",
            "ringfence fraud --json",
            "ringfence phones add remote alice --number +13305550107",
            "ringfence phones rotate remote alice --json",
            "ringfence phones list",
            "ringfence profiles",
            "ringfence profiles telnyx --json",
            "ringfence reload",
            "ringfence demo --for 30s --json",
            "ringfence sim tdos --channels 8 --rate 40 --hold 60 --minutes 30 --seed 7 --json",
            "ringfence sim tdos --style human --load 1 --seeds 20",
            "ringfence sim busy-day --seed 3 --json",
        ] {
            Arguments::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("500k"), Ok(500 << 10));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        assert!(bytes("0").is_err() && bytes("5T").is_err());
        assert!(bytes("99999999999G").is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert!(duration("0s").is_err() && duration("5d").is_err() && duration("").is_err());
        assert_eq!(days("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(days("30m"), Ok(Duration::from_secs(1_800)));
        for bad in ["d", "0d", "-1d", "99999999999d", "1w", ""] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }
}
