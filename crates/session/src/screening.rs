//! Screening by voice: a stranger who calls while an attack fills a site's lines is answered by the
//! edge, told a digit, and put through when he presses it. Where others pressed wrong ones, somebody
//! guesses: then more digits are asked for, until the attack is over.
//!
//! The caller's INVITE gets its 200 at once, with G.711 and telephone events; the callee is called
//! when the digits were right, and offered just that. Until it answers, the caller hears it ring, from here:
//! a call that is answered has no ringing of the network. If the callee agrees to what the caller
//! has, nothing more is said to the caller; else a re-INVITE tells it.
//!
//! Whoever calls out where calls are stopped is asked likewise, for the PIN: see `pin_question`.
//!
//! Nobody is kept: who presses nothing in time, or wrong digits twice, hears that his number is
//! noted for a call back, and the record says so. Who cannot be answered with G.711 is refused with
//! 486. Known callers and emergency calls never come here: `detect` decides who does.

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{Entropy, Instant};
use ringfence_detect::event::CallRef;
use ringfence_detect::tdos::Gate;
use ringfence_detect::tdos::offer::Challenge;
use ringfence_dialog::Owner;
use ringfence_media::StreamId;
use ringfence_media::voice::{Language, Part, Prompts, Sound, ringback};
use ringfence_sip::{Index, Message};

use crate::body;
use crate::call::{CallKey, Phase, Side, Stage};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::incoming::Reply;
use crate::line_guard::Lines;
use crate::negotiation::AnsweredHere;
use crate::pin_question::PinQuestion;
use crate::refusal::RefusalReason;
use crate::setup::Attempt;
use crate::supervise::AlarmKind;
use crate::transfer::{Step as TransferStep, Transfer};

/// Digits that are asked for unless a site says otherwise.
pub const DIGITS: u8 = 1;
/// Most digits that are asked for.
pub const DIGITS_MAX: usize = 4;
/// How often a caller may press the wrong digits.
const TRIES: u8 = 2;
/// So many wrong answers in one attack are more than slips: one digit more is asked for.
const GUESSES: u32 = 4;
/// How often a call that is asked is looked after.
const TICK: Duration = Duration::from_millis(250);
/// Before the first word, while the way for sound settles.
const BREATH: Duration = Duration::from_millis(120);
/// Between digits, and before they are said again.
const GAP: Duration = Duration::from_millis(60);
const AGAIN: Duration = Duration::from_millis(1_300);
/// The SIP status in the record of a call that was not put through.
const NOT_PUT_THROUGH: u16 = 603;

/// What the record of a call says whose caller is to be called back.
pub const NOTED: &str = "its number is noted for a call back";

/// How a site asks strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoicePolicy {
    /// What is said.
    pub prompts: Prompts,
    /// What the callee's ringing sounds like.
    pub ringback: Sound,
    /// How many digits are asked for while nobody guesses, 1 to [`DIGITS_MAX`].
    pub digits: u8,
    /// How long it may take, from the answer on.
    pub time: Duration,
}

impl VoicePolicy {
    /// What a site in a country does if nothing else is said: the shipped prompts, one digit. While
    /// lines are full, each further one costs every caller half a second of them.
    pub fn of_country(country: &str) -> VoicePolicy {
        VoicePolicy {
            prompts: Prompts::shipped(Language::of_country(country)),
            ringback: ringback(country),
            digits: DIGITS,
            time: ringfence_detect::tdos::gate::CHALLENGE,
        }
    }

    /// From the answer until the last digit was heard for the first time, on average of all digits.
    pub fn heard_after(&self, kindly: bool) -> Duration {
        let of_digits: usize = (0..10).map(|digit| self.prompts.digit(digit).len()).sum();
        let said = BREATH + length_of(self.prompts.sound(question_name(kindly)).len());
        (0..self.digits).fold(said, |said, _| said + GAP + length_of(of_digits) / 10)
    }
}

/// How long a sound lasts: 8,000 bytes are a second.
fn length_of(bytes: usize) -> Duration {
    Duration::from_micros(125 * bytes as u64)
}

const fn question_name(kindly: bool) -> &'static str {
    if kindly { "ask-kindly" } else { "ask" }
}

