//! The PIN, asked for by voice: a call of the customer's own phone or PBX that its tenant's judge
//! stops is answered by the edge, and put through once the PIN was pressed.
//!
//! It is `screening`'s machine with another question. While it asks, the call holds no channel, no
//! line and no meter: all three are asked for anew once the PIN was right, with the verdict that a
//! dialled `*PIN*number` gets, and what has no room then is not put through. Wrong PINs are counted
//! in the lock of dialled ones. Never asked are emergency calls (which are never stopped), what the
//! tenant's own `deny` refuses, callers whose PINs are locked, and offers without G.711.
//!
//! What is pressed is wiped once it was compared, and is in no record, ladder or log.

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{Instant, Secret};
use ringfence_media::StreamId;
use ringfence_media::voice::Part;
use ringfence_sip::Index;

use crate::access::Candidates;
use crate::admission::{Admission, admit};
use crate::call::{CallKey, Side, Stage};
use crate::core::Core;
use crate::hunt::hunt;
use crate::identity::Identity;
use crate::plan::Plan;
use crate::refusal::RefusalReason;
use crate::routing::Route;
use crate::screening::{Question, VoicePolicy};
use crate::setup::{Attempt, Refused};
use crate::spend::{Asking, PIN_DIGITS, Pin, PinCaller};
use crate::usage::Usage;
use crate::ways::Way;

/// Most calls of a site whose callers are asked at once; the next one is refused as without voice.
pub const ASKED_MAX: u32 = 4;

/// How often a caller may press a wrong PIN in one call.
pub const TRIES: u8 = 3;

/// How long it may take, from the answer on.
pub const TIME: Duration = Duration::from_secs(30);

/// Who has pressed digits and then nothing for so long has forgotten the `#`.
const ENOUGH: Duration = Duration::from_secs(4);

/// Before the first word, while the way for sound settles.
const BREATH: Duration = Duration::from_millis(120);

/// One digit more than a PIN can have: whatever is longer is wrong.
const TYPED_MAX: usize = *PIN_DIGITS.end() + 1;

/// What a caller is asked who called where calls are stopped.
pub(crate) struct PinQuestion {
    /// Whose wrong PINs are counted.
    who: PinCaller,
    /// What is said.
    pub(crate) voice: Arc<VoicePolicy>,
    /// Why the call was stopped.
    why: Box<str>,
    typed: Typed,
    /// When the last digit came.
    last: Instant,
    tries: u8,
    until: Instant,
    _place: Place,
}

/// What was pressed so far. Wiped when dropped.
#[derive(Default)]
struct Typed(Vec<u8>);

impl Typed {
    fn push(&mut self, digit: u8) {
        // Nothing of it is left behind in memory by growing.
        if self.0.capacity() == 0 {
            self.0.reserve_exact(TYPED_MAX);
        }
        if self.0.len() < TYPED_MAX {
            self.0.push(digit);
        }
    }

    fn take(&mut self) -> Secret {
        Secret::new(std::mem::take(&mut self.0))
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// One of the [`ASKED_MAX`] places of a site, until it is dropped.
struct Place(Arc<Usage>);

impl Place {
    fn take(usage: &Arc<Usage>) -> Option<Place> {
        usage
            .take_pin_place(ASKED_MAX)
            .then(|| Place(Arc::clone(usage)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.release_pin_place();
    }
}

impl PinQuestion {
    /// The first words.
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.say("pin-ask")
    }

    /// What the record says while it is asked.
    pub(crate) fn note(&self) -> String {
        format!(" (stopped: {}; asked for the PIN by voice)", self.why)
    }

    /// The last words.
    pub(crate) fn farewell(&self) -> Vec<Part> {
        self.say("pin-refused")
    }

    /// Whether time is up.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    fn say(&self, prompt: &str) -> Vec<Part> {
        let sound = Part::Sound(self.voice.prompts.sound(prompt));
        vec![Part::Pause(BREATH), sound, Part::Pause(BREATH)]
    }

    /// Whether there are digits behind which nothing comes any more.
    fn is_waiting(&self, now: Instant) -> bool {
        !self.typed.0.is_empty() && now.saturating_since(self.last) >= ENOUGH
    }
}

/// A stopped call whose caller may be asked: where it would go, and what is said if it is not asked.
pub(crate) struct Stopped<'a> {
    pub(crate) route: Route,
    pub(crate) identity: Identity,
    pub(crate) ways: &'a [Way],
    pub(crate) refused: Refused,
}

impl Core {
    /// Asks the caller of a stopped call for the PIN, if it may be asked; else says what it is refused
    /// with. The call holds nothing any more.
    ///
    /// # Errors
    /// The refusal of `stopped`.
    pub(crate) fn ask_pin(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
        stopped: Stopped<'_>,
    ) -> Result<(), Refused> {
        let Stopped {
            route,
            identity,
            ways,
            refused,
        } = stopped;
        let Some(question) = self.pin_question(now, attempt, candidates, &route, &refused) else {
            return Err(refused);
        };
        let ask = Some(Question::Pin(question));
        self.begin(now, attempt, route, identity, (ways, ask), None)
            .map_err(|_| {
                self.discard(attempt.key);
                refused
            })
    }

