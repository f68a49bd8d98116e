//! One worker: a thread with its own sockets, connections, media ports and core, and one loop.
//!
//! A turn takes what epoll reports, hands it to the core, runs the timers that are due, and sends
//! what the core has to send. Nothing in it waits but epoll itself, and no lock is taken.

pub(crate) mod bind;
pub(crate) mod mailbox;
pub(crate) mod media;
mod pace;
pub(crate) mod signalling;
pub mod snapshot;

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::text::Escaped;
use ringfence_base::time::WallAnchor;
use ringfence_base::{HashKey, Instant, ListenerId, Transport, WorkerIndex};
use ringfence_detect::event::{self, Principal, Proof, What};
use ringfence_detect::probes::Probes;
use ringfence_session::cdr::Outcome;
use ringfence_session::core::{Core, Input};
use ringfence_session::event::Event;
use ringfence_session::plan::PeerKind;
use ringfence_session::provider;
use ringfence_session::refusal::RefusalReason;
use ringfence_session::sighting::Measures;
use ringfence_sip::Index;

use crate::clock::{Clock, anchor_is_off};
use crate::entropy::SystemEntropy;
use crate::epoll::{Poller, Ready, Waker};
use crate::judge::JudgeSender;
use crate::judge::shield::Gate;
use crate::kernel::KernelRelay;
use crate::records::RecordSender;
use crate::ring::{RingReceiver, RingSender, ring};
use crate::signers::{Asked, Fetched};
use crate::stream::Streams;
use crate::tap::{Tap, TapSender};
use crate::throttle::Throttle;
use crate::token::Token;
use bind::WorkerSockets;
use mailbox::{Command, Handover, Notice, Reload};
use media::MediaSockets;
use pace::Pace;
use signalling::{Inbound, Router, UdpSignalling, pump, receive_handover};
use snapshot::{WorkerCounters, WorkerSnapshot};

/// Messages that may wait for a worker from all others together.
const HANDOVERS_MAX: usize = 8_192;
/// Commands that may wait for a worker.
const COMMANDS_MAX: usize = 64;
/// Hand-overs taken in one turn, so that sockets are not starved.
const HANDOVERS_PER_TURN: usize = 256;
/// Calls marked as open in the database, a second: those of a business are, those of a flood need
/// not be.
const MARKS_PER_SECOND: u32 = 20;
/// How often the wall clock is compared.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Bytes of a panicked call's last messages that are logged.
const DUMP_MAX: usize = 8 * 1024;

/// A worker's ends for others, made before any worker runs.
pub(crate) struct Station {
    poller: Poller,
    waker: Waker,
    handovers: RingReceiver<Handover>,
    commands: RingReceiver<Command>,
    pub(crate) to_handovers: RingSender<Handover>,
    pub(crate) to_commands: RingSender<Command>,
}

impl Station {
    pub(crate) fn new() -> io::Result<Station> {
        let poller = Poller::new()?;
        let waker = Waker::new(&poller, Token::Wake.encode())?;
        let (to_handovers, handovers) = ring(HANDOVERS_MAX, waker.clone());
        let (to_commands, commands) = ring(COMMANDS_MAX, waker.clone());
        Ok(Station {
            poller,
            waker,
            handovers,
            commands,
            to_handovers,
            to_commands,
        })
    }
}

/// What a worker is told once.
pub(crate) struct WorkerSetup {
    pub(crate) index: WorkerIndex,
    pub(crate) station: Station,
    pub(crate) sockets: WorkerSockets,
    /// Relays established media, if the host allows it.
    pub(crate) kernel: Option<KernelRelay>,
    pub(crate) core: Core,
    pub(crate) router: Router,
    pub(crate) clock: Clock,
    pub(crate) anchor: WallAnchor,
    pub(crate) shared: Reload,
    pub(crate) records: RecordSender,
    pub(crate) notices: tokio::sync::mpsc::Sender<Notice>,
    /// Where copies of messages go, if anybody watches.
    pub(crate) tap: Option<TapSender>,
    /// Who is told what was seen.
    pub(crate) judge: JudgeSender,
    /// Who fetches certificates.
    pub(crate) signers: tokio::sync::mpsc::Sender<Asked>,
}