/// A caller whom the edge has answered.
pub(crate) struct Screening {
    pub(crate) stream: StreamId,
    step: Step,
    /// What the caller is to press.
    code: Vec<u8>,
    pressed: Vec<char>,
    tries: u8,
    /// The ACK to our 200 has come.
    heard: bool,
    /// The caller has said BYE.
    gone: bool,
    /// What the caller was answered.
    told: Vec<u8>,
    /// What the callee is offered.
    offer: Vec<u8>,
    /// The callee's answer for the caller, which was not sent.
    answer: Option<Vec<u8>>,
    voice: Arc<VoicePolicy>,
    /// It is the PIN that is asked for.
    pub(crate) pin: Option<Box<PinQuestion>>,
}

/// What a caller is asked.
pub(crate) enum Question {
    /// A stranger: digits that are told.
    Digits {
        /// Most who call are people.
        kindly: bool,
    },
    /// Who calls where calls are stopped: the PIN.
    Pin(PinQuestion),
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The caller is asked.
    Asking,
    /// The callee is called.
    Calling,
    /// The caller hears why it is not put through, until then.
    Leaving(Instant),
    /// The digits were right; the ACK to our 200 is awaited.
    Passed,
}

impl std::fmt::Debug for Screening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is to be pressed, and what was, is nobody's business.
        f.debug_struct("Screening")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl Screening {
    /// The digits, said.
    fn digits(&self) -> impl Iterator<Item = Part> + '_ {
        self.code.iter().flat_map(|digit| {
            [
                Part::Sound(self.voice.prompts.digit(*digit)),
                Part::Pause(GAP),
            ]
        })
    }

    /// The question.
    fn question(&self, kindly: bool) -> Vec<Part> {
        let ask = Part::Sound(self.voice.prompts.sound(question_name(kindly)));
        let first = [Part::Pause(BREATH), ask, Part::Pause(GAP)];
        let again = [Part::Pause(AGAIN)];
        first
            .into_iter()
            .chain(self.digits())
            .chain(again)
            .chain(self.digits())
            .collect()
    }

    /// Whether what was pressed is right, once there is enough of it.
    fn verdict(&self) -> Option<bool> {
        let wanted = self.code.iter().map(|digit| char::from(b'0' + digit % 10));
        (self.pressed.len() >= self.code.len()).then(|| wanted.eq(self.pressed.iter().copied()))
    }
}

impl Core {
    /// Takes what callers have pressed. To be called after packets of media, when
    /// [`Plane::has_heard`](ringfence_media::Plane::has_heard) says so.
    pub fn take_pressed(&mut self, now: Instant) {
        self.now = now;
        while let Some(heard) = self.media.poll_heard() {
            let (key, _) = CallKey::from_owner(Owner(heard.owner));
            self.guard_call(now, key, |core| core.on_pressed(now, key, heard.digit));
        }
    }

    /// Answers a new call and asks its caller.
    pub(crate) fn ask_caller(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        question: Question,
    ) -> Result<(), (RefusalReason, u16)> {
        let key = attempt.key;
        let voice = match &question {
            Question::Pin(pin) => Some(Arc::clone(&pin.voice)),
            Question::Digits { .. } => self.voice_of_lines(key),
        };
        let asked = voice.and_then(|voice| self.answer_caller(now, attempt, voice));
        let Some((mut screening, attend)) = asked else {
            if let Question::Digits { .. } = question {
                self.tell_gate(now, key, Challenge::Unasked);
            }
            self.release_call(key);
            return Err((RefusalReason::Screening, 486));
        };
        let (parts, note) = match question {
            Question::Digits { kindly } => {
                screening.code = self.draw(self.digits_now(key, &screening.voice));
                (screening.question(kindly), " (asked by voice)".to_owned())
            }
            Question::Pin(pin) => {
                self.counters.pins_asked += 1;
                let said = (pin.parts(), pin.note());
                screening.pin = Some(Box::new(pin));
                said
            }
        };
        let (stream, told) = (screening.stream, screening.told.clone());
        self.respond(now, &attempt.reply.of_leg(key, Side::A), 100);
        let server = attempt.reply.server;
        self.answer_invite(now, key, Side::A, server, 200, Some(&told), None);
        self.media.attend(now, stream, attend);
        self.media.say(stream, parts);
        if let Some(call) = self.call_mut(key) {
            // The caller is answered: nothing provisional follows.
            call.provisionals = Default::default();
            call.route.rule.push_str(&note);
            call.screening = Some(screening);
        }
        self.schedule(now, TICK, key, AlarmKind::Asked);
        Ok(())
    }

    fn voice_of_lines(&self, key: CallKey) -> Option<Arc<VoicePolicy>> {
        let call = self.call(key)?;
        let site = call.plan.site(call.route.site)?;
        site.policy.lines.voice.as_ref().map(Arc::clone)
    }

