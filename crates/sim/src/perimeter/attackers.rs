//! What attackers do. They know their trade and not what the judge thinks: names of programs are
//! borrowed from phones, and the way messages are built is that of one tool throughout.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ringfence_base::Entropy as _;
use ringfence_base::entropy::SeededEntropy;
use serde::Serialize;

use super::Options;
use super::house::{FIRST_USER, House, REALM, Reply, USERS, password};
use super::report::Tally;

/// What an attack is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Each request from an address of its own, to find out which users there are.
    Distributed,
    /// Many passwords for one user.
    Guess,
    /// A new address after every five requests.
    Rotating,
    /// One address, twenty requests a second.
    Scanner,
    /// One request a minute.
    Slow,
    /// Under the carrier's address.
    Spoofed,
    /// Few passwords for many users.
    Spray,
    /// A few wrong passwords, and then the right one, from elsewhere.
    Stolen,
    /// Pairs of users and passwords from other break-ins, from many addresses.
    Stuff,
}

impl Style {
    /// Every style.
    pub const ALL: [Style; 9] = [
        Style::Distributed,
        Style::Guess,
        Style::Rotating,
        Style::Scanner,
        Style::Slow,
        Style::Spoofed,
        Style::Spray,
        Style::Stolen,
        Style::Stuff,
    ];

    /// Whether it looks for ways in, rather than passwords.
    pub const fn is_scan(self) -> bool {
        matches!(
            self,
            Style::Distributed | Style::Rotating | Style::Scanner | Style::Slow | Style::Spoofed
        )
    }

    fn pause(self) -> Duration {
        match self {
            Style::Scanner | Style::Rotating | Style::Spoofed => Duration::from_millis(50),
            Style::Distributed => Duration::from_millis(500),
            Style::Guess | Style::Stolen => Duration::from_millis(200),
            Style::Spray | Style::Stuff => Duration::from_millis(500),
            Style::Slow => Duration::from_secs(60),
        }
    }
}

/// Nobody asks faster.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Wrong passwords before the right one is there.
const BEFORE_STOLEN: u64 = 6;

/// An attack under way.
pub(super) struct Attack {
    style: Style,
    count: u64,
    /// Without the chance in it.
    pause: Duration,
    /// Right pairs, and after how many wrong ones there is one.
    right: (u64, u64),
}

impl Attack {
    pub(super) fn new(options: &Options) -> Attack {
        let style = options.style;
        // A quarter of it, at most, is added by chance: an eighth on average.
        let pause = options
            .pause
            .map_or(style.pause(), |mean| (mean * 8 / 9).max(PAUSE_MIN));
        let right = match style {
            Style::Stuff => u64::from(options.right_pairs.min(USERS)),
            _ => 0,
        };
        let guesses = options.length.as_millis() / (pause * 9 / 8).as_millis().max(1);
        let every = (guesses as u64 / (right + 1)).max(1);
        Attack {
            style,
            count: 0,
            pause,
            right: (right, every),
        }
    }

    /// Which right pair is the turn's, if any is.
    fn right_pair(&self, count: u64) -> Option<u32> {
        let (right, every) = self.right;
        let is_turn = count > 0 && count.is_multiple_of(every) && count / every <= right;
        // Never one user after his neighbour: seven has no factor of twelve.
        is_turn.then(|| FIRST_USER + (count / every * 7 % u64::from(USERS)) as u32)
    }

    /// The next request. How long until the one after it.
    pub(super) fn step(
        &mut self,
        house: &mut House,
        tally: &mut Tally,
        entropy: &mut SeededEntropy,
    ) -> Option<Duration> {
        let count = self.count;
        self.count += 1;
        let from = self.source(count);
        if self.style.is_scan() {
            let user = 100 + (count % 200) as u32;
            let method = match self.style {
                Style::Distributed => "REGISTER",
                _ => ["OPTIONS", "REGISTER", "INVITE"][(count / 7 % 3) as usize],
            };
            probe(house, tally, from, method, user);
        } else {
            let (user, secret) = self.guess(count, entropy);
            guess(house, tally, from, user, &secret);
        }
        let over = self.style == Style::Stolen && count >= BEFORE_STOLEN;
        let jitter = entropy.next_u64() % (self.pause.as_millis() as u64 / 4).max(1);
        (!over).then(|| self.pause + Duration::from_millis(jitter))
    }