/// One worker. Made on the thread that starts it, run on its own.
pub(crate) struct Worker {
    index: WorkerIndex,
    clock: Clock,
    anchor: WallAnchor,
    poller: Poller,
    waker: Waker,
    handovers: RingReceiver<Handover>,
    commands: RingReceiver<Command>,
    core: Core,
    router: Router,
    tap: Tap,
    gate: Gate,
    judge: JudgeSender,
    measures: Arc<Measures>,
    udp: UdpSignalling,
    media: MediaSockets,
    streams: Streams,
    records: RecordSender,
    notices: tokio::sync::mpsc::Sender<Notice>,
    signers: tokio::sync::mpsc::Sender<Asked>,
    counters: WorkerCounters,
    handover_index: Index,
    probes: Probes,
    refusal_log: Throttle,
    panic_log: Throttle,
    start_marks: Throttle,
    answer_marks: Throttle,
    next_housekeeping: Instant,
    pace: Pace,
    draining: bool,
    told_idle: bool,
    listeners: usize,
}

impl Worker {
    pub(crate) fn new(setup: WorkerSetup) -> io::Result<Worker> {
        let WorkerSetup {
            index,
            station,
            sockets,
            kernel,
            mut core,
            router,
            clock,
            anchor,
            ..
        } = setup;
        let poller = station.poller;
        let udp = UdpSignalling::new(sockets.udp, &poller)?;
        let media = MediaSockets::new(sockets.media, core.media_mut(), &poller)?;
        if let Some(kernel) = kernel {
            core.media_mut().set_fast_path(Box::new(kernel));
        }
        let key = HashKey::generate(&mut SystemEntropy::new());
        let Reload { plan, sources, tls } = setup.shared;
        if setup.judge.listens() {
            core.watch(setup.judge.key());
        }
        let shield = Arc::clone(setup.judge.shield());
        let mut gate = Gate::new(key, shield, Arc::clone(&sources));
        let mut streams = Streams::new(index, key, sources, tls);
        for (listener, transport, socket) in sockets.stream {
            streams.listen(&poller, listener, transport, socket)?;
        }
        Ok(Worker {
            index,
            clock,
            anchor,
            poller,
            waker: station.waker,
            handovers: station.handovers,
            commands: station.commands,
            core,
            router,
            tap: Tap::new(setup.tap, anchor, &plan),
            measures: Arc::clone(gate.measures()),
            gate,
            judge: setup.judge,
            udp,
            media,
            streams,
            records: setup.records,
            notices: setup.notices,
            signers: setup.signers,
            counters: WorkerCounters::default(),
            handover_index: Index::default(),
            probes: Probes::new(key),
            refusal_log: Throttle::new(5, Duration::from_secs(1)),
            panic_log: Throttle::new(5, Duration::from_secs(1)),
            start_marks: Throttle::new(MARKS_PER_SECOND, Duration::from_secs(1)),
            answer_marks: Throttle::new(MARKS_PER_SECOND, Duration::from_secs(1)),
            next_housekeeping: Instant::ZERO,
            pace: Pace::new(),
            draining: false,
            told_idle: false,
            listeners: plan.listeners.len(),
        })
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        loop {
            // The core catches what happens inside a call. This boundary is the last resort for
            // everything else: one broken turn must not end the other calls of this worker.
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(_) => {
                    self.counters.panics += 1;
                    if let Some(suppressed) = self.panic_log.pass(self.clock.now()) {
                        tracing::error!(worker = self.index.raw(), suppressed, "a turn panicked");
                    }
                }
            }
        }
        self.finish();
        let _ = self.notices.try_send(Notice::Stopped(self.index.raw()));
    }

    fn turn(&mut self) -> ControlFlow<()> {
        let ready = self.wait();
        let now = self.clock.now();
        self.counters.turns += 1;
        for place in 0..ready {
            let ready = self.poller.ready(place);
            match Token::decode(ready.token) {
                Some(Token::Media(index)) => {
                    let plane = self.core.media_mut();
                    self.media
                        .relay(now, plane, index, &mut self.counters, &self.tap);
                }
                Some(Token::Wake) => self.waker.clear(),
                Some(token) => self.on_signalling(now, token, ready),
                None => {}
            }
        }
        let flow = if self.waker.take() {
            self.on_wake(now)
        } else {
            ControlFlow::Continue(())
        };
        if self.core.media().has_heard() {
            self.core.take_pressed(now);
        }
        while let Some(stray) = self.core.media_mut().take_stray() {
            let port = stray.socket.index() as u32;
            let source = stray.from.ip();
            if let Some(finding) = self.probes.note(now, source, port, stray.is_probe) {
                self.judge.tell_finding(finding);
            }
        }
        if self.core.poll_timeout().is_some_and(|at| at <= now) {
            self.core.handle_timeout(now);
        }
        if self.core.media().voice_due().is_some_and(|at| at <= now) {
            let (plane, counters) = (self.core.media_mut(), &mut self.counters);
            self.media.speak(now, plane, counters, &self.tap);
        }
        self.ask_for_certificates(now);
        self.send_all(now);
        self.take_events(now);
        self.take_sightings(now);
        if now >= self.next_housekeeping {
            self.keep_house(now);
        }
        self.tell_when_idle();
        let counters = &self.counters;
        let handed_in = counters.taken_over + self.streams.messages();
        let messages = counters.datagrams_received + handed_in;
        self.pace.note(now, messages, counters.media_received);
        flow
    }

    /// Waits for something to do; how many are ready.
    fn wait(&mut self) -> usize {
        if let Some(rest) = self.pace.rest() {
            #[allow(clippy::disallowed_methods)] // gathers work; see `pace`
            std::thread::sleep(rest);
        }
        let timeout = if self.waker.doze() {
            self.timeout()
        } else {
            Some(Duration::ZERO)
        };
        // Fails only for a descriptor that is no epoll: then timers still run.
        let ready = self.poller.wait(timeout).unwrap_or_default();
        self.waker.rouse();
        ready
    }

    fn on_signalling(&mut self, now: Instant, token: Token, ready: Ready) {
        let (inbound, udp, streams, poller) = self.split(now);
        let mut inbound = inbound;
        match token {
            Token::Udp(place) => udp.receive(place, &mut inbound),
            Token::Accept(index) => streams.on_acceptable(now, poller, index),
            Token::Connection { slot, generation } => {
                streams.on_ready(now, poller, (slot, generation), ready, &mut inbound);
            }
            Token::Media(_) | Token::Wake => {}
        }
    }

    /// Takes what other threads have left. What is too much for one turn wakes the next.
    fn on_wake(&mut self, now: Instant) -> ControlFlow<()> {
        for taken in 0..=HANDOVERS_PER_TURN {
            if taken == HANDOVERS_PER_TURN {
                self.waker.wake();
                break;
            }
            let Ok(handover) = self.handovers.try_recv() else {
                break;
            };
            self.counters.taken_over += 1;
            let (core, router, counters) = (&mut self.core, &self.router, &mut self.counters);
            let mut inbound = Inbound {
                now,
                core,
                router,
                counters,
                tap: &self.tap,
                gate: &mut self.gate,
            };
            let index = &mut self.handover_index;
            receive_handover(
                handover,
                index,
                &mut self.streams,
                &self.poller,
                &mut inbound,
            );
        }
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Stop = command {
                return ControlFlow::Break(());
            }
            self.on_command(now, command);
        }
        ControlFlow::Continue(())
    }

    /// Answers go to whoever asked; one who no longer waits is no error.
    fn on_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Calls(answer) => drop(answer.send(self.core.calls())),
            Command::Capture(capture, answer) => {
                self.tap.attach(capture);
                self.tap.show_media(self.core.media_mut());
                let _ = answer.send(());
            }
            Command::Certificate { url, fetched } => self.on_certificate(now, &url, fetched),
            Command::Drain => {
                self.draining = true;
                self.core.handle_input(now, Input::Drain);
            }
            Command::HangUp(id, answer) => {
                let found = self.core.calls().iter().any(|call| call.id == id);
                self.core.handle_input(now, Input::HangUp(id));
                let _ = answer.send(found);
            }
            Command::Reload(reload) => {
                self.core.handle_input(now, Input::Plan(&reload.plan));
                self.gate.set_sources(Arc::clone(&reload.sources));
                self.streams.reload(reload.sources, reload.tls);
            }
            Command::Snapshot(answer) => drop(answer.send(Box::new(self.snapshot(now)))),
            Command::Stop => {}
            Command::Trace(id, answer) => drop(answer.send(self.core.ladder(id))),
        }
    }

    fn on_certificate(&mut self, now: Instant, url: &str, fetched: Option<Arc<Fetched>>) {
        let input = Input::Certificate {
            url,
            bytes: fetched.as_ref().map(|fetched| &fetched.bytes[..]),
            holds: fetched.as_ref().map_or(Duration::ZERO, |it| it.holds),
        };
        self.core.handle_input(now, input);
    }

    /// Has the certificates fetched that calls wait for.
    fn ask_for_certificates(&mut self, now: Instant) {
        while let Some(url) = self.core.poll_fetch() {
            let worker = self.index;
            if let Err(error) = self.signers.try_send(Asked { worker, url }) {
                self.on_certificate(now, &error.into_inner().url, None);
            }
        }
    }

    /// Sends until nobody has anything to send: a connection that fails while it is written makes
    /// the core speak again.
    fn send_all(&mut self, now: Instant) {
        loop {
            let (mut inbound, udp, streams, poller) = self.split(now);
            let any = pump(udp, streams, poller, &mut inbound);
            streams.finish_turn(now, poller, &mut inbound);
            if !any {
                return;
            }
        }
    }

    /// What was seen goes to the judge, and what he limits to the core.
    fn take_sightings(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_sighting() {
            self.judge.tell(event);
        }
        while let Some(flow) = self.streams.poll_wordless() {
            self.judge.tell(event::Event {
                at: now,
                source: event::Source::of(&flow, Proof::None, Principal::Stranger),
                what: What::StreamWithoutMessage,
            });
        }
        let measures = self.gate.measures();
        if !Arc::ptr_eq(measures, &self.measures) {
            self.measures = Arc::clone(measures);
            self.core.set_measures(Arc::clone(measures));
        }
        self.counters.dropped_by_judge = self.gate.dropped;
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::CallEnded(cdr) => {
                    tracing::debug!(call = %cdr.id, site = cdr.site, outcome = cdr.outcome.as_str(),
                        status = cdr.status, "call ended");
                    self.counters.calls_failed += u64::from(cdr.outcome == Outcome::Failed);
                    if !self.records.ended(cdr) {
                        self.counters.records_lost += 1;
                    }
                }
                Event::CallStarted { id } => {
                    tracing::debug!(call = %id, "call started");
                    if self.start_marks.pass(now).is_some()
                        && let Some(call) = self.core.call_view(id)
                    {
                        self.records.started(call);
                    }
                }
                Event::CallAnswered { id } => {
                    tracing::debug!(call = %id, "call answered");
                    if self.answer_marks.pass(now).is_some() {
                        self.records.answered(id, self.anchor.unix_time(now));
                    }
                }
                Event::CallPanicked { id, dump } => {
                    let dump = dump.get(..DUMP_MAX).unwrap_or(&dump);
                    tracing::error!(call = %id, last_messages = %Escaped(dump),
                        "a call's machine panicked; the call was ended");
                }
                Event::EmergencyNeedsLine { id } => {
                    tracing::warn!(call = %id, "ended so that an emergency call gets through");
                    if id.worker() == self.index {
                        self.core.handle_input(now, Input::MakeWay(id));
                    } else {
                        let handover = Handover::MakeWay(id);
                        self.router.push(id.worker(), handover, &mut self.counters);
                    }
                }
                Event::LinesUnderAttack {
                    site,
                    finding,
                    enforced,
                } => {
                    // The judge's record of an incident is in the log too.
                    if !self.judge.listens() {
                        let what = finding.explain_as(&format!("site.{site}"));
                        tracing::warn!(enforced, "{what}");
                    }
                    self.judge.tell_finding(*finding);
                }
                Event::LineQuarantined {
                    kind,
                    key,
                    fault,
                    failures,
                } => {
                    let line = line_name(kind, &key);
                    tracing::warn!(line, %fault, failures,
                        "a line comes last for new calls until it has proved itself");
                    if kind == PeerKind::Trunk {
                        let found =
                            provider::trouble(self.core.plan(), now, &key, (fault, failures));
                        found
                            .into_iter()
                            .for_each(|found| self.judge.tell_finding(found));
                    }
                }
                Event::LineReturned { kind, key } => {
                    let line = line_name(kind, &key);
                    tracing::info!(
                        line,
                        "a quarantined line has proved itself and is in use again"
                    );
                    if kind == PeerKind::Trunk {
                        let found = provider::relief(self.core.plan(), now, &key);
                        found
                            .into_iter()
                            .for_each(|found| self.judge.tell_finding(found));
                    }
                }
                Event::SrtpRefused { id, kind, key } => {
                    let line = line_name(kind, &key);
                    tracing::warn!(call = %id, line,
                        "the line refused SRTP and is called with plain RTP");
                }
                Event::Registered {
                    group,
                    user,
                    bindings,
                } => self.records.registered(group, user, bindings),
                Event::SpendingStopped {
                    call,
                    tenant,
                    subject,
                    verdict,
                } => {
                    if let Some(finding) = verdict.finding(subject, now) {
                        self.judge.tell_finding(finding);
                    }
                    if let Some(suppressed) = self.refusal_log.pass(now) {
                        tracing::warn!(%call, tenant, decision = verdict.decision.as_str(),
                            enforced = verdict.enforced, why = verdict.sentence, suppressed,
                            "a call was not simply let out");
                    }
                }
                Event::TrunkSounds { trunk, finding } => {
                    tracing::warn!(
                        trunk,
                        why = finding.explain(),
                        "how its calls sound has changed"
                    );
                    self.judge.tell_finding(*finding);
                }
                Event::MediaAttacked { call, finding } => {
                    if let Some(suppressed) = self.refusal_log.pass(now) {
                        tracing::warn!(%call, packets = finding.count, suppressed,
                            "somebody meddles with the sound of a call");
                    }
                    self.judge.tell_finding(*finding);
                }
                Event::SpendingCut { call, finding } => {
                    tracing::warn!(%call, "ended: a limit of its tenant is reached");
                    self.judge.tell_finding(*finding);
                }
                Event::Refused { flow, reason } => self.log_refusal(now, flow.remote, reason),
            }
        }
    }

    fn log_refusal(&mut self, now: Instant, remote: std::net::SocketAddr, reason: RefusalReason) {
        if let Some(suppressed) = self.refusal_log.pass(now) {
            tracing::info!(%remote, reason = reason.as_str(), suppressed, "message refused");
        }
    }

    fn keep_house(&mut self, now: Instant) {
        self.next_housekeeping = now + HOUSEKEEPING;
        if self.tap.is_capturing() {
            self.tap.sweep();
            self.tap.show_media(self.core.media_mut());
        }
        if anchor_is_off(&self.clock, &self.anchor) {
            tracing::warn!(worker = self.index.raw(), "the host's clock was set");
            self.anchor = self.clock.anchor();
            self.tap.set_anchor(self.anchor);
            self.core.handle_input(now, Input::Anchor(self.anchor));
        }
    }

    fn tell_when_idle(&mut self) {
        if self.draining && !self.told_idle && self.core.is_idle() {
            self.told_idle = self
                .notices
                .try_send(Notice::Idle(self.index.raw()))
                .is_ok();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let voice = self.core.media().voice_due();
        let next = [self.core.poll_timeout(), self.streams.poll_timeout(), voice];
        let next = next
            .into_iter()
            .flatten()
            .fold(self.next_housekeeping, Instant::min);
        Some(next.saturating_since(self.clock.now()))
    }

    /// The last words: what is queued goes out, connections are closed properly.
    fn finish(&mut self) {
        let now = self.clock.now();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.send_all(now);
            self.take_events(now);
            let (mut inbound, _, streams, _) = self.split(now);
            streams.close_all(&mut inbound);
        }));
    }

    fn snapshot(&self, now: Instant) -> WorkerSnapshot {
        let transactions = self.core.transactions();
        let plane = self.core.media();
        let pairs = (0..self.listeners as u8).map(ListenerId::new);
        WorkerSnapshot {
            worker: self.index,
            at: self.anchor.unix_time(now),
            loop_counters: self.counters.clone(),
            calls: self.core.counters().clone(),
            transactions: transactions.counters(),
            transactions_held: (transactions.client_count(), transactions.server_count()),
            media: *plane.counters(),
            media_streams: plane.streams_open(),
            media_pairs: pairs
                .map(|id| (self.media.pairs(id), plane.ports_free(id)))
                .collect(),
            streams: self.streams.counters(),
            kernel_drops: (self.udp.kernel_drops(), self.media.kernel_drops()),
            draining: self.draining,
        }
    }

    /// The parts that a message passes through, borrowed side by side.
    fn split(&mut self, now: Instant) -> (Inbound<'_>, &mut UdpSignalling, &mut Streams, &Poller) {
        let (core, router, counters) = (&mut self.core, &self.router, &mut self.counters);
        let inbound = Inbound {
            now,
            core,
            router,
            counters,
            tap: &self.tap,
            gate: &mut self.gate,
        };
        (inbound, &mut self.udp, &mut self.streams, &self.poller)
    }
}

/// What is spoken over TCP.
pub(crate) const STREAM_TRANSPORTS: [Transport; 4] = [
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];

/// `trunk.carrier-a`, as the configuration names it.
fn line_name(kind: PeerKind, key: &str) -> String {
    match kind {
        PeerKind::Pbx => format!("pbx.{key}"),
        PeerKind::Phones => format!("phones.{key}"),
        PeerKind::Trunk => format!("trunk.{key}"),
    }
}
