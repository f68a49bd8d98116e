//! Registrations in a core: which are this worker's, their REGISTERs, their answers, their timers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{ConnectionId, Flow, HashKey, Instant, WorkerIndex};
use ringfence_dialog::{ClientId, Owner, RequestKind};
use ringfence_sip::{HeaderName, Message, NameAddr};

use super::machine::{Machine, Step, Subject};
use super::view::Trouble;
use crate::core::Core;
use crate::headers;
use crate::outgoing::our_address;
use crate::plan::{Peer, PeerId, PeerKind, Plan};
use crate::supervise::Alarm;
use crate::usage::Usage;

/// The owners from here on, one for each slot, are REGISTERs, not legs of calls.
const REGISTER_OWNER: u64 = u64::MAX - (1 << 21);

/// Most registrations of one worker, those that are being taken back included.
const SLOTS_MAX: usize = 1 << 16;

/// How often a worker looks for what the others suspect.
const GLANCE_EACH: Duration = Duration::from_secs(5);

/// The registration of a REGISTER transaction.
pub(crate) fn registration_slot(owner: Owner) -> Option<u16> {
    let slot = owner.0.checked_sub(REGISTER_OWNER)?;
    u16::try_from(slot).ok()
}

/// The registrations of one worker.
#[derive(Debug)]
pub(crate) struct Registrations {
    worker: WorkerIndex,
    workers: u8,
    slots: Vec<Option<Registration>>,
    /// Whether the alarm is set by which other workers are asked.
    glancing: bool,
}

#[derive(Debug)]
struct Registration {
    /// The trunk's key.
    key: String,
    machine: Machine,
    usage: Arc<Usage>,
    /// Counts alarms: only the last one set means something.
    alarm: u32,
}

impl Registrations {
    pub(crate) const fn new(worker: WorkerIndex, workers: u8) -> Registrations {
        Registrations {
            worker,
            workers,
            slots: Vec::new(),
            glancing: false,
        }
    }

    /// Whether this worker keeps the registration of the trunk `key`: exactly one does, and the
    /// same one after a reload.
    pub(crate) fn is_ours(&self, key: &str) -> bool {
        let hash = HashKey::from_bytes(*b"ringfence-trunks").hash64(key);
        hash % u64::from(self.workers.max(1)) == u64::from(self.worker.raw())
    }

    fn find(&self, matches: impl Fn(&Registration) -> bool) -> Option<u16> {
        self.slots
            .iter()
            .position(|slot| slot.as_ref().is_some_and(&matches))
            .map(|slot| slot as u16)
    }

    fn get(&mut self, slot: u16) -> Option<&mut Registration> {
        self.slots.get_mut(usize::from(slot))?.as_mut()
    }

    fn insert(&mut self, registration: Registration) -> Option<u16> {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        if slot >= SLOTS_MAX {
            return None;
        }
        if free.is_none() {
            self.slots.push(None);
        }
        *self.slots.get_mut(slot)? = Some(registration);
        Some(slot as u16)
    }
}

