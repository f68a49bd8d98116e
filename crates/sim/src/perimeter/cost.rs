//! What a hostile packet costs: processor time of the product's machines, bytes in and bytes back,
//! before its source is known and after.
//!
//! Measured over [`ringfence_session::core::Core`] and the judge together, from the bytes of a datagram to
//! the bytes of its answer, timers and the simulator's own book-keeping included. Before a source is known each
//! packet comes from an address of its own; afterwards all come from one that the judge has decided
//! against, and the door is the one that workers have at their sockets. Making packets is not timed. Left out:
//! the host's kernel, which receives a packet and sends its answer, or drops it, at its own cost.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_base::entropy::SeededEntropy;
use ringfence_detect::decision::Decision;
use ringfence_detect::finding::Subject;
use ringfence_detect::own::{NeverBan, place_of};
use serde::Serialize;

use super::attackers::request;
use super::house::{FIRST_USER, House, REALM, USERS};
use super::report::Tally;
use super::rules::Rules;

/// Says whether a datagram of an address is read: what a worker asks at its socket.
pub type Door = Box<dyn FnMut(Instant, IpAddr) -> bool>;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Everything random follows from it.
    pub seed: u64,
    /// How often each measurement is made; half of them took less than what is said.
    pub rounds: u32,
    /// Packets in one of them.
    pub packets: u32,
}

/// The object of `ringfence sim cost --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How often each was measured.
    pub rounds: u32,
    /// Packets in each round.
    pub packets: u32,
    /// By kind of packet, before its source is known and after.
    pub costs: Vec<Cost>,
}

/// What one packet costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// What it is.
    pub packet: Packet,
    /// Whether the judge has decided against its source.
    pub source_known: bool,
    /// Processor time, in microseconds.
    pub cpu_us: Spread,
    /// Bytes of a packet, on average.
    pub bytes_in: f64,
    /// Bytes back for it, on average.
    pub bytes_back: f64,
    /// Bytes back for each byte of a packet; the most that one of them got.
    pub amplification_max: f64,
    /// The share that was dropped unread.
    pub dropped: f64,
}

/// Of several rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half took less.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// What kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packet {
    /// REGISTER for one name after the other.
    Enumeration,
    /// INVITE.
    Flood,
    /// REGISTER with a wrong password to a nonce of the edge's.
    Guess,
    /// OPTIONS, REGISTER and INVITE in turn.
    Scan,
    /// REGISTER in as few bytes as can be.
    Small,
}

impl Packet {
    const ALL: [Packet; 5] = [
        Packet::Scan,
        Packet::Enumeration,
        Packet::Guess,
        Packet::Flood,
        Packet::Small,
    ];

    /// Whether it can come from one address that is then known. Enumeration gives each request an
    /// address of its own.
    const fn has_source(self) -> bool {
        !matches!(self, Packet::Enumeration)
    }
}

/// Time from packet to packet, on the virtual clock.
const STEP: Duration = Duration::from_millis(5);
/// Packets until a source must have been decided against.
const KNOWN_WITHIN: u32 = 2_000;

/// Measures. `door` makes what workers have at their sockets, out of decisions and who is never
/// banned; `clock` is processor time.
pub fn run(
    options: &Options,
    door: &dyn Fn(&[Decision], NeverBan) -> Door,
    clock: &dyn Fn() -> Duration,
) -> Report {
    let mut costs = Vec::new();
    for packet in Packet::ALL {
        for known in [false, true] {
            if known && !packet.has_source() {
                continue;
            }
            let rounds = (0..u64::from(options.rounds.max(1))).filter_map(|round| {
                let seed = options.seed.wrapping_add(round);
                Round::new(packet, known, seed, door).map(|it| it.play(options.packets, clock))
            });
            let rounds: Vec<Counts> = rounds.collect();
            if let Some(counts) = rounds.first() {
                costs.push(counts.cost(packet, known, &rounds));
            }
        }
    }
    Report {
        rounds: options.rounds,
        packets: options.packets,
        costs,
    }
}

