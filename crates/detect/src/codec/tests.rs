//! Events there and back, bytes of anybody, and what a release never changes.

use proptest::prelude::*;

use super::*;

const KEY: HashKey = HashKey::from_bytes([7; 16]);

fn name() -> impl Strategy<Value = Name> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(|text| Name::new(KEY, &text))
}

fn code<T: Coded + std::fmt::Debug>() -> impl Strategy<Value = T> {
    any::<u8>().prop_map(|from| {
        let all: Vec<T> = (0..=u8::MAX).map_while(T::of).collect();
        let index = usize::from(from) % all.len();
        all.into_iter().nth(index).unwrap()
    })
}

prop_compose! {
    fn shape()(fingerprint: u64, tells: u16) -> Shape {
        Shape { fingerprint: Fingerprint(fingerprint), tells: Tells::from_bits(tells) }
    }
}

prop_compose! {
    fn asked()(method in code(), target in name(), shape in shape(), transaction: u64) -> Asked {
        Asked { method, target, shape, transaction }
    }
}

fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![
        Just(Principal::Stranger),
        any::<u16>().prop_map(|peer| Principal::Trunk(PeerRef::new(peer))),
        any::<u16>().prop_map(|peer| Principal::Pbx(PeerRef::new(peer))),
        any::<(u16, u32)>().prop_map(|(group, user)| Principal::Phone {
            group: PeerRef::new(group),
            user,
        }),
    ]
}

prop_compose! {
    fn source()(
        address: IpAddr,
        port: u16,
        listener: u8,
        transport in code(),
        proof in code(),
        principal in principal(),
    ) -> Source {
        Source {
            remote: SocketAddr::new(address, port),
            listener: ListenerId::new(listener),
            transport,
            proof,
            principal,
        }
    }
}

fn duration() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

fn step() -> impl Strategy<Value = CallStep> {
    let offered = (code(), code(), any::<[bool; 2]>(), name(), name(), shape());
    let offered = offered.prop_map(|(direction, attestation, flags, calling, called, shape)| {
        CallStep::Offered {
            direction,
            calling,
            called,
            emergency: flags[0],
            calling_is_own: flags[1],
            attestation,
            shape,
        }
    });
    let ended = (code(), duration(), any::<[u32; 2]>());
    let ended = ended.prop_map(|(by, talked, heard)| CallStep::Ended {
        by,
        talked,
        heard_caller: heard[0],
        heard_callee: heard[1],
    });
    let failed = (any::<u16>(), duration());
    prop_oneof![
        offered,
        Just(CallStep::Ringing),
        Just(CallStep::Answered),
        ended,
        failed.prop_map(|(status, rang)| CallStep::Failed { status, rang }),
    ]
}