impl Core {
    /// Brings the registrations in step with the plan: what is unchanged goes on as it is, what is
    /// gone is taken back, what is new begins.
    pub(crate) fn adopt_registrations(&mut self, now: Instant) {
        if self.draining {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let wanted: Vec<(&Peer, Subject)> = plan
            .peers
            .iter()
            .filter(|peer| self.registrations.is_ours(&peer.key))
            .filter_map(|peer| Some((peer, subject(&plan, peer)?)))
            .collect();
        for slot in 0..self.registrations.slots.len() as u16 {
            let Some(registration) = self.registrations.get(slot) else {
                continue;
            };
            let stays = wanted.iter().any(|(peer, subject)| {
                peer.key == registration.key && *subject == registration.machine.subject
            });
            if !stays && !registration.machine.is_leaving() {
                self.leave_registrar(now, slot);
            }
        }
        for (number, (peer, subject)) in wanted.into_iter().enumerate() {
            let known = self.registrations.find(|known| {
                known.key == peer.key
                    && known.machine.subject == subject
                    && !known.machine.is_leaving()
            });
            if let Some(known) = known {
                if let Some(known) = self.registrations.get(known) {
                    known.machine.addresses.clone_from(&peer.addresses);
                    known.usage = Arc::clone(&peer.usage);
                }
                continue;
            }
            self.begin_registration(now, number, peer, subject);
        }
        self.schedule_glance(now);
        // A trunk that registers no more has no registration to show.
        for peer in &plan.peers {
            if registers(peer).is_none() && self.registrations.is_ours(&peer.key) {
                peer.usage.set_registration(None);
                peer.usage.set_bound(None);
            }
        }
    }

    fn begin_registration(&mut self, now: Instant, number: usize, peer: &Peer, subject: Subject) {
        let call_id = self.cookies.new_call_id(&mut *self.entropy);
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let mut machine = Machine::new(subject, call_id, tag);
        machine.addresses.clone_from(&peer.addresses);
        let slot = self.registrations.insert(Registration {
            key: peer.key.clone(),
            machine,
            usage: Arc::clone(&peer.usage),
            alarm: 0,
        });
        if let Some(slot) = slot {
            // Spread, so that a thousand trunks do not register in one moment.
            let spread = Duration::from_millis(20 * (number as u64 % 500));
            self.take_step(now, slot, Step::Wait(now + spread));
        }
    }

    /// The edge drains: carriers shall send their calls elsewhere.
    pub(crate) fn leave_registrations(&mut self, now: Instant) {
        for slot in 0..self.registrations.slots.len() as u16 {
            let leaves = self
                .registrations
                .get(slot)
                .is_some_and(|known| !known.machine.is_leaving());
            if leaves {
                self.leave_registrar(now, slot);
            }
        }
    }

    fn leave_registrar(&mut self, now: Instant, slot: u16) {
        let Some(registration) = self.registrations.get(slot) else {
            return;
        };
        // Alarms of before mean nothing any more.
        registration.alarm = registration.alarm.wrapping_add(1);
        let step = match registration.machine.leave(now) {
            true => Step::Send,
            false => Step::Done,
        };
        self.take_step(now, slot, step);
    }

    pub(crate) fn on_registration_alarm(&mut self, now: Instant, slot: u16, number: u32) {
        let Some(registration) = self.registrations.get(slot) else {
            return;
        };
        if registration.alarm != number || registration.machine.open.is_some() {
            return;
        }
        registration.machine.begin();
        self.take_step(now, slot, Step::Send);
    }

    /// An answer to a REGISTER of ours.
    pub(crate) fn on_register_answer(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        (slot, client): (u16, ClientId),
    ) {
        let provisional = message
            .status()
            .is_none_or(|status| status.is_provisional());
        let Some(registration) = self.registrations.get(slot) else {
            return;
        };
        // One that a later REGISTER has overtaken decides nothing.
        if provisional || registration.machine.open != Some(client) {
            return;
        }
        let step = registration
            .machine
            .on_answer(now, flow, message, &mut *self.entropy);
        let alien = registration.machine.alien();
        if let Some((uri, count)) = alien
            && message.status().is_some_and(|status| status.is_success())
        {
            self.see_alien_binding(now, &flow, &uri, count);
        }
        self.take_step(now, slot, step);
    }

    /// The transaction layer gave up on a REGISTER.
    pub(crate) fn on_register_failed(
        &mut self,
        now: Instant,
        (slot, client): (u16, ClientId),
        trouble: Trouble,
    ) {
        let Some(registration) = self.registrations.get(slot) else {
            return;
        };
        if registration.machine.open == Some(client) {
            let machine = &mut registration.machine;
            let step = machine.on_silence(now, trouble, &mut *self.entropy);
            self.take_step(now, slot, step);
        }
    }

    /// Something says that the carrier behind this peer was away: it may have lost our binding.
    pub(crate) fn suspect_registration(&mut self, now: Instant, peer: &Peer) {
        if registers(peer).is_none() {
            return;
        }
        if !self.registrations.is_ours(&peer.key) {
            // The worker that keeps it looks now and then.
            return peer.usage.suspect();
        }
        let slot = self
            .registrations
            .find(|known| known.key == peer.key && !known.machine.is_leaving());
        if let Some(slot) = slot {
            self.hint(now, slot);
        }
    }

    /// Looks what other workers have seen of the carriers whose registrations this one keeps.
    pub(crate) fn glance_at_registrations(&mut self, now: Instant) {
        for slot in 0..self.registrations.slots.len() as u16 {
            let suspected = self
                .registrations
                .get(slot)
                .is_some_and(|known| !known.machine.is_leaving() && known.usage.take_suspicion());
            if suspected {
                self.hint(now, slot);
            }
        }
        self.registrations.glancing = false;
        self.schedule_glance(now);
    }

    fn schedule_glance(&mut self, now: Instant) {
        let registrations = &mut self.registrations;
        let any = registrations.slots.iter().any(Option::is_some);
        if any && registrations.workers > 1 && !registrations.glancing {
            registrations.glancing = true;
            self.alarms.schedule(now + GLANCE_EACH, Alarm::Glance);
        }
    }

    /// A connection is gone that a carrier may have used to reach us.
    pub(crate) fn suspect_connection(&mut self, now: Instant, connection: ConnectionId) {
        let slot = self
            .registrations
            .find(|known| known.machine.used(connection) && !known.machine.is_leaving());
        if let Some(slot) = slot {
            self.hint(now, slot);
        }
    }

    fn hint(&mut self, now: Instant, slot: u16) {
        let Some(registration) = self.registrations.get(slot) else {
            return;
        };
        if let Some(step) = registration.machine.on_hint(now, &mut *self.entropy) {
            self.take_step(now, slot, step);
        }
    }

    fn take_step(&mut self, now: Instant, slot: u16, step: Step) {
        let step = match step {
            Step::Send => self.send_register(now, slot),
            other => Some(other),
        };
        let anchor = self.anchor;
        let Some(registration) = self.registrations.get(slot) else {
            return;
        };
        // A registration that is taken back for a new one of the same trunk is nobody's news.
        let key = registration.key.clone();
        let leaving = registration.machine.is_leaving();
        let view = Arc::new(registration.machine.view(now, anchor));
        let bound = registration.machine.bound_until();
        let usage = Arc::clone(&registration.usage);
        match step {
            Some(Step::Wait(at)) => {
                registration.alarm = registration.alarm.wrapping_add(1);
                let number = registration.alarm;
                self.alarms
                    .schedule(at, Alarm::Registration { slot, number });
            }
            Some(Step::Done) => {
                if let Some(place) = self.registrations.slots.get_mut(usize::from(slot)) {
                    *place = None;
                }
            }
            _ => {}
        }
        let follower = self
            .registrations
            .find(|known| known.key == key && !known.machine.is_leaving());
        if !leaving || (follower.is_none() && self.draining) {
            usage.set_registration(Some(view));
            usage.set_bound(bound);
        }
    }

    /// Sends the next REGISTER; a step only if it could not be sent.
    fn send_register(&mut self, now: Instant, slot: u16) -> Option<Step> {
        let registration = self
            .registrations
            .slots
            .get_mut(usize::from(slot))?
            .as_mut()?;
        let machine = &mut registration.machine;
        let Some(flow) = machine.flow() else {
            return Some(machine.on_silence(now, Trouble::NoAddress, &mut *self.entropy));
        };
        let Ok(client) = self.transactions.reserve_client() else {
            return Some(machine.on_silence(now, Trouble::NoAnswer, &mut *self.entropy));
        };
        let branch = self.transactions.branch(client);
        let mut out = Vec::with_capacity(1024);
        if let Err(trouble) = machine.write(&mut out, branch, &mut *self.entropy) {
            self.transactions.release_client(client);
            return Some(machine.on_silence(now, trouble, &mut *self.entropy));
        }
        machine.open = Some(client);
        let owner = Owner(REGISTER_OWNER + u64::from(slot));
        let (kind, bytes) = (RequestKind::NonInvite, Bytes::from(out));
        self.transactions
            .send_request(now, client, kind, flow, bytes, owner);
        None
    }
}

/// The account and the wish to register of a trunk that has both.
pub(crate) fn registers(
    peer: &Peer,
) -> Option<(&crate::account::Account, &crate::account::Registering)> {
    let account = peer
        .account
        .as_deref()
        .filter(|_| peer.kind == PeerKind::Trunk)?;
    Some((account, account.registration.as_ref()?))
}

fn subject(plan: &Plan, peer: &Peer) -> Option<Subject> {
    let (account, registering) = registers(peer)?;
    // Only the listener and the transport matter here; the name may have no address yet.
    let toward = peer.flow_to(std::net::SocketAddr::from(([0, 0, 0, 0], 0)));
    let ours = our_address(plan, &toward)?;
    let domain = registering.domain.as_deref().unwrap_or(&peer.host);
    let port = match (peer.port, &registering.domain) {
        (Some(port), None) => format!(":{port}"),
        _ => String::new(),
    };
    Some(Subject {
        account: account.clone(),
        registering: registering.clone(),
        listener: peer.listener,
        transport: peer.transport,
        ours,
        registrar: format!("sip:{domain}{port}"),
        address_of_record: format!("sip:{}@{domain}", registering.user),
        contact_user: match registering.bulk {
            true => String::new(),
            false => registering.contact_user(&plan.edge_name, &peer.key),
        },
    })
}

/// The number that a call to the Contact we registered is for: the Request-URI has only our own
/// word then, and the number is in P-Called-Party-ID (RFC 7315 §4.2) or in To. A carrier that has
/// our address of record there means the site's first number.
pub(crate) fn called_number(
    plan: &Plan,
    candidates: &[PeerId],
    message: &Message<'_>,
    user: &str,
) -> Option<String> {
    let (peer, registering) = candidates.iter().find_map(|id| {
        let peer = plan.peer(*id)?;
        let (_, registering) = registers(peer)?;
        let ours = registering.contact_user(&plan.edge_name, &peer.key) == user;
        ours.then_some((peer, registering))
    })?;
    let party = message
        .header(HeaderName::PCalledPartyId)
        .and_then(|value| NameAddr::parse(value).ok());
    let named = party.or_else(|| message.to().ok())?;
    let number = headers::user_of(&named.uri)?;
    let site = plan.site(peer.site)?;
    if number == registering.user && !site.owns(number) && !site.any_number {
        let main = site.policy.main_number.map(|number| number.to_string());
        return main.or_else(|| site.numbers.first().map(|range| range.first()));
    }
    Some(number.to_owned())
}
