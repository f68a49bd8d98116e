//! The bindings of a user against a plain model (RFC 3261 §10.3), and what they cost in memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;
use ringfence_base::{Flow, ListenerId, UnixTime};
use ringfence_session::registrar::line::{Binding, Change, ChangeError, Line};

struct Counting;

thread_local! {
    /// Bytes that this thread holds.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: hands every request on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get() + layout.size() as isize));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get() - layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONTACTS_MAX: usize = 4;

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_micros(seconds * 1_000_000)
}

fn binding(contact: u8, call_id: u8, cseq: u32, now: i64, lifetime: i64) -> Binding {
    Binding {
        contact: format!("sip:user@10.0.0.{contact}:5060;transport=tls").into(),
        call_id: format!("a-call-id-of-a-phone-{call_id}").into(),
        cseq,
        path: None,
        instance: None,
        reg_id: 0,
        q: 1000,
        user_agent: None,
        flow: Flow::udp(ListenerId::new(0), "198.18.0.5:40000".parse().unwrap()),
        flow_lost: false,
        expires: at(now + lifetime),
        refreshed: at(now),
    }
}

/// One REGISTER: its Call-ID and CSeq, and contacts with lifetimes; none is a wildcard.
#[derive(Clone, Debug)]
struct Register {
    call_id: u8,
    cseq: u32,
    contacts: Vec<(u8, i64)>,
    later: i64,
}

fn register() -> impl Strategy<Value = Register> {
    let contacts = proptest::collection::btree_map(0u8..6, 0i64..50, 0..4);
    (0u8..2, 0u32..40, contacts, 0i64..20).prop_map(|(call_id, cseq, contacts, later)| Register {
        call_id,
        cseq,
        contacts: contacts.into_iter().collect(),
        later,
    })
}

/// What is registered: contact, Call-ID, CSeq, end.
type Model = Vec<(u8, u8, u32, i64)>;

/// The rules in their plainest form.
fn step(model: &Model, now: i64, register: &Register) -> Result<Model, ChangeError> {
    let mut next: Model = model
        .iter()
        .copied()
        .filter(|entry| entry.3 > now)
        .collect();
    let stale =
        |entry: &(u8, u8, u32, i64)| entry.1 == register.call_id && register.cseq <= entry.2;
    if register.contacts.is_empty() {
        if next.iter().any(stale) {
            return Err(ChangeError::OutOfOrder);
        }
        return Ok(Model::new());
    }
    for &(contact, lifetime) in &register.contacts {
        if next.iter().any(|entry| entry.0 == contact && stale(entry)) {
            return Err(ChangeError::OutOfOrder);
        }
        next.retain(|entry| entry.0 != contact);
        if lifetime > 0 {
            next.push((contact, register.call_id, register.cseq, now + lifetime));
        }
    }
    match next.len() > CONTACTS_MAX {
        true => Err(ChangeError::TooMany),
        false => Ok(next),
    }
}

proptest! {
    #[test]
    fn registers_in_any_order_do_what_the_rules_say_wholly_or_not_at_all(
        registers in proptest::collection::vec(register(), 1..60),
    ) {
        let line = Line::default();
        let (mut model, mut now) = (Model::new(), 1_000);
        for register in registers {
            now += register.later;
            let change = match register.contacts.is_empty() {
                true => Change::RemoveAll {
                    call_id: format!("a-call-id-of-a-phone-{}", register.call_id).into(),
                    cseq: register.cseq,
                },
                false => Change::Update(
                    register
                        .contacts
                        .iter()
                        .map(|&(contact, lifetime)| {
                            binding(contact, register.call_id, register.cseq, now, lifetime)
                        })
                        .collect(),
                ),
            };
            let got = line.apply(at(now), &change, CONTACTS_MAX).map(|all| all.len());
            let expected = step(&model, now, &register);
            prop_assert_eq!(got, expected.as_ref().map(Vec::len).map_err(|error| *error));
            if let Ok(next) = expected {
                model = next;
            }
            let mut kept: Vec<String> = line
                .bindings(at(now))
                .iter()
                .map(|binding| format!("{} {} {}", binding.contact, binding.call_id, binding.cseq))
                .collect();
            let mut wanted: Vec<String> = model
                .iter()
                .filter(|entry| entry.3 > now)
                .map(|entry| binding(entry.0, entry.1, entry.2, 0, 0))
                .map(|binding| format!("{} {} {}", binding.contact, binding.call_id, binding.cseq))
                .collect();
            kept.sort();
            wanted.sort();
            prop_assert_eq!(kept, wanted);
        }
    }
}

#[test]
fn a_hundred_thousand_bindings_cost_less_than_a_kilobyte_each() {
    const BINDINGS: isize = 100_000;
    let before = HELD.get();
    let lines: Vec<Arc<Line>> = (0..BINDINGS)
        .map(|_| {
            let line = Line::default();
            let mut full = binding(1, 1, 1, 0, 3600);
            full.instance = Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into());
            full.user_agent = Some("A phone of many words 12.34.56 (its platform, release)".into());
            full.path = Some("<sip:proxy.example;lr;ob>".into());
            line.apply(at(0), &Change::Update(vec![full]), 10).unwrap();
            Arc::new(line)
        })
        .collect();
    let each = (HELD.get() - before) / BINDINGS;
    assert!(each <= 1024, "{each} bytes for each binding");
    drop(lines);
}

#[test]
fn what_a_restart_gives_back_is_reached_over_udp_and_awaited_over_a_stream() {
    let line = Line::default();
    let datagram = binding(1, 1, 1, 0, 3600);
    let mut stream = binding(2, 1, 1, 0, 3600);
    stream.flow.transport = ringfence_base::Transport::Tls;
    line.restore([datagram, stream]);
    let mut kept = line.bindings(at(10));
    kept.sort_by(|a, b| a.contact.cmp(&b.contact));
    let lost: Vec<bool> = kept.iter().map(|binding| binding.flow_lost).collect();
    assert_eq!(lost, [false, true]);
    let old = Change::RemoveAll {
        call_id: "a-call-id-of-a-phone-1".into(),
        cseq: 1,
    };
    let refused = line.apply(at(10), &old, 10);
    assert_eq!(
        refused,
        Err(ChangeError::OutOfOrder),
        "its order holds over a restart"
    );
}
