//! The judge of the process: one thread that all workers tell what they saw, since an attacker's
//! traffic reaches all of them.
//!
//! Workers hand events over by a bounded queue and never wait; what finds it full is lost and
//! counted. What the judge decides goes back as a [`Shield`], one pointer that workers read without
//! a lock; blocks stand in the host's [`firewall`] too, where that can be used. Records of what it
//! said go the way of call records; what it was told is kept by a [`ledger`].

pub mod firewall;
pub mod ledger;
pub mod shield;
mod words;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use ringfence_base::time::WallAnchor;
use ringfence_base::{HashKey, Instant};
use ringfence_control::api::{Explanation, Judgement, ScenarioView};
use ringfence_detect::decision::Mode;
use ringfence_detect::event::{CallStep, Direction, Event, PeerRef, SiteRef, What};
use ringfence_detect::feed::AddressList;
use ringfence_detect::finding::Finding;
use ringfence_detect::ladder::Modes;
use ringfence_detect::name::Name;
use ringfence_detect::own::Network;
use ringfence_detect::scenario::Scenario;
use ringfence_detect::silence::Silence;
use ringfence_detect::watch::{Counters, Limits, Verdict, Watch};
use ringfence_session::plan::{PeerKind, Plan};
use tokio::sync::oneshot;

use crate::clock::{Clock, anchor_is_off};
use crate::records::RecordSender;
use crate::throttle::Throttle;
use firewall::Firewall;
use ledger::{Ledger, LedgerCounters};
use shield::Shield;

/// Events that may wait for the judge: 6 MB.
const WAITING_MAX: usize = 32_768;
/// Events that are judged before decisions are published.
const BATCH: usize = 512;
/// How long the judge rests after events, while more of them gather: a worker that finds him waiting
/// has to wake him, which costs more than the event. No verdict is worth less for coming so much later.
const REST: Duration = Duration::from_millis(10);
/// How long the judge sleeps at most.
const IDLE: Duration = Duration::from_secs(1);
/// What is learned of how calls come in at a site, as records name it.
pub(crate) const SILENCE: &str = "silence";
/// Log lines of incidents a second.
const LOG_LINES: u32 = 5;

/// What the judge is told and asked.
pub(crate) enum Work {
    /// Something was seen.
    Event(Event),
    /// Something was found by a machine that acts itself.
    Finding(Box<Finding>),
    /// The configuration: who is the customer's own, and what is enforced.
    Plan(Arc<Plan>, Modes, Vec<Scenario>),
    /// Lists of addresses that others saw attack.
    Lists(Vec<Arc<AddressList>>),
    /// What an earlier process learned of how calls come in at a site.
    Habits(SiteRef, Vec<u8>),
    /// A registration that an earlier process saw.
    Place(IpAddr, Name),
    /// A question.
    Ask(Question),
    /// End.
    Stop,
}

/// A question to the judge.
pub(crate) enum Question {
    /// Open incidents.
    Incidents(oneshot::Sender<Vec<Judgement>>),
    /// What is in force.
    Blocks(oneshot::Sender<Vec<Judgement>>),
    /// Take back what is in force against an address or an account, or all of it.
    Lift(Lifting, oneshot::Sender<u64>),
    /// The scenarios, after the mode of one was changed if one is named. `None`: there is no such.
    Scenarios(
        Option<(String, Mode)>,
        oneshot::Sender<Option<Vec<ScenarioView>>>,
    ),
    /// What is known of an address.
    Explain(IpAddr, oneshot::Sender<Explanation>),
}

/// Against whom something is taken back.
pub(crate) enum Lifting {
    All,
    Address(IpAddr),
    /// `user@realm`, or just the user.
    Account(String),
}

/// What is counted around the judge.
#[derive(Debug, Default)]
pub struct JudgeCounters {
    /// Events that found the queue full.
    pub lost: AtomicU64,
    /// What the judge counts, as of its last batch.
    told: ArcSwap<Counters>,
    /// Bytes of its memory, about.
    pub memory: AtomicU64,
    /// What became of the events that are kept; none where none are.
    pub(crate) ledger: std::sync::OnceLock<Arc<LedgerCounters>>,
}

impl JudgeCounters {
    /// What the judge counts.
    pub fn judge(&self) -> Counters {
        **self.told.load()
    }
}

/// A worker's, or the control side's, way to the judge.
#[derive(Clone)]
pub(crate) struct JudgeSender {
    queue: SyncSender<Work>,
    counters: Arc<JudgeCounters>,
    shield: Arc<ArcSwap<Shield>>,
    key: HashKey,
    listens: bool,
}