/// One measurement.
struct Round {
    house: House,
    door: Door,
    packet: Packet,
    /// Where all packets come from, if they do from one place.
    source: Option<SocketAddr>,
    at: Duration,
    tally: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    packets: u64,
    spent: Duration,
    bytes_in: u64,
    bytes_back: u64,
    amplification_max: f64,
    dropped: u64,
}

impl Round {
    /// `None` where the judge decides nothing against a source of such packets: nothing proves it.
    fn new(
        packet: Packet,
        known: bool,
        seed: u64,
        door: &dyn Fn(&[Decision], NeverBan) -> Door,
    ) -> Option<Round> {
        let mut entropy = SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xc057);
        let house = House::new(Rules::Nobody, &mut entropy);
        let open = door(&[], house.never_ban());
        let mut round = Round {
            house,
            door: open,
            packet,
            source: known.then(|| SocketAddr::from((Ipv4Addr::new(100, 96, 0, 1), 5071))),
            at: Duration::ZERO,
            tally: Tally::default(),
        };
        let Some(source) = round.source else {
            return Some(round);
        };
        let place = place_of(source.ip());
        for count in 0..KNOWN_WITHIN {
            let text = round.text(count, source);
            round.step(source, &text);
            let decisions = round.house.decisions();
            let against = |it: &Decision| {
                it.is_enforced()
                    && matches!(it.against(), Subject::Address(at) if place_of(*at) == place)
            };
            if decisions.iter().any(against) {
                round.door = door(&decisions, round.house.never_ban());
                return Some(round);
            }
        }
        None
    }

    fn play(mut self, packets: u32, clock: &dyn Fn() -> Duration) -> Counts {
        let source = |count| {
            let [.., a, b, c] = count_bytes(count);
            // 100.64.0.0/10 has four million addresses.
            SocketAddr::from((Ipv4Addr::new(100, 64 | (a & 15), b, c), 5071))
        };
        let made: Vec<(SocketAddr, String)> = (0..packets)
            .map(|count| {
                let from = self.source.unwrap_or_else(|| source(count));
                (from, self.text(count, from))
            })
            .collect();
        let mut counts = Counts {
            packets: u64::from(packets),
            ..Counts::default()
        };
        let begun = clock();
        for (from, text) in &made {
            let back = self.step(*from, text);
            let sent = text.len();
            counts.bytes_in += sent as u64;
            counts.bytes_back += back.unwrap_or(0) as u64;
            counts.dropped += u64::from(back.is_none());
            let echo = back.unwrap_or(0) as f64 / sent.max(1) as f64;
            counts.amplification_max = counts.amplification_max.max(echo);
        }
        counts.spent = clock().saturating_sub(begun);
        counts
    }

    /// How many bytes come back for a packet; `None` if it was not read.
    fn step(&mut self, from: SocketAddr, text: &str) -> Option<usize> {
        self.at += STEP;
        self.house.advance(self.at, &mut self.tally);
        if !(self.door)(self.house.instant(), from.ip()) {
            return None;
        }
        let answers = self.house.deliver(from, text, &mut self.tally)?;
        Some(answers.iter().map(|answer| answer.text.len()).sum())
    }

    /// The packet. A guess needs a nonce first, which is asked for here.
    fn text(&mut self, count: u32, from: SocketAddr) -> String {
        let user = FIRST_USER + count % (3 * USERS);
        let method = match self.packet {
            Packet::Enumeration | Packet::Guess => "REGISTER",
            Packet::Flood => "INVITE",
            Packet::Scan => ["OPTIONS", "REGISTER", "INVITE"]
                .get(count as usize % 3)
                .copied()
                .unwrap_or("OPTIONS"),
            Packet::Small => return small(&mut self.house, user, from),
        };
        let text = request(&mut self.house, method, user, from);
        if self.packet != Packet::Guess {
            return text;
        }
        let answers = self.house.deliver(from, &text, &mut self.tally);
        let challenge = answers.into_iter().flatten().find(|it| it.status == 401);
        let again = challenge.and_then(|challenge| {
            let user = user.to_string();
            self.house
                .with_credentials(&text, &challenge, &user, "12345")
        });
        again.unwrap_or(text)
    }
}