    fn pin_question(
        &self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
        route: &Route,
        refused: &Refused,
    ) -> Option<PinQuestion> {
        if !refused.asks_pin || attempt.pin != Pin::Absent || route.emergency {
            return None;
        }
        let site = self.plan.site(route.site)?;
        let voice = site.policy.pin_voice.as_ref()?;
        let who = self.pin_caller(attempt.caller, candidates, attempt.reply.request)?;
        if who.guard.pins_are_locked(self.hash, now, &who) {
            return None;
        }
        let why = refused.why.as_deref().unwrap_or_default();
        let why = why.split(". Dial *PIN*").next().unwrap_or_default();
        Some(PinQuestion {
            who,
            voice: Arc::clone(voice),
            why: why.into(),
            typed: Typed::default(),
            last: now,
            tries: 0,
            until: now + TIME,
            _place: Place::take(&site.usage)?,
        })
    }

    /// A key of a caller who is asked for the PIN.
    pub(crate) fn on_pin_key(&mut self, now: Instant, key: CallKey, digit: char) {
        let Some((stream, question)) = self.asked_for_pin(key) else {
            return;
        };
        question.last = now;
        let first = question.typed.0.is_empty();
        match digit {
            // From the start again.
            '*' => drop(question.typed.take()),
            '#' if !first => return self.on_pin(now, key),
            '0'..='9' => question.typed.push(digit as u8),
            _ => {}
        }
        if first {
            // Whoever knows what to press need not hear it out.
            self.media.say(stream, []);
        }
    }

    /// Looks after a caller who is asked for the PIN.
    pub(crate) fn look_after_pin(&mut self, now: Instant, key: CallKey) {
        let Some((_, question)) = self.asked_for_pin(key) else {
            return;
        };
        if question.is_waiting(now) {
            self.on_pin(now, key);
        } else if question.is_over(now) {
            self.send_away(now, key, "no PIN came");
        }
    }

    /// All digits are there.
    fn on_pin(&mut self, now: Instant, key: CallKey) {
        let hash = self.hash;
        let Some((stream, question)) = self.asked_for_pin(key) else {
            return;
        };
        let typed = question.typed.take();
        let who = &question.who;
        if who.guard.takes_pin(hash, now, who, typed.expose()) {
            return match self.admit_asked(now, key) {
                Ok(()) => {
                    self.counters.pins_right += 1;
                    self.note(key, " (the PIN was right)");
                    self.ring_asked(now, key);
                }
                Err(why) => self.send_away(now, key, &format!("the PIN was right, but {why}")),
            };
        }
        question.tries += 1;
        let why = match who.guard.pins_are_locked(hash, now, who) {
            true => Some("too many wrong PINs"),
            false => (question.tries >= TRIES).then_some("wrong PINs"),
        };
        let again = question.say("pin-again");
        self.counters.count_refusal(RefusalReason::Pin);
        match why {
            Some(why) => self.send_away(now, key, why),
            None => self.media.say(stream, again),
        }
    }

    /// Takes a line, channels and a meter for a call whose caller knows the PIN. Sent to the way that has
    /// room, by the interface whose ports were taken when the caller was answered.
    fn admit_asked(&mut self, now: Instant, key: CallKey) -> Result<(), String> {
        let gone = || "the call is over".to_owned();
        let call = self.call(key).ok_or_else(gone)?;
        let (plan, id, identity) = (Arc::clone(&call.plan), call.id, call.identity.clone());
        let mut route = call.route.clone();
        let listener = call.leg(Side::B).flow.listener;
        let request = match call.bridge.as_ref().map(|bridge| &bridge.stage) {
            Some(Stage::Pending { request, .. }) => request.clone(),
            _ => return Err(gone()),
        };
        let mut index = Index::default();
        let message = index.parse(&request).map_err(|_| gone())?;
        let mut ways = self.ways(now, &plan, &route);
        ways.retain(|way| plan.peer(way.peer).map(|peer| peer.listener) == Some(listener));
        self.ask_for_line(now, &plan, id, &route, &identity, &message)
            .map_err(|closed| closed.why)?;
        let admitted = match admit(&plan, &route, &ways, now) {
            Ok((mut admission, first)) => {
                let asking = Asking {
                    id,
                    phone: route.caller,
                    request: &message,
                    pin: Pin::Right,
                };
                self.may_spend_in(&plan, now, &mut route, &identity, &asking, &mut admission)
                    .map(|()| (admission, first))
                    .map_err(String::from)
            }
            Err(_) => Err("no channel is left".to_owned()),
        };
        let way = |first: usize| ways.get(first).copied();
        let (admission, first, way) = admitted
            .and_then(|(admission, first)| {
                let way = way(first).ok_or_else(gone)?;
                Ok((admission, first, way))
            })
            .inspect_err(|_| self.give_line_back(now, &plan, id, &route))?;
        self.go_by(key, &plan, route, admission, way);
        if let Some(call) = self.call_mut(key) {
            call.hunt = hunt(&ways, first);
        }
        Ok(())
    }

    fn go_by(&mut self, key: CallKey, plan: &Plan, mut route: Route, held: Admission, way: Way) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        if route.egress != way.peer {
            route.go_on(plan, way.peer, "");
        }
        call.route = route;
        call.admission = Some(held);
        if let Some(peer) = plan.peer(way.peer) {
            let leg = call.leg_mut(Side::B);
            (leg.peer, leg.flow) = (way.peer, peer.flow_to(way.address));
        }
    }

    /// Adds to what the record says.
    fn note(&mut self, key: CallKey, note: &str) {
        if let Some(call) = self.call_mut(key) {
            call.route.rule.push_str(note);
        }
    }

    fn asked_for_pin(&mut self, key: CallKey) -> Option<(StreamId, &mut PinQuestion)> {
        let screening = self.asking(key)?;
        let stream = screening.stream;
        Some((stream, screening.pin.as_deref_mut()?))
    }
}