impl JudgeSender {
    /// Whether anything is judged. If not, whoever would tell need not even look.
    pub(crate) fn listens(&self) -> bool {
        self.listens
    }

    /// Tells what was seen. Never waits.
    pub(crate) fn tell(&self, event: Event) {
        if self.listens && self.queue.try_send(Work::Event(event)).is_err() {
            self.counters.lost.fetch_add(1, Relaxed);
        }
    }

    /// Tells what a machine of a worker found. Never waits.
    pub(crate) fn tell_finding(&self, finding: Finding) {
        if self.listens
            && self
                .queue
                .try_send(Work::Finding(Box::new(finding)))
                .is_err()
        {
            self.counters.lost.fetch_add(1, Relaxed);
        }
    }

    /// Tells of a registration that an earlier process saw, while the judge does not run yet.
    pub(crate) fn note_place(&self, address: IpAddr, user: &str, realm: &str) {
        let account = Name::of_account(self.key, user.as_bytes(), realm);
        // What finds no room is own again with its next refresh.
        let _ = self.queue.try_send(Work::Place(address, account));
    }

    /// Tells or asks something that must not be lost. Waits for room: not for workers.
    pub(crate) fn send(&self, work: Work) -> bool {
        self.queue.send(work).is_ok()
    }

    /// Asks, from an async runtime.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let (judge, work) = (self.clone(), Work::Ask(question(answer)));
        let sent = tokio::task::spawn_blocking(move || judge.send(work)).await;
        if !sent.unwrap_or(false) {
            return None;
        }
        tokio::time::timeout(ANSWER_TIMEOUT, answered)
            .await
            .ok()?
            .ok()
    }

    /// What workers check sources against.
    pub(crate) fn shield(&self) -> &Arc<ArcSwap<Shield>> {
        &self.shield
    }

    /// The key that names are hashed under.
    pub(crate) fn key(&self) -> HashKey {
        self.key
    }

    /// What is counted.
    pub(crate) fn counters(&self) -> &Arc<JudgeCounters> {
        &self.counters
    }
}

/// How long an answer may take: an event takes microseconds, and the queue is bounded.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the judge's ends; [`Docket::start`] runs it. Without `listens` it is told nothing, and has
/// nothing to say.
pub(crate) fn open(key: HashKey, listens: bool) -> (JudgeSender, Docket) {
    let (queue, work) = sync_channel(WAITING_MAX);
    let sender = JudgeSender {
        queue,
        counters: Arc::default(),
        shield: Arc::new(ArcSwap::from_pointee(Shield::open(key))),
        key,
        listens,
    };
    let docket = Docket {
        work,
        ends: sender.clone(),
    };
    (sender, docket)
}

/// What waits for a judge that does not run yet.
pub(crate) struct Docket {
    work: Receiver<Work>,
    ends: JudgeSender,
}

impl Docket {
    /// Starts the thread. It ends when it is told [`Work::Stop`].
    pub(crate) fn start(
        self,
        clock: Clock,
        modes: Modes,
        records: RecordSender,
        firewall: Option<Firewall>,
        ledger: Option<Ledger>,
    ) -> io::Result<JoinHandle<()>> {
        if let Some(ledger) = &ledger {
            let _ = self.ends.counters.ledger.set(Arc::clone(ledger.counters()));
        }
        let mut judge = Judge {
            anchor: clock.anchor(),
            watch: Watch::new(self.ends.key, Limits::default(), modes),
            silence: Silence::new(self.ends.key),
            plan: Arc::default(),
            changed: false,
            log: Throttle::new(LOG_LINES, Duration::from_secs(1)),
            ends: self.ends,
            clock,
            records,
            firewall,
            ledger,
        };
        std::thread::Builder::new()
            .name("rf-judge".to_owned())
            .spawn(move || {
                judge.run(&self.work);
                if let Some(ledger) = judge.ledger.take() {
                    ledger.finish();
                }
            })
    }
}

struct Judge {
    clock: Clock,
    anchor: WallAnchor,
    watch: Watch,
    /// How calls usually come in.
    silence: Silence,
    plan: Arc<Plan>,
    ends: JudgeSender,
    records: RecordSender,
    /// The host's, where it can be used.
    firewall: Option<Firewall>,
    /// Keeps events, where they are kept.
    ledger: Option<Ledger>,
    /// What is in force, or who is own, has changed since it was published.
    changed: bool,
    log: Throttle,
}

