//! The trunk of the business, hour by hour: channels, calls, and the edge's machines.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, HashKey, Instant, TimerQueue, UnixTime};
use ringfence_detect::callers::{CALLERS_MAX, CallerKey, KnownCallers, Talk};
use ringfence_detect::event::{CallRef, SiteRef};
use ringfence_detect::tdos::Gate;
use ringfence_detect::tdos::baseline::HourOfWeek;
use ringfence_detect::tdos::gate::Profile;
use ringfence_detect::tdos::offer::{Challenge, Offer, Order, Verdict};

use ringfence_session::screening::VoicePolicy;

use crate::perimeter::rules::ByAddress;

use super::people::{Arrival, REGULARS, Reaction, Who, reaction, regular_number, talk};
use super::report::{BusyDay, CarrierBans, Milliseconds, Share, Tally, Tdos};

pub(super) struct Line {
    channels: u32,
    hold: Duration,
    /// What happens before is not counted.
    counted_from: Duration,
    /// The edge's machines, if it watches.
    gate: Option<Gate>,
    callers: KnownCallers,
    secret: HashKey,
    /// How strangers are asked.
    voice: VoicePolicy,
    /// The carrier's count of channels in use.
    in_use: u32,
    calls: BTreeMap<CallRef, Live>,
    next: u64,
    due: TimerQueue<Happening>,
    entropy: SeededEntropy,
    tally: Tally,
    first_alarm: Option<Duration>,
    alarms_before: u64,
    /// pike and the rate limit of FreePBX, before the edge.
    others: [ByAddress; 2],
    bans: CarrierBans,
    /// Whether regular callers were known before the first day.
    remembers: bool,
}

/// A call that holds a channel.
#[derive(Clone, Debug)]
struct Live {
    who: Who,
    number: String,
    since: Duration,
    asked: bool,
    counted: bool,
    arrival: Arrival,
}

#[derive(Clone, Debug)]
enum Happening {
    Arrives(Box<Arrival>),
    Presses(CallRef),
    HangsUp(CallRef),
    /// The carrier has its channel back.
    Free,
}

impl Line {
    pub(super) fn new(
        channels: u32,
        hold: Duration,
        guarded: bool,
        counted_from: Duration,
        mut entropy: SeededEntropy,
    ) -> Line {
        let secret = HashKey::generate(&mut entropy);
        Line {
            channels,
            hold,
            counted_from,
            gate: guarded.then(|| Gate::new(Profile::new(SiteRef::new(0), channels), secret)),
            callers: KnownCallers::new(secret, CALLERS_MAX),
            secret,
            voice: VoicePolicy::of_country("US"),
            in_use: 0,
            calls: BTreeMap::new(),
            next: 0,
            due: TimerQueue::default(),
            entropy,
            tally: Tally::default(),
            first_alarm: None,
            alarms_before: 0,
            others: [ByAddress::new(secret), ByAddress::new(secret)],
            bans: CarrierBans::default(),
            remembers: false,
        }
    }

    /// The regular callers' calls of the last weeks.
    pub(super) fn remember(&mut self) {
        self.remembers = true;
        for index in 0..REGULARS {
            let key = CallerKey::of(self.secret, &regular_number(index));
            for _ in 0..=self.entropy.below(3) {
                let days = 1 + self.entropy.below(60) as i64;
                let talk = Talk {
                    outbound: self.entropy.below(4) == 0,
                    duration: Duration::from_secs(30 + self.entropy.below(300)),
                    two_way: true,
                    in_alarm: false,
                };
                let at = UnixTime::from_micros(MONDAY.as_micros() - days * 86_400_000_000);
                self.callers.learn(key, talk, at);
            }
        }
    }