impl Counts {
    fn cost(&self, packet: Packet, source_known: bool, rounds: &[Counts]) -> Cost {
        let each = |it: &Counts| it.spent.as_secs_f64() * 1e6 / it.packets.max(1) as f64;
        let mut times: Vec<f64> = rounds.iter().map(each).collect();
        times.sort_by(f64::total_cmp);
        let at = |place: usize| times.get(place).copied().unwrap_or_default();
        let all = |of: fn(&Counts) -> u64| rounds.iter().map(of).sum::<u64>() as f64;
        let packets = all(|it| it.packets).max(1.0);
        Cost {
            packet,
            source_known,
            cpu_us: Spread {
                median: at(times.len() / 2),
                least: at(0),
                most: at(times.len().saturating_sub(1)),
            },
            bytes_in: all(|it| it.bytes_in) / packets,
            bytes_back: all(|it| it.bytes_back) / packets,
            amplification_max: rounds
                .iter()
                .map(|it| it.amplification_max)
                .fold(0.0, f64::max),
            dropped: all(|it| it.dropped) / packets,
        }
    }
}

/// As few bytes as a REGISTER can have that is answered at all.
fn small(house: &mut House, user: u32, from: SocketAddr) -> String {
    let branch = house.branch();
    let host = from.ip();
    format!(
        "REGISTER sip:{REALM} SIP/2.0\r\nv:SIP/2.0/UDP {host}:{};branch=z9hG4bK{branch}\r\n\
         f:<sip:{user}@{REALM}>;tag=1\r\nt:<sip:{user}@{REALM}>\r\ni:{branch}\r\nCSeq:1 REGISTER\r\n\r\n",
        from.port()
    )
}

const fn count_bytes(count: u32) -> [u8; 4] {
    count.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_detect::decision::Action;

    fn measured() -> Report {
        let options = Options {
            seed: 5,
            rounds: 2,
            packets: 120,
        };
        // What was decided, in a word: the edge's own door is not here.
        let door = |decisions: &[Decision], never: NeverBan| -> Door {
            let blocked: Vec<IpAddr> = decisions
                .iter()
                .filter(|it| it.is_enforced() && it.action() == Action::Block)
                .filter_map(|it| match it.against() {
                    Subject::Address(at) if !never.contains(*at) => Some(*at),
                    _ => None,
                })
                .collect();
            Box::new(move |_, from| !blocked.contains(&place_of(from)))
        };
        run(&options, &door, &|| Duration::ZERO)
    }

    #[test]
    fn no_packet_of_an_unproven_source_gets_more_bytes_back_than_it_has() {
        let report = measured();
        for packet in Packet::ALL {
            let of = |known| {
                let mut costs = report.costs.iter();
                costs.find(|it| it.packet == packet && it.source_known == known)
            };
            let unknown = of(false).unwrap();
            assert!(unknown.amplification_max <= 1.0, "{unknown:#?}");
            assert_eq!(unknown.dropped, 0.0, "{unknown:#?}");
        }
        let asked = report.costs.iter().find(|it| it.packet == Packet::Small);
        assert!(asked.unwrap().bytes_in < 250.0, "{report:#?}");
    }

    #[test]
    fn what_a_guesser_sends_is_dropped_unread_once_he_is_known() {
        let report = measured();
        let known = report
            .costs
            .iter()
            .find(|it| it.packet == Packet::Guess && it.source_known)
            .unwrap();
        assert_eq!((known.dropped, known.bytes_back), (1.0, 0.0), "{known:#?}");
    }
}