    fn answer_caller(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        voice: Arc<VoicePolicy>,
    ) -> Option<(Box<Screening>, ringfence_media::voice::Attend)> {
        let key = attempt.key;
        let description = body::description(attempt.reply.request).unwrap_or_default();
        let owner = key.owner(Side::A).0;
        let answered = self.with_media(now, key, |media, around| {
            media.offer(around, Side::A, description).ok()?;
            media.answer_here(around, owner)
        });
        let AnsweredHere {
            body,
            offer,
            stream,
            attend,
        } = answered.flatten()?;
        let screening = Screening {
            stream,
            step: Step::Asking,
            code: Vec::new(),
            pressed: Vec::new(),
            tries: 0,
            heard: false,
            gone: false,
            told: body,
            offer,
            answer: None,
            voice,
            pin: None,
        };
        Some((Box::new(screening), attend))
    }

    /// What the caller offers the callee: what it was answered, if it was by us.
    pub(crate) fn offer_of_caller(&self, key: CallKey, request: &Message<'_>) -> Vec<u8> {
        let screening = self.call(key).and_then(|call| call.screening.as_ref());
        match screening {
            Some(screening) => screening.offer.clone(),
            None => body::description(request).unwrap_or_default().to_vec(),
        }
    }

    /// Whether the caller is asked just now.
    pub(crate) fn is_asked(&mut self, key: CallKey) -> bool {
        self.asking(key).is_some()
    }

    /// The caller has pressed a key.
    pub(crate) fn on_pressed(&mut self, now: Instant, key: CallKey, digit: char) {
        let Some(screening) = self.asking(key) else {
            return;
        };
        if screening.pin.is_some() {
            return self.on_pin_key(now, key, digit);
        }
        let stream = screening.stream;
        if screening.pressed.is_empty() {
            // Whoever knows what to press need not hear it out.
            self.media.say(stream, []);
        }
        let Some(screening) = self.asking(key) else {
            return;
        };
        match digit {
            // From the start again.
            '*' => screening.pressed.clear(),
            '0'..='9' => screening.pressed.push(digit),
            _ => {}
        }
        match screening.verdict() {
            None => {}
            Some(true) => self.pass(now, key),
            Some(false) => self.miss(now, key),
        }
    }

    /// Wrong: other digits, once, or that was it.
    fn miss(&mut self, now: Instant, key: CallKey) {
        let Some(voice) = self.asking(key).map(|it| Arc::clone(&it.voice)) else {
            return;
        };
        if let Some(lines) = self.lines_of(key) {
            lines.note_wrong_digits();
        }
        let code = self.draw(self.digits_now(key, &voice));
        let Some(screening) = self.asking(key) else {
            return;
        };
        screening.tries += 1;
        screening.pressed.clear();
        if screening.tries >= TRIES {
            self.tell_gate(now, key, Challenge::Failed);
            return self.send_away(now, key, "wrong digits");
        }
        screening.code = code;
        let parts: Vec<Part> = screening.question(false);
        let stream = screening.stream;
        self.media.say(stream, parts);
    }

    /// Right: on to the callee, if a line is left.
    fn pass(&mut self, now: Instant, key: CallKey) {
        if !self.tell_gate(now, key, Challenge::Passed) {
            return self.send_away(now, key, "the digits were right, and no line is left");
        }
        self.ring_asked(now, key);
    }

    /// Whoever was asked may go on: the caller hears it ring, and the callee is called.
    pub(crate) fn ring_asked(&mut self, now: Instant, key: CallKey) {
        let Some(screening) = self.asking(key) else {
            return;
        };
        screening.step = Step::Passed;
        let (stream, heard) = (screening.stream, screening.heard);
        let thanks = Part::Sound(screening.voice.prompts.sound("thanks"));
        let ringing = Part::Loop(screening.voice.ringback.clone());
        self.media
            .say(stream, [thanks, Part::Pause(BREATH), ringing]);
        if heard {
            self.call_callee(now, key);
        }
    }

