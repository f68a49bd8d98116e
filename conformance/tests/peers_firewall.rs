//! Blocks in the kernel: SIPVicious from a network namespace of its own against an edge that has
//! nftables in another, a real phone and Kamailio as the carrier beside it.

use std::net::{Ipv4Addr, UdpSocket};

use ringfence_conformance::scene::A_WHILE;
use ringfence_conformance::town::{AGENT, FAR_NUMBER, FLOOD, PHONE, Town};
use ringfence_peers::edge::{PBX, Setup};
use ringfence_peers::wait;

const SCANNER: u8 = 66;
const GUESSER: u8 = 77;
const PACKETS: u64 = 20;

/// What the kernel counted of a blocked source, and for how many seconds it is blocked.
fn counted(town: &Town, source: Ipv4Addr) -> Option<(u64, u64)> {
    let elements = town.kernel_set("drop4");
    let mut all = elements.iter().map(|element| &element["elem"]);
    let found = all.find(|element| element["val"] == source.to_string())?;
    let timeout = found["timeout"].as_u64()?;
    Some((found["counter"]["packets"].as_u64()?, timeout))
}

fn stands(town: &Town, source: Ipv4Addr) -> Vec<(String, String)> {
    let all = town.blocks();
    let of_it = all
        .iter()
        .filter(|block| block["subject"].to_string().contains(&source.to_string()));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    of_it
        .map(|block| (text(&block["action"]), text(&block["stands"])))
        .collect()
}

fn register(socket: &UdpSocket, town: &Town, number: u64) {
    let (edge, local) = (
        town.edge().outside(),
        socket.local_addr().expect("an address"),
    );
    let request = format!(
        "REGISTER sip:summit.example SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKr{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@summit.example>;tag=r{number}\r\n\
         To: <sip:alice@summit.example>\r\nCall-ID: r{number}@{local}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:alice@{local}>\r\nUser-Agent: {AGENT}\r\nContent-Length: 0\r\n\r\n"
    );
    // What the kernel drops is sent all the same.
    let _sent = socket.send_to(request.as_bytes(), edge);
}