    fn source(&self, count: u64) -> SocketAddr {
        let nth = |number: u64| {
            let [.., a, b] = number.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(100, 64, a, b))
        };
        let address = match self.style {
            Style::Scanner | Style::Slow | Style::Guess | Style::Spray => nth(1),
            Style::Rotating => nth(1 + count / 5),
            Style::Distributed => nth(1 + count),
            Style::Spoofed => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20)),
            Style::Stolen => nth(1 + u64::from(count >= BEFORE_STOLEN)),
            Style::Stuff if self.right.0 > 0 => nth(1 + count % 100),
            Style::Stuff => nth(1 + count % 20),
        };
        SocketAddr::new(
            address,
            if self.style == Style::Spoofed {
                5060
            } else {
                5071
            },
        )
    }

    fn guess(&self, count: u64, entropy: &mut SeededEntropy) -> (u32, String) {
        let wrong = format!("{:06}", entropy.next_u64() % 1_000_000);
        if let Some(user) = self.right_pair(count) {
            return (user, password(user));
        }
        match self.style {
            Style::Stolen if count >= BEFORE_STOLEN => (FIRST_USER, password(FIRST_USER)),
            Style::Guess | Style::Stolen => (FIRST_USER, wrong),
            // One in three is a user.
            _ => (FIRST_USER + (count % (3 * u64::from(USERS))) as u32, wrong),
        }
    }
}

fn is_user(user: u32) -> bool {
    (FIRST_USER..FIRST_USER + USERS).contains(&user)
}

pub(super) fn request(house: &mut House, method: &str, user: u32, from: SocketAddr) -> String {
    let branch = house.branch();
    let uri = match method {
        "REGISTER" => format!("sip:{REALM}"),
        _ => format!("sip:{user}@203.0.113.10"),
    };
    let contact = format!("Contact: <sip:{user}@{from}>\r\n");
    // One tool, whatever it calls itself: its order of headers, its shapes of ids.
    format!(
        "{method} {uri} SIP/2.0\r\nTo: <sip:{user}@{REALM}>\r\n\
         From: <sip:{user}@{REALM}>;tag={branch:032x}\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK-{branch}\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\n\
         User-Agent: Yealink SIP-T46U 108.86.0.90\r\n{contact}Max-Forwards: 70\r\n\
         Allow: REGISTER, INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, NOTIFY, SUBSCRIBE, \
         REFER, UPDATE, PRACK, PUBLISH\r\nSupported: 100rel, eventlist, from-change, gruu, histinfo, \
         join, outbound, path, replaces, timer\r\nAccept: application/sdp, \
         application/dialog-info+xml, application/simple-message-summary, message/sipfrag\r\n\
         Expires: 300\r\nContent-Length: 0\r\n\r\n"
    )
}

fn probe(house: &mut House, tally: &mut Tally, from: SocketAddr, method: &str, user: u32) {
    let text = request(house, method, user, from);
    let answers = attack(house, tally, from, &text);
    if let Some(answers) = &answers {
        // What an attacker can tell: the status and which headers there are.
        let shape = answers.iter().map(|answer| {
            let names = answer.text.lines().filter_map(|line| line.split_once(':'));
            (
                answer.status,
                names.map(|(name, _)| name.to_owned()).collect(),
            )
        });
        tally.told(method, is_user(user), user, shape.collect());
    }
}

/// Sends one message and counts what it costs.
fn attack(
    house: &mut House,
    tally: &mut Tally,
    from: SocketAddr,
    text: &str,
) -> Option<Vec<Reply>> {
    tally.attacks(from.ip(), text.len());
    let answers = house.deliver(from, text, tally);
    let answered = answers.iter().flatten().map(|answer| answer.text.len());
    tally.answered(house.now(), answered.sum(), answers.is_none());
    answers
}

fn guess(house: &mut House, tally: &mut Tally, from: SocketAddr, user: u32, secret: &str) {
    let text = request(house, "REGISTER", user, from);
    let answers = attack(house, tally, from, &text).unwrap_or_default();
    let Some(challenge) = answers.into_iter().find(|it| it.status == 401) else {
        return;
    };
    let again = house.with_credentials(&text, &challenge, &user.to_string(), secret);
    let Some(again) = again else { return };
    let answers = attack(house, tally, from, &again);
    let found = answers.iter().flatten().any(|it| it.status == 200);
    let right = (secret == password(user) && answers.is_some()).then(|| house.account(user));
    tally.guessed(house.now(), found, right);
}