    /// Sends the INVITE to the callee.
    fn call_callee(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let (id, flow, ring) = (
            call.id,
            call.leg(Side::A).flow,
            call.plan.limits.ring_timeout,
        );
        let Some(screening) = &mut call.screening else {
            return;
        };
        screening.step = Step::Calling;
        let Some(bridge) = &call.bridge else { return };
        let Stage::Pending { request, .. } = &bridge.stage else {
            return;
        };
        let (request, server) = (request.clone(), bridge.server);
        let mut index = Index::default();
        let Ok(message) = index.parse(&request) else {
            return;
        };
        let attempt = Attempt::new(key, id, Reply::new(server, &message, flow));
        match self.dial(now, &attempt, false) {
            Ok(()) => self.schedule(now, ring, key, AlarmKind::Ring),
            Err((_, status)) => self.finish_setup(now, key, status, EndedBy::Edge, None),
        }
    }

    /// The caller is not put through: it hears whom to ask for the PIN, or that its number is noted,
    /// if nobody waits for the channel.
    pub(crate) fn send_away(&mut self, now: Instant, key: CallKey, why: &str) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let (plan, route) = (Arc::clone(&call.plan), call.route.clone());
        let Some(screening) = &mut call.screening else {
            return;
        };
        let (parts, note) = match &screening.pin {
            Some(pin) => (pin.farewell(), format!(" ({why})")),
            None => {
                let sound = Part::Sound(screening.voice.prompts.sound("callback"));
                let note = format!(" ({why}; {NOTED})");
                (vec![Part::Pause(BREATH), sound, Part::Pause(BREATH)], note)
            }
        };
        let time: Duration = parts.iter().map(Part::duration).sum();
        screening.step = Step::Leaving(now + time);
        let (stream, holds_nothing) = (screening.stream, screening.pin.is_some());
        call.route.rule.push_str(&note);
        let at_ease = |gate: &mut Gate| gate.is_at_ease();
        if holds_nothing || self.at_gate(now, &plan, &route, at_ease) == Some(true) {
            self.media.say(stream, parts);
        } else {
            self.cancel_setup(now, key, NOT_PUT_THROUGH, EndedBy::Edge, None);
        }
    }

    /// Whether the time is over, or the channel is needed for somebody else.
    pub(crate) fn look_after_asked(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let Some(screening) = &call.screening else {
            return;
        };
        let asked = CallRef::new(call.id.raw());
        match screening.step {
            Step::Asking if screening.pin.is_some() => self.look_after_pin(now, key),
            Step::Asking => {
                let (plan, route) = (Arc::clone(&call.plan), call.route.clone());
                let goes_on = self.at_gate(now, &plan, &route, |gate| gate.is_asked(asked));
                if goes_on != Some(true) {
                    self.send_away(now, key, "no digits came");
                }
            }
            Step::Leaving(until) if until <= now => {
                return self.cancel_setup(now, key, NOT_PUT_THROUGH, EndedBy::Edge, None);
            }
            Step::Leaving(_) | Step::Passed => {}
            Step::Calling => return,
        }
        self.schedule(now, TICK, key, AlarmKind::Asked);
    }

    /// A final or provisional answer is due to a caller that has its answer from us. Whether it
    /// is one.
    pub(crate) fn answer_is_given(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        body: Option<&[u8]>,
    ) -> bool {
        let Some(call) = self.call_mut(key) else {
            return false;
        };
        let Some(screening) = &mut call.screening else {
            return false;
        };
        let stream = screening.stream;
        if status == 200 {
            screening.answer = body.map(<[u8]>::to_vec);
            // There is no ACK to wait for.
            call.bridge = None;
        }
        if status < 300 && body.is_some() {
            // The callee itself is heard from now on.
            self.media.dismiss(now, stream);
        }
        true
    }

    /// The callee has answered: the caller is told, if that changes anything for it.
    pub(crate) fn put_through(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(screening) = call.screening.take() else {
            return;
        };
        self.media.dismiss(now, screening.stream);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let answer = screening.answer.as_deref().unwrap_or_default();
        if !call.media.keeps_terms(&screening.told, answer) {
            call.transfer = Some(Box::new(Transfer {
                parent: None,
                step: TransferStep::Done,
            }));
            self.show(now, key, Side::A, false, 0);
        }
    }

    /// The ACK to the 200 of ours that began the question. Whether it was that.
    pub(crate) fn on_ack_of_asked(&mut self, now: Instant, key: CallKey, side: Side) -> bool {
        let Some(call) = self.call_mut(key).filter(|call| call.phase == Phase::Setup) else {
            return false;
        };
        let (Some(screening), Some(bridge), Side::A) = (&mut call.screening, &call.bridge, side)
        else {
            return false;
        };
        let first = !std::mem::replace(&mut screening.heard, true);
        let passed = screening.step == Step::Passed;
        let server = bridge.server;
        if first {
            self.transactions.acknowledged(server);
            if passed {
                self.call_callee(now, key);
            }
        }
        true
    }

    /// No ACK ever came. Whether one was waited for by a caller who is asked.
    pub(crate) fn ack_of_asked_never_came(&mut self, now: Instant, key: CallKey) -> bool {
        let Some(call) = self.call_mut(key).filter(|call| call.phase == Phase::Setup) else {
            return false;
        };
        let Some(screening) = &mut call.screening else {
            return false;
        };
        // There is nothing to wait for before the BYE.
        screening.heard = true;
        self.end_call(now, key, EndedBy::Edge, Some(102));
        true
    }

    /// The caller has said BYE.
    pub(crate) fn asked_caller_is_gone(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call_mut(key).filter(|call| call.phase == Phase::Setup) else {
            return;
        };
        let Some(screening) = &mut call.screening else {
            return;
        };
        screening.gone = true;
        if screening.step == Step::Asking && screening.pin.is_none() {
            self.tell_gate(now, key, Challenge::HungUp);
        }
    }

    /// Ends a call whose callee was not called yet. Whether it was one.
    pub(crate) fn end_asking(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        ended_by: EndedBy,
    ) -> bool {
        let Some(call) = self.call(key) else {
            return false;
        };
        let Some(screening) = &call.screening else {
            return false;
        };
        if screening.step == Step::Calling {
            return false;
        }
        let (heard, gone) = (screening.heard, screening.gone);
        self.release_call(key);
        if heard || gone {
            let server = self
                .call(key)
                .and_then(|call| call.bridge.as_ref())
                .map(|it| it.server);
            if let (false, Some(server)) = (heard, server) {
                self.transactions.acknowledged(server);
            }
            self.dismiss_asked(now, key);
            self.record(now, key, status, ended_by);
            self.discard(key);
            return true;
        }
        // RFC 3261 §15: no BYE before the ACK.
        self.record(now, key, status, ended_by);
        if let Some(bridge) = self.call_mut(key).and_then(|call| call.bridge.as_mut()) {
            bridge.stage = Stage::Answered { late_offer: false };
        }
        self.retire(key);
        true
    }

    /// The caller's leg, which we answered, ends with its call.
    pub(crate) fn dismiss_asked(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let Some(screening) = &call.screening else {
            return;
        };
        let (gone, cause) = (screening.gone, call.facts.q850);
        if !gone {
            self.send_bye(now, key, Side::A, cause);
        }
    }

    /// Gives the reserved transaction towards the callee back.
    fn release_call(&mut self, key: CallKey) {
        let client = self
            .call(key)
            .and_then(|call| call.bridge.as_ref())
            .map(|it| it.client);
        if let Some(client) = client {
            self.transactions.release_client(client);
        }
    }

    /// Tells the gate how a challenge ended. Whether the call may go on.
    fn tell_gate(&mut self, now: Instant, key: CallKey, outcome: Challenge) -> bool {
        let Some(call) = self.call(key) else {
            return false;
        };
        let (plan, route) = (Arc::clone(&call.plan), call.route.clone());
        let asked = CallRef::new(call.id.raw());
        let answer = self.at_gate(now, &plan, &route, |gate| {
            gate.challenged(asked, outcome, now)
        });
        answer == Some(true)
    }

    /// The caller who is asked just now.
    pub(crate) fn asking(&mut self, key: CallKey) -> Option<&mut Screening> {
        let call = self.call_mut(key)?;
        let screening = call.screening.as_deref_mut()?;
        (screening.step == Step::Asking).then_some(screening)
    }

    /// How many digits are asked for: more where somebody guesses.
    fn digits_now(&self, key: CallKey, voice: &VoicePolicy) -> u8 {
        let guessed = self.lines_of(key).map_or(0, Lines::wrong_digits);
        let more = (guessed / GUESSES).min(DIGITS_MAX as u32) as u8;
        voice.digits.saturating_add(more).min(DIGITS_MAX as u8)
    }

    fn lines_of(&self, key: CallKey) -> Option<&Lines> {
        let call = self.call(key)?;
        Some(&call.plan.site(call.route.site)?.usage.lines)
    }

    /// Digits that nobody can know.
    fn draw(&mut self, count: u8) -> Vec<u8> {
        let count = usize::from(count).clamp(1, DIGITS_MAX);
        (0..count).map(|_| self.entropy.below(10) as u8).collect()
    }
}