fn registered() -> impl Strategy<Value = What> {
    let parts = (
        name(),
        any::<[u64; 2]>(),
        any::<[u8; 2]>(),
        any::<[bool; 2]>(),
        shape(),
    );
    parts.prop_map(
        |(account, [instance, contact], [before, after], flags, shape)| What::Registered {
            account,
            change: BindingChange {
                instance,
                contact,
                before,
                after,
                removed_all: flags[0],
                first_choice: flags[1],
            },
            shape,
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    let defective = (any::<u32>(), shape()).prop_map(|(bits, shape)| What::Defective {
        defects: Defects::from_bits(bits),
        shape,
    });
    let credentials = (name(), code(), any::<u64>(), shape());
    let credentials = credentials.prop_map(|(account, outcome, nonce, shape)| What::Credentials {
        account,
        outcome,
        nonce,
        shape,
    });
    let forged = (code(), code(), any::<Option<u64>>());
    let forged = forged.prop_map(|(method, forgery, call)| What::Forged {
        method,
        forgery,
        call: call.map(CallRef::new),
    });
    let asked_for = (code(), any::<bool>());
    let asked_for =
        asked_for.prop_map(|(method, within)| What::AskedForCredentials { method, within });
    let diverted = (any::<u16>(), name(), name(), code());
    let diverted = diverted.prop_map(|(site, by, to, way)| What::Diverted {
        site: SiteRef::new(site),
        by,
        to,
        way,
    });
    let call = (any::<u64>(), any::<u16>(), step()).prop_map(|(call, site, step)| What::Call {
        call: CallRef::new(call),
        site: SiteRef::new(site),
        step,
    });
    prop_oneof![
        asked().prop_map(What::Request),
        Just(What::StrayResponse),
        defective,
        any::<u32>().prop_map(|bytes| What::Unparseable { bytes }),
        Just(What::StreamWithoutMessage),
        (code(), asked()).prop_map(|(reason, asked)| What::Refused { reason, asked }),
        asked().prop_map(What::Challenged),
        credentials,
        registered(),
        (name(), any::<u8>()).prop_map(|(contact, count)| What::AlienBinding { contact, count }),
        forged,
        asked_for,
        diverted,
        call,
    ]
}

prop_compose! {
    fn event()(at in any::<i64>(), source in source(), what in what()) -> (UnixTime, Event) {
        (UnixTime::from_micros(at), Event { at: Instant::ZERO, source, what })
    }
}

/// Equal names have one text, too.
fn texts(what: &What) -> Vec<Vec<u8>> {
    let names = match what {
        What::Request(asked) | What::Challenged(asked) | What::Refused { asked, .. } => {
            vec![asked.target]
        }
        What::Credentials { account, .. } | What::Registered { account, .. } => vec![*account],
        What::AlienBinding { contact, .. } => vec![*contact],
        What::Diverted { by, to, .. } => vec![*by, *to],
        What::Call {
            step: CallStep::Offered {
                calling, called, ..
            },
            ..
        } => vec![*calling, *called],
        _ => Vec::new(),
    };
    names.iter().map(|name| name.reveal().to_owned()).collect()
}

proptest! {
    #[test]
    fn every_event_comes_back_as_it_was(events in proptest::collection::vec(event(), 1..20)) {
        let base = UnixTime::from_micros(1_800_000_000_000_000);
        let (mut encoder, mut bytes) = (Encoder::new(base), Vec::new());
        for (at, event) in &events {
            let before = bytes.len();
            encoder.event(&mut bytes, *at, event);
            prop_assert!(bytes.len() - before <= RECORD_BYTES_MAX);
        }
        let read: Result<Vec<Kept>, DecodeError> = Decoder::new(KEY, base, &bytes).collect();
        let read = read.unwrap();
        prop_assert_eq!(read.len(), events.len());
        for (kept, (at, event)) in read.iter().zip(&events) {
            prop_assert_eq!(kept, &Kept::Event { at: *at, event: *event });
            if let Kept::Event { event: read, .. } = kept {
                prop_assert_eq!(texts(&read.what), texts(&event.what));
            }
        }
    }

    #[test]
    fn bytes_of_anybody_end_in_a_typed_error_or_in_events(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let records = Decoder::new(KEY, UnixTime::from_micros(0), &bytes).count();
        prop_assert!(records <= bytes.len());
    }

    #[test]
    fn half_a_record_is_an_error(event in event(), cut in any::<prop::sample::Index>()) {
        let base = UnixTime::from_micros(0);
        let mut bytes = Vec::new();
        Encoder::new(base).event(&mut bytes, event.0, &event.1);
        let cut = cut.index(bytes.len());
        let read: Vec<_> = Decoder::new(KEY, base, &bytes[..cut]).collect();
        prop_assert_eq!(read.len(), usize::from(cut > 0));
        prop_assert!(read.iter().all(Result::is_err));
    }
}

/// The strategy above makes every kind of event there is.
#[test]
fn no_kind_of_event_is_forgotten() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = [false; 19];
    seen[usize::from(PLACE)] = true;
    for _ in 0..2_000 {
        let what = what().new_tree(&mut runner).unwrap().current();
        seen[usize::from(tag(&what))] = true;
    }
    assert_eq!(seen, [true; 19]);
}

#[test]
fn a_name_is_the_same_under_the_key_of_whoever_reads_it() {
    let (other, base) = (HashKey::from_bytes([9; 16]), UnixTime::from_micros(0));
    let address = IpAddr::from([192, 0, 2, 7]);
    let mut bytes = Vec::new();
    Encoder::new(base).place(&mut bytes, address, Name::new(KEY, b"alice"));
    let read: Vec<_> = Decoder::new(other, base, &bytes).collect();
    let account = Name::new(other, b"alice");
    assert_eq!(read, [Ok(Kept::Place { address, account })]);
}

/// What a release has written every later one reads: these bytes never change under one version.
#[test]
fn the_bytes_of_version_one_are_what_they_were() {
    let event = Event {
        at: Instant::ZERO,
        source: Source {
            remote: "192.0.2.7:5060".parse().unwrap(),
            listener: ListenerId::new(1),
            transport: Transport::Tcp,
            proof: Proof::StreamEstablished,
            principal: Principal::Stranger,
        },
        what: What::Refused {
            reason: Refusal::Stranger,
            asked: Asked {
                method: MethodKind::Options,
                target: Name::new(KEY, b"100"),
                shape: Shape {
                    fingerprint: Fingerprint(0x0102_0304_0506_0708),
                    tells: Tells::DECIMAL_BRANCH,
                },
                transaction: 9,
            },
        },
    };
    let base = UnixTime::from_micros(1_000);
    let mut bytes = Vec::new();
    Encoder::new(base).event(&mut bytes, UnixTime::from_micros(1_100), &event);
    let source = [0x32, 192, 0, 2, 7, 0xc4, 0x13, 1];
    let asked = [7, 3, b'1', b'0', b'0', 8, 7, 6, 5, 4, 3, 2, 1, 4];
    let mut expected = vec![6, 0xc8, 0x01];
    expected.extend_from_slice(&source);
    expected.push(7);
    expected.extend_from_slice(&asked);
    expected.extend_from_slice(&[9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((VERSION, bytes), (1, expected));
}

/// What the manual says of the room that events take.
#[test]
fn a_call_takes_142_bytes_and_a_scanners_request_33() {
    let at = |micros| UnixTime::from_micros(1_800_000_000_000_000 + micros);
    let shape = Shape {
        fingerprint: Fingerprint(u64::MAX),
        tells: Tells::FROM_EQUALS_TO.with(Tells::DECIMAL_CALL_ID),
    };
    let event = |principal, what| Event {
        at: Instant::ZERO,
        source: Source {
            remote: "192.0.2.7:5060".parse().unwrap(),
            listener: ListenerId::new(0),
            transport: Transport::Udp,
            proof: Proof::None,
            principal,
        },
        what,
    };
    let second = Duration::from_secs(1);
    let steps = [
        CallStep::Offered {
            direction: Direction::Inbound,
            calling: Name::new(KEY, b"+13125550001"),
            called: Name::new(KEY, b"+13305550100"),
            emergency: false,
            calling_is_own: false,
            attestation: Attestation::Absent,
            shape,
        },
        CallStep::Ringing,
        CallStep::Answered,
        CallStep::Ended {
            by: EndedBy::Caller,
            talked: 180 * second,
            heard_caller: 9_000,
            heard_callee: 9_000,
        },
    ];
    let size = |events: &[Event]| {
        let (mut encoder, mut bytes) = (Encoder::new(at(0)), Vec::new());
        for (index, event) in events.iter().enumerate() {
            encoder.event(&mut bytes, at(index as i64 * 60_000_000), event);
        }
        bytes.len()
    };
    let call = steps.map(|step| {
        let (call, site) = (CallRef::new(u64::MAX), SiteRef::new(0));
        let what = What::Call { call, site, step };
        event(Principal::Trunk(PeerRef::new(0)), what)
    });
    let asked = Asked {
        method: MethodKind::Register,
        target: Name::new(KEY, b"100"),
        shape,
        transaction: u64::MAX,
    };
    let reason = Refusal::Stranger;
    let scan = event(Principal::Stranger, What::Refused { reason, asked });
    assert_eq!((size(&call), size(&[scan])), (142, 33));
}