impl Judge {
    fn run(&mut self, work: &Receiver<Work>) {
        let mut housekeeping = Instant::ZERO;
        loop {
            let now = self.clock.now();
            let due = self.watch.poll_timeout();
            let wait = due.map_or(IDLE, |at| at.saturating_since(now).min(IDLE));
            let mut taken = 0;
            match work.recv_timeout(wait) {
                Ok(first) => {
                    let now = self.clock.now();
                    let more = std::iter::from_fn(|| work.try_recv().ok()).take(BATCH);
                    for work in std::iter::once(first).chain(more) {
                        taken += 1;
                        if !self.take(now, work) {
                            return;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = self.clock.now();
            if self.watch.poll_timeout().is_some_and(|at| at <= now) {
                self.watch.handle_timeout(now);
            }
            self.say(now);
            if self.changed {
                self.publish(now);
            }
            if let Some(ledger) = &mut self.ledger {
                ledger.handle_timeout(now);
            }
            if now >= housekeeping {
                housekeeping = now + Duration::from_secs(5);
                self.keep_house(now);
            }
            if (1..BATCH).contains(&taken) {
                #[allow(
                    clippy::disallowed_methods,
                    reason = "work gathers, nothing is waited for"
                )]
                std::thread::sleep(REST);
            }
        }
    }

    /// Whether to go on.
    fn take(&mut self, now: Instant, work: Work) -> bool {
        match work {
            Work::Event(event) => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.event(now, self.anchor.unix_time(event.at), &event);
                }
                self.watch.handle_event(now, &event);
                self.hear(now, &event);
            }
            Work::Finding(finding) => self.watch.note_finding(now, &finding),
            Work::Plan(plan, modes, scenarios) => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.plan(&plan);
                }
                self.watch.set_peers(now, networks(&plan));
                self.watch.set_scenarios(scenarios);
                self.watch.set_accounts(accounts(&plan, self.ends.key));
                self.watch.set_modes(modes);
                self.move_habits(&plan);
                self.plan = plan;
                self.changed = true;
            }
            Work::Habits(site, habits) => {
                if let Err(error) = self.silence.restore(site, &habits) {
                    tracing::warn!(%error, "how many calls come in is learned anew");
                }
            }
            Work::Lists(lists) => self.watch.set_lists(&lists),
            Work::Place(address, account) => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.place(now, self.anchor.unix_time(now), address, account);
                }
                self.watch.restore_place(now, address, account);
                self.changed = true;
            }
            Work::Ask(question) => self.answer(now, question),
            Work::Stop => return false,
        }
        true
    }

    /// Another plan may have its sites in other places.
    fn move_habits(&mut self, plan: &Plan) {
        let before = &self.plan.sites;
        let same = before.iter().zip(&plan.sites).all(|(a, b)| a.key == b.key);
        if same {
            return;
        }
        let mut silence = Silence::new(self.ends.key);
        for (site, habits) in self.silence.habits() {
            let key = before.get(usize::from(site.raw())).map(|site| &site.key);
            let place = plan.sites.iter().position(|site| Some(&site.key) == key);
            if let Some(place) = place {
                // What it has just said itself.
                let _ = silence.restore(SiteRef::new(place as u16), &habits);
            }
        }
        self.silence = silence;
    }

    /// Calls that come in and go out, for how they usually do.
    fn hear(&mut self, now: Instant, event: &Event) {
        let What::Call {
            site,
            step: CallStep::Offered { direction, .. },
            ..
        } = event.what
        else {
            return;
        };
        let at = self.anchor.unix_time(event.at);
        let found = match direction {
            Direction::Inbound => self.silence.on_inbound(now, at, site),
            Direction::Outbound => {
                self.silence.on_outbound(at, site);
                None
            }
            Direction::Internal => None,
        };
        if let Some(finding) = found {
            self.watch.note_finding(now, &finding);
        }
    }

    /// Whoever asked and no longer waits is no error.
    fn answer(&mut self, now: Instant, question: Question) {
        let words = words::Words {
            plan: &self.plan,
            anchor: self.anchor,
        };
        match question {
            Question::Incidents(answer) => {
                let open = self.watch.incidents(now);
                let told = open.iter().map(|incident| words.incident(now, incident));
                let _ = answer.send(told.collect());
            }
            Question::Blocks(answer) => {
                let all = self.watch.in_force().iter();
                let firewall = self.firewall.as_ref();
                let told = all.map(|decision| words.standing(now, decision, firewall));
                let _ = answer.send(told.collect());
            }
            Question::Scenarios(change, answer) => {
                let known =
                    change.is_none_or(|(name, mode)| self.watch.set_scenario_mode(&name, mode));
                let all = self.watch.scenarios().iter();
                let told = all.map(|(scenario, mode, tally)| ScenarioView {
                    name: scenario.name.clone(),
                    says: scenario.says.clone(),
                    finds: scenario.kind.as_str().to_owned(),
                    technique: scenario.kind.technique().to_owned(),
                    mode: mode.as_str().to_owned(),
                    matched: tally.matched,
                    found: tally.found,
                });
                let _ = answer.send(known.then(|| told.collect()));
            }
            Question::Explain(address, answer) => {
                let _ = answer.send(words.explain(now, &self.watch, address));
            }
            Question::Lift(whose, answer) => {
                let lifted = match whose {
                    Lifting::All => self.watch.lift_all(),
                    Lifting::Address(address) => self.watch.lift_address(address),
                    Lifting::Account(account) => self.watch.lift_account(&account),
                };
                // Before the answer: whoever was told that it is lifted can rely on it.
                self.say(now);
                self.publish(now);
                if let Some(firewall) = &self.firewall {
                    firewall.settle();
                }
                let _ = answer.send(lifted as u64);
            }
        }
    }

    /// What the judge said goes to the records and the log.
    fn say(&mut self, now: Instant) {
        while let Some(verdict) = self.watch.poll_verdict() {
            let words = words::Words {
                plan: &self.plan,
                anchor: self.anchor,
            };
            let judgement = match &verdict {
                Verdict::Incident(incident) => words.incident(now, incident),
                Verdict::Decided { incident, decision } => {
                    self.changed = true;
                    words.decision(now, *incident, decision)
                }
                Verdict::Refused {
                    incident,
                    proposal,
                    why,
                } => words.refused(now, *incident, proposal, *why),
                Verdict::Lifted(decision) => {
                    self.changed = true;
                    words.lifted(now, decision)
                }
            };
            if matches!(verdict, Verdict::Incident(_) | Verdict::Decided { .. })
                && let Some(suppressed) = self.log.pass(now)
            {
                tracing::warn!(
                    what = judgement.what,
                    kind = judgement.kind,
                    incident = judgement.incident,
                    suppressed,
                    "{}",
                    judgement.why
                );
            }
            self.records.judged(judgement);
        }
    }

    fn publish(&mut self, now: Instant) {
        self.changed = false;
        let never = self.watch.never_ban(now);
        if let Some(firewall) = &self.firewall {
            firewall.set(shield::for_firewall(now, self.watch.in_force(), &never));
        }
        let shield = Shield::new(self.ends.key, self.watch.in_force(), never);
        self.ends.shield.store(Arc::new(shield));
    }

    fn keep_house(&mut self, now: Instant) {
        for finding in self.silence.look(now, self.anchor.unix_time(now)) {
            self.watch.note_finding(now, &finding);
        }
        if self.records.has_room() {
            for (site, habits) in self.silence.take_changed() {
                if let Some(site) = self.plan.sites.get(usize::from(site.raw())) {
                    self.records.habits(site.key.clone(), SILENCE, habits);
                }
            }
        }
        if anchor_is_off(&self.clock, &self.anchor) {
            self.anchor = self.clock.anchor();
        }
        let counters = &self.ends.counters;
        counters.told.store(Arc::new(self.watch.counters()));
        counters.memory.store(self.watch.memory() as u64, Relaxed);
    }
}

/// The addresses of a plan's trunks and PBXs.
/// All accounts of phones.
fn accounts(plan: &Plan, key: HashKey) -> Option<impl Iterator<Item = Name>> {
    let names = plan.phone_accounts()?;
    Some(names.map(move |name| Name::new(key, name.as_bytes())))
}

fn networks(plan: &Plan) -> Vec<(Network, PeerRef)> {
    let mut networks = Vec::new();
    for (index, peer) in plan.peers.iter().enumerate() {
        if peer.kind == PeerKind::Phones {
            continue;
        }
        let id = PeerRef::new(index as u16);
        let hosts = peer
            .addresses
            .iter()
            .map(|address| Network::host(address.ip()));
        let blocks = peer.accept.iter().map(|network| {
            let (address, prefix) = network.parts();
            Network::new(address, prefix)
        });
        networks.extend(hosts.chain(blocks).map(|network| (network, id)));
    }
    networks
}
