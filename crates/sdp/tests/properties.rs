//! Properties over generated and over damaged descriptions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use ringfence_sdp::offer_answer::{check_answer, mend_answer};
use ringfence_sdp::{
    Address, Attribute, Connection, Crypto, Defects, Direction, Forbidden, Hide, Media, MediaKind,
    Origin, Proto, SessionDescription, Text, fuzz, hide,
};

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
    ]
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9._-]{0,20}"
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        4 => ip().prop_map(Address::Ip),
        1 => ("[a-z]{1,8}\\.example", any::<bool>())
            .prop_map(|(name, v6)| Address::Name { name: Text::from(name.as_str()), v6 }),
    ]
}

fn connection() -> impl Strategy<Value = Connection> {
    address().prop_map(|address| Connection {
        address,
        ttl: None,
        count: None,
    })
}

fn origin() -> impl Strategy<Value = Origin> {
    (token(), any::<u64>(), any::<u64>(), address()).prop_map(
        |(username, session_id, version, address)| Origin {
            username: Text::from(username.as_str()),
            session_id,
            version,
            address,
        },
    )
}

fn attribute() -> impl Strategy<Value = Attribute> {
    prop_oneof![
        token().prop_map(|name| Attribute::flag(&name)),
        (token(), vec(any::<u8>(), 0..60)).prop_map(|(name, value)| Attribute::new(&name, value)),
        Just(Attribute::flag("sendonly")),
        Just(Attribute::flag("rtcp-mux")),
        (0u8..128, token()).prop_map(|(number, name)| {
            Attribute::new("rtpmap", format!("{number} {name}/8000"))
        }),
        (ip(), any::<u16>()).prop_map(|(ip, port)| {
            Attribute::new("candidate", format!("1 1 UDP 1 {ip} {port} typ host"))
        }),
        (token(), ip()).prop_map(|(name, ip)| Attribute::new(&name, format!("x={ip};y"))),
    ]
}

fn proto() -> impl Strategy<Value = Proto> {
    prop_oneof![
        Just(Proto::RtpAvp),
        Just(Proto::RtpAvpf),
        Just(Proto::RtpSavp),
        Just(Proto::UdpTlsRtpSavpf),
        Just(Proto::Udptl),
        Just(Proto::Other(Text::from("TCP/MSRP"))),
    ]
}

fn media() -> impl Strategy<Value = Media> {
    (
        prop_oneof![
            Just(MediaKind::Audio),
            Just(MediaKind::Video),
            Just(MediaKind::Image)
        ],
        any::<u16>(),
        1u16..,
        proto(),
        vec(0u8..128, 1..6),
        proptest::option::of(connection()),
        vec(attribute(), 0..8),
    )
        .prop_map(
            |(kind, port, port_count, proto, formats, connection, attributes)| {
                let formats: Vec<String> = formats.iter().map(u8::to_string).collect();
                let mut media = Media::new(kind, port, proto, formats.iter().map(String::as_str));
                media.port_count = port_count;
                media.connection = connection;
                attributes
                    .into_iter()
                    .for_each(|attribute| media.attributes.push(attribute));
                media
            },
        )
}

fn description() -> impl Strategy<Value = SessionDescription> {
    (
        origin(),
        "[ -~]{1,30}",
        proptest::option::of(connection()),
        vec(attribute(), 0..5),
        vec(media(), 0..4),
    )
        .prop_map(|(origin, name, connection, attributes, media)| {
            let mut description = SessionDescription::new(origin);
            description.session_name = Text::from(name.as_str());
            description.connection = connection;
            attributes
                .into_iter()
                .for_each(|attribute| description.attributes.push(attribute));
            description.media = media;
            description
        })
}

/// A description as a peer might send it, with a few bytes changed, removed or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0u8..5);
    (description(), vec(damage, 0..8)).prop_map(|(description, damages)| {
        let mut bytes = description.to_bytes();
        for (at, byte, how) in damages {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                3 => bytes.insert(at, b"\r\n =:/."[usize::from(byte) % 7]),
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                bytes.push(byte);
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(description in description()) {
        let read = SessionDescription::parse(&description.to_bytes());
        let read = read.expect("what we write can be read");
        prop_assert!(Defects::NON_UTF8.contains(read.defects()), "{:?}", read.defects());
        prop_assert_eq!(read.to_bytes(), description.to_bytes());
        if read.defects().is_empty() {
            prop_assert_eq!(read, description);
        }
    }

    #[test]
    fn damaged_descriptions_never_panic(bytes in damaged()) {
        fuzz::description(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        fuzz::description(&bytes);
    }

    #[test]
    fn text_of_sdp_letters_never_panics(text in "([vosiuepcbtrzkam]=[ -~]{0,30}(\r\n|\n|\r)?){0,20}") {
        fuzz::description(text.as_bytes());
    }

    #[test]
    fn no_address_of_the_other_side_is_left(description in description(), other in ip()) {
        let ours: IpAddr = "203.0.113.10".parse().expect("an address");
        let mut inside = Vec::new();
        inside.extend(description.origin.address.ip());
        inside.extend(description.connection.iter().filter_map(|line| line.address.ip()));
        for media in &description.media {
            inside.extend(media.connection.iter().filter_map(|line| line.address.ip()));
        }
        inside.push(other);
        let mut hidden = description;
        hidden.attributes.push(Attribute::new("x", format!("sip:u@{other}")));
        let with = Hide { address: ours, session_id: 1, version: 1, forbidden: &[Forbidden::Address(other)] };
        hide(&mut hidden, &with);
        let text = hidden.to_string();
        for address in inside.iter().filter(|address| **address != ours && !address.is_unspecified()) {
            prop_assert!(!text.contains(&format!("@{address}")), "{address} in {text}");
            prop_assert!(!text.contains(&format!(" {address}\r")), "{address} in {text}");
            prop_assert!(!text.contains(&format!("={address};")), "{address} in {text}");
        }
        prop_assert!(!text.contains("candidate"));
    }

    #[test]
    fn a_mirrored_answer_always_fits(offer in description(), host in ip()) {
        let mut offer = offer;
        offer.connection.get_or_insert(Connection::from(host));
        let mut answer = offer.clone();
        mend_answer(&offer, &mut answer);
        for (offered, answered) in offer.media.iter().zip(&answer.media) {
            let fits = offer.direction(offered).allows_answer(answer.direction(answered));
            prop_assert!(fits || answered.is_rejected());
        }
        prop_assert_eq!(check_answer(&offer, &answer), Ok(()));
    }

    #[test]
    fn answers_never_exceed_their_offers(offered in 0usize..4, wanted in 0usize..4) {
        use Direction::*;
        let all = [SendRecv, SendOnly, RecvOnly, Inactive];
        let answer = all[offered].answer(all[wanted]);
        prop_assert!(all[offered].allows_answer(answer));
        prop_assert!(!answer.sends() || all[wanted].sends());
        prop_assert!(!answer.receives() || all[wanted].receives());
    }

    #[test]
    fn keys_written_read_back(tag in 0u32..1_000_000_000, suite in "[A-Z0-9_]{1,30}", key in "[A-Za-z0-9+/=]{1,60}") {
        let crypto = Crypto::new(tag, &suite, &key);
        let attribute = crypto.to_attribute();
        let read = Crypto::parse(attribute.value().unwrap_or_default());
        prop_assert_eq!(read.as_ref(), Ok(&crypto));
        prop_assert_eq!(crypto.inline_keys().collect::<Vec<_>>(), [key.as_str()]);
    }
}