#[test]
fn a_guesser_ends_in_the_kernel_and_the_customers_own_are_asked_for_first() {
    let name = "a_guesser_ends_in_the_kernel_and_the_customers_own_are_asked_for_first";
    let programs = ["svmap", "svwar", "svcrack", "baresip", "kamailio", "sipp"];
    let Some(mut town) = Town::open(name, &programs, &Setup::default()) else {
        return;
    };
    let (carrier, _pbx) = (town.open_carrier(), town.open_pbx());
    let mut phone = town.open_phone();
    let (scanner, guesser) = (town.stranger(SCANNER), town.stranger(GUESSER));

    // Nothing that a scanner sends over UDP proves where it is: it is slowed, and that is all.
    town.scan("svmap", scanner, &["--fromname", AGENT]);
    town.scan(
        "svwar",
        scanner,
        &[
            "--force",
            "-e",
            "100-120",
            "-m",
            "REGISTER",
            "--domain",
            "summit.example",
        ],
    );
    wait::until_true("the scanner is slowed", A_WHILE, || {
        let (found, decided) = town.said_of(scanner);
        found.contains(&"scan".to_owned()) && decided.contains(&"tarpit".to_owned())
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", town.said_of(scanner)));
    assert!(!town.said_of(scanner).1.contains(&"block".to_owned()));
    assert_eq!(town.kernel_set("drop4"), [] as [serde_json::Value; 0]);

    // Whoever answers our nonce is where he says.
    let guesses = ["-u", "alice", "-r", "100-140", "--domain", "summit.example"];
    let mut guessing = town.start_scan("svcrack", guesser, &guesses);
    let block = ("block".to_owned(), "nftables".to_owned());
    wait::until_true("the guesser is blocked", A_WHILE, || {
        stands(&town, guesser).contains(&block)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", town.said_of(guesser), guessing.tail()));
    // And may be told to others, where a scanner whose address is not proved is not.
    let told = town.edge().ask(&["feed", "export"]).expect("a feed");
    let told = told["addresses"].to_string();
    assert!(told.contains(&guesser.to_string()), "{told}");
    assert!(!told.contains(&scanner.to_string()), "{told}");
    let (before, timeout) = counted(&town, guesser).expect("in the kernel");
    assert!((1..=86_400).contains(&timeout), "{timeout}");
    let place = (guesser, 0);
    let socket = town
        .street
        .inside(|| UdpSocket::bind(place).expect("bound"));
    (0..PACKETS).for_each(|number| register(&socket, &town, number));
    wait::until_true("its packets end in the kernel", A_WHILE, || {
        counted(&town, guesser).is_some_and(|(now, _)| now >= before + PACKETS)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", town.kernel_set("drop4")));

    guessing.stop();
    let printed = guessing.lines().join("\n");
    assert!(!printed.contains("The password"), "{printed}");

    // The customer's own are in the sets that the kernel asks first, so that not even a hand that
    // writes them into the drop set keeps them out.
    let pbx = town.scene.network.inside(PBX);
    for (set, own) in [
        ("own4", PHONE),
        ("peers4", town.carrier_address()),
        ("peers4", pbx),
    ] {
        assert!(town.kernel_has(set, own), "{own} is not in {set}");
        let by_hand = format!("nft add element inet ringfence drop4 {{ {own} timeout 600s }}");
        town.host.run(&by_hand).expect("root may");
    }
    town.calls_come_in(2);
    town.calls_go_out(FAR_NUMBER, 2);
    town.phone_calls(&mut phone, FAR_NUMBER);
    town.phone_calls(&mut phone, "911");
    for own in [PHONE, town.carrier_address(), pbx] {
        // Gone meanwhile, perhaps: the edge writes the set anew when a block ends.
        assert!(counted(&town, own).is_none_or(|(packets, _)| packets == 0));
    }

    let removed = town
        .edge()
        .command(&["blocks", "remove", &guesser.to_string()]);
    assert!(removed.expect("asked").status.success());
    assert!(!town.kernel_has("drop4", guesser));
    assert_eq!(stands(&town, guesser), []);
    socket
        .set_read_timeout(Some(std::time::Duration::from_millis(200)))
        .expect("set");
    let mut number = PACKETS;
    wait::until_true("it is answered again", A_WHILE, || {
        number += 1;
        register(&socket, &town, number);
        socket.recv(&mut [0; 2_048]).is_ok()
    })
    .expect("answered");

    drop((phone, carrier));
    town.scene.edge.process().stop();
    let table = town.host.ask("nft list tables").expect("tables");
    assert!(!table.contains("ringfence"), "{table}");
}

#[test]
fn a_flood_over_tcp_ends_in_the_kernel_and_only_its_source_does() {
    let name = "a_flood_over_tcp_ends_in_the_kernel_and_only_its_source_does";
    let programs = ["sipp", "kamailio", "baresip"];
    let Some(town) = Town::open(name, &programs, &Setup::default()) else {
        return;
    };
    let (_carrier, _pbx) = (town.open_carrier(), town.open_pbx());
    let mut phone = town.open_phone();
    let (source, neighbour) = (town.stranger(67), town.stranger(68));
    // A connection is a proof of where somebody is.
    let options = FLOOD.replace("METHOD", "OPTIONS");
    let flood = town.flood_by("t1", &options, source, 5_060, 100);
    wait::until_true("the flood is blocked", A_WHILE, || {
        town.kernel_has("drop4", source)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", town.said_of(source), flood.errors()));
    wait::until_true("the decision is told", A_WHILE, || {
        let (_, decided) = town.said_of(source);
        decided.contains(&"block".to_owned())
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", town.said_of(source)));

    // Neither by a new connection nor over UDP does anything of it arrive.
    let before = counted(&town, source).map_or(0, |(packets, _)| packets);
    let edge = std::net::SocketAddr::from(town.edge().outside());
    let patience = std::time::Duration::from_millis(500);
    let connected = |from: Ipv4Addr| {
        town.street
            .run(&format!(
                "ip route replace {}/32 dev edge0 src {from}",
                edge.ip()
            ))
            .expect("a route");
        town.street
            .inside(|| std::net::TcpStream::connect_timeout(&edge, patience).is_ok())
    };
    assert!(!connected(source));
    wait::until_true("its packets end in the kernel", A_WHILE, || {
        counted(&town, source).is_some_and(|(now, _)| now > before)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", town.kernel_set("drop4")));
    wait::until_true("its neighbour is heard", A_WHILE, || connected(neighbour)).expect("heard");
    town.phone_calls(&mut phone, "911");
    town.calls_come_in(1);
}