    pub(super) fn play(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            self.after(arrival.at, Happening::Arrives(Box::new(arrival)));
        }
        let mut clock = Instant::ZERO;
        loop {
            let gate = self.gate.as_ref().and_then(Gate::poll_timeout);
            let Some(at) = self.due.next_at() else { break };
            // What the gate finds overdue is done now, not then.
            let at = gate.map_or(at, |gate| gate.min(at)).max(clock);
            clock = at;
            let now = Duration::from_nanos(at.as_nanos());
            if let Some(gate) = &mut self.gate {
                gate.handle_timeout(at);
            }
            self.obey(now);
            while let Some(happening) = self.due.pop_due(at) {
                self.handle(now, happening);
                self.obey(now);
            }
            self.look(now);
        }
    }

    fn handle(&mut self, now: Duration, happening: Happening) {
        match happening {
            Happening::Arrives(arrival) => self.arrives(now, *arrival),
            Happening::Presses(call) => self.presses(now, call),
            Happening::HangsUp(call) => self.hangs_up(now, call),
            Happening::Free => self.in_use = self.in_use.saturating_sub(1),
        }
    }

    fn arrives(&mut self, now: Duration, arrival: Arrival) {
        let who = arrival.who;
        let counted = now >= self.counted_from;
        if counted && arrival.at == now {
            self.tally.of(who).offered += 1;
        }
        let outbound = matches!(who, Who::Emergency | Who::Outbound);
        if self.in_use >= self.channels && !outbound {
            // The carrier says busy; the edge never hears of it.
            return;
        }
        self.next += 1;
        let call = CallRef::new(self.next);
        let live = Live {
            who,
            number: arrival.number.clone(),
            since: now,
            asked: false,
            counted,
            arrival,
        };
        if !outbound {
            // INVITE and ACK.
            self.hears_of_carrier(now);
            self.hears_of_carrier(now);
        }
        let (verdict, why) = self.rule(now, call, &live);
        if outbound && self.in_use >= self.channels {
            // The edge hears of it first and may have sent somebody away, but the carrier says no.
            return self.try_again(now, call, live);
        }
        if outbound && verdict != Verdict::Admit {
            return;
        }
        self.in_use += 1;
        match verdict {
            Verdict::Admit => self.connect(now, call, live),
            Verdict::Screen { kindly } => {
                if counted {
                    self.tally.screened(who);
                }
                let asked = Live {
                    asked: true,
                    ..live
                };
                let question = (kindly, self.voice.heard_after(kindly));
                // Whom the edge does not know yet is asked, and answers, like anybody.
                let asked_who = match who {
                    Who::Known if !self.remembers => Who::Human,
                    who => who,
                };
                let happening = match reaction(asked_who, question, &mut self.entropy) {
                    Reaction::Presses(after) => Some((after, Happening::Presses(call))),
                    Reaction::Leaves(after) => Some((after, Happening::HangsUp(call))),
                    // Attackers hold as long as they do; people wait for what comes.
                    Reaction::Nothing => Some((self.hold, Happening::HangsUp(call)))
                        .filter(|_| matches!(who, Who::Attacker(_))),
                };
                self.calls.insert(call, asked);
                if let Some((after, happening)) = happening {
                    self.after(now + after, happening);
                }
            }
            Verdict::Shed { status } => {
                debug_assert!(!why.is_empty());
                if counted {
                    self.tally.shed(who, status);
                }
                self.after(now + REFUSAL, Happening::Free);
            }
        }
    }

    /// The edge tries each trunk of an emergency call again when all have refused.
    fn try_again(&mut self, now: Duration, call: CallRef, live: Live) {
        let Some(gate) = &mut self.gate else { return };
        gate.ended(call, None, instant(now));
        if live.who == Who::Emergency && now - live.arrival.at < TRIES_FOR {
            let again = Happening::Arrives(Box::new(live.arrival));
            self.after(now + ROUND_TRIP, again);
        }
    }

    /// What the edge says.
    fn rule(&mut self, now: Duration, call: CallRef, live: &Live) -> (Verdict, String) {
        let Some(gate) = &mut self.gate else {
            return (Verdict::Admit, String::new());
        };
        let at = instant(now);
        let wall = wall(now);
        if matches!(live.who, Who::Emergency | Who::Outbound) {
            let callee = CallerKey::of(self.secret, &live.number);
            if live.who == Who::Outbound {
                self.callers.note_outbound(callee, wall);
            }
            return match gate.outbound(call, at, live.who == Who::Emergency) {
                true => (Verdict::Admit, String::new()),
                false => (Verdict::Shed { status: 486 }, "full".into()),
            };
        }
        let caller = CallerKey::of(self.secret, &live.number);
        gate.set_profile(Profile {
            callers: self.callers.len(),
            ..Profile::new(SiteRef::new(0), self.channels)
        });
        let ruling = gate.offer(&Offer {
            call,
            at,
            hour: HourOfWeek::of(wall, 0),
            caller: Some(caller),
            standing: self.callers.standing(caller, wall),
            emergency: false,
            upstream: live.arrival.upstream,
            elsewhere: 1.0,
        });
        (ruling.verdict, ruling.why)
    }

    fn presses(&mut self, now: Duration, call: CallRef) {
        let Some(live) = self.calls.get(&call).cloned().filter(|live| live.asked) else {
            return;
        };
        let gate = self.gate.as_mut();
        let through =
            gate.is_some_and(|gate| gate.challenged(call, Challenge::Passed, instant(now)));
        self.calls.remove(&call);
        let delay = now - live.since;
        if live.counted && live.who == Who::Human {
            self.tally.delays.push(delay.as_millis() as u64);
        }
        match through {
            true => self.connect(now, call, live),
            false => self.left(now, &live),
        }
    }

    fn connect(&mut self, now: Duration, call: CallRef, live: Live) {
        if live.counted {
            self.tally.of(live.who).connected += 1;
        }
        let talk = talk(live.who, self.hold, &mut self.entropy);
        self.after(now + talk, Happening::HangsUp(call));
        let live = Live {
            asked: false,
            since: now,
            ..live
        };
        self.calls.insert(call, live);
    }

    fn hangs_up(&mut self, now: Duration, call: CallRef) {
        let Some(live) = self.calls.remove(&call) else {
            return;
        };
        if !matches!(live.who, Who::Emergency | Who::Outbound) {
            self.hears_of_carrier(now);
        }
        let talked = now - live.since;
        let caller = CallerKey::of(self.secret, &live.number);
        if let Some(gate) = &mut self.gate {
            let at = instant(now);
            if live.asked {
                gate.challenged(call, Challenge::HungUp, at);
            } else {
                let talk = Talk {
                    outbound: live.who == Who::Outbound,
                    duration: talked,
                    two_way: true,
                    in_alarm: gate.alarm().is_some(),
                };
                if live.who != Who::Emergency {
                    self.callers.learn(caller, talk, wall(now));
                }
                gate.ended(call, Some(talked), at);
            }
        }
        self.after(now + RELEASE, Happening::Free);
    }

    /// What the gate orders.
    fn obey(&mut self, now: Duration) {
        while let Some(order) = self.gate.as_mut().and_then(Gate::poll_order) {
            let (Order::LeaveToCallBack(call) | Order::EndForEmergency(call)) = order;
            if let Some(live) = self.calls.remove(&call) {
                self.left(now, &live);
            }
        }
    }

    /// Somebody who was asked does not get through: the number is noted, the channel is free.
    fn left(&mut self, now: Duration, live: &Live) {
        if live.counted && matches!(live.who, Who::Human | Who::Known) {
            self.tally.humans_lost += 1;
        }
        self.after(now + RELEASE, Happening::Free);
    }

    fn look(&mut self, now: Duration) {
        let Some(alarm) = self.gate.as_ref().and_then(Gate::alarm) else {
            return;
        };
        let since = Duration::from_nanos(alarm.since.as_nanos());
        if now < self.counted_from {
            self.alarms_before = self.gate.as_ref().map_or(0, |gate| gate.counts().alarms);
        } else if self.first_alarm.is_none() {
            self.first_alarm = Some(since);
        }
    }

    /// A request of the carrier, as it would be for rules that count by address. What such a ban
    /// would cost is not played: no call would be left.
    fn hears_of_carrier(&mut self, now: Duration) {
        if now < self.counted_from {
            return;
        }
        let [pike, freepbx] = &mut self.others;
        let at = instant(now);
        self.bans.pike += u64::from(pike.pike(at, CARRIER).1);
        self.bans.freepbx += u64::from(freepbx.freepbx(at, CARRIER).1);
    }

    fn after(&mut self, at: Duration, happening: Happening) {
        self.due.schedule(instant(at), happening);
    }

    pub(super) fn tdos_report(mut self, attack_begins: Option<Duration>) -> Tdos {
        let first = self.first_alarm;
        let mut report = self.tally.report();
        report.detected(
            attack_begins
                .filter(|_| self.gate.is_some())
                .map(|begins| first.map(|alarm| alarm.saturating_sub(begins))),
        );
        report.false_alarms = self.alarms_before;
        let alarms = self.gate.as_ref().map_or(0, |gate| gate.counts().alarms);
        report.alarms = alarms.saturating_sub(self.alarms_before);
        report.carrier_bans = self.bans;
        report
    }

    pub(super) fn busy_day_report(mut self, without: &Line) -> BusyDay {
        let count = |line: &Line, share: fn(&Tally) -> Share| share(&line.tally);
        let all = |tally: &Tally| Share {
            offered: tally.known.offered + tally.human.offered,
            connected: tally.known.connected + tally.human.connected,
            success: 0.0,
        };
        let unguarded = count(without, all);
        let guarded = count(&self, all);
        let alarms = self.gate.as_ref().map_or(0, |gate| gate.counts().alarms);
        let report = self.tally.report();
        BusyDay {
            legitimate: report.legitimate,
            emergency: report.emergency,
            without_edge: unguarded.counted(),
            harmed: unguarded.connected.saturating_sub(guarded.connected),
            false_bans: report.false_bans,
            alarms,
            screening: report.screening,
        }
    }
}

fn instant(at: Duration) -> Instant {
    Instant::ZERO + at
}

fn wall(at: Duration) -> UnixTime {
    UnixTime::from_micros(MONDAY.as_micros() + at.as_micros() as i64)
}

/// Where all calls come from.
const CARRIER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20));
/// 2026-11-23, 0:00.
const MONDAY: UnixTime = UnixTime::from_micros(1_795_392_000_000_000);
/// A channel is held by a refusal for so long.
const REFUSAL: Duration = Duration::from_millis(100);
/// Until the carrier has answered an INVITE.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// Two more tries.
const TRIES_FOR: Duration = Duration::from_millis(250);
/// Until the carrier has a channel back.
const RELEASE: Duration = Duration::from_millis(100);

pub(super) fn percentiles(delays: &mut [u64]) -> Milliseconds {
    delays.sort_unstable();
    let at = |percent: usize| {
        let place = delays.len().saturating_sub(1) * percent / 100;
        delays.get(place).map(|delay| *delay as f64 / 1000.0)
    };
    Milliseconds {
        p50: at(50),
        p99: at(99),
    }
}
