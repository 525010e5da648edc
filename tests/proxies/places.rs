//! Places among the handshakes, of clients behind a proxy: whose each is, and who gives one up.

use super::{handshake, lines};
use crate::arrivals::is_over;
use crate::support::tls::{self, tunnel_behind};
use crate::support::{Client, Gateway, PATIENCE, http, wait};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

const PATH: &str = "/ws/chat/1/places/";

/// Expects a PROXY header of whoever is on this machine.
const PROXY: [&str; 2] = [
    "proxy.trusted=[\"127.0.0.1\", \"127.0.0.9\", \"unix\"]",
    "proxy.header=proxy_protocol",
];

/// Two places for each address.
const TWO_EACH: &str = "limits.handshakes_per_ip=2";

/// The first bytes of a ClientHello.
const HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// The first bytes of a head.
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: l";

fn line(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let proxy = if client.contains(':') {
        "::1"
    } else {
        "10.0.0.1"
    };
    format!("PROXY {family} {client} {proxy} 56324 443\r\n").into_bytes()
}

fn refused(gateway: &Gateway, reason: &str) -> f64 {
    let series = format!("supportal_handshakes_refused_total{{reason=\"{reason}\"}}");
    gateway.metric(&series)
}

fn in_progress(gateway: &Gateway) -> f64 {
    gateway.metric("supportal_handshakes_in_progress")
}

/// Says this, and nothing more.
fn begin(gateway: &Gateway, said: &[&[u8]]) -> TcpStream {
    let mut stream = http::open(gateway.public());
    stream.write_all(&said.concat()).expect("said");
    stream
}

/// Three connections that begin with these headers: are all of them one client's, who may have two?
fn check_whose_they_are(gateway: &Gateway, headers: [Vec<u8>; 3], begins: &[u8], is_one: bool) {
    let what = headers[0].escape_ascii().to_string();
    let before = refused(gateway, "handshakes");
    let slow: Vec<_> = headers
        .iter()
        .map(|it| begin(gateway, &[it, begins]))
        .collect();
    if is_one {
        wait::until(&format!("one too many of {what}"), PATIENCE, || {
            refused(gateway, "handshakes") == before + 1.0 && in_progress(gateway) == 2.0
        });
    } else {
        // Somebody who is refused for its number is so before the head has come to its end.
        for mut stream in slow {
            let rest = handshake(PATH, "");
            let rest = rest.as_bytes().get(begins.len()..).expect("longer");
            stream.write_all(rest).expect("the rest");
            let answer = http::read_response(&mut stream).map(|(answer, _)| answer.status);
            assert_eq!(answer, Some(101), "{what}");
        }
        assert_eq!(refused(gateway, "handshakes"), before, "{what}");
        return;
    }
    drop(slow);
    let none = || in_progress(gateway) == 0.0;
    wait::until("all of them gone", PATIENCE, none);
}

/// What a proxy may say, and whether that is one client.
fn headers() -> Vec<([Vec<u8>; 3], bool)> {
    let of_version_2 = || lines::binary(0x21, &[]);
    let local = || lines::binary(0x20, &[]);
    vec![
        (["192.0.2.1"; 3].map(line), true),
        ([of_version_2(), of_version_2(), of_version_2()], true),
        (
            [line("192.0.2.1"), of_version_2(), line("::ffff:192.0.2.1")],
            true,
        ),
        (
            ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:3::"].map(line),
            true,
        ),
        (
            ["2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:4::1"].map(line),
            false,
        ),
        (["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(line), false),
        // The proxy itself, which may have many.
        ([0; 3].map(|_| b"PROXY UNKNOWN\r\n".to_vec()), false),
        ([local(), local(), local()], false),
        // Another proxy, in front of this one.
        (["127.0.0.9"; 3].map(line), false),
    ]
}

#[test]
fn behind_a_proxy_each_client_has_the_places_of_an_address() {
    let gateway = Gateway::start(&[&PROXY[..], &[TWO_EACH]].concat());
    for (headers, is_one) in headers() {
        let begins = &handshake(PATH, "").into_bytes()[..20];
        check_whose_they_are(&gateway, headers, begins, is_one);
    }
}

#[test]
fn who_is_one_too_many_behind_a_proxy_is_told() {
    let gateway = Gateway::start(&[&PROXY[..], &[TWO_EACH]].concat());
    let client = line("192.0.2.1");
    let _slow = [0; 2].map(|_| begin(&gateway, &[&client, HEAD]));
    wait::until("both", PATIENCE, || in_progress(&gateway) == 2.0);
    wait::until("a refusal", PATIENCE, || {
        let mut third = begin(&gateway, &[&client, HEAD]);
        let answer = http::read_response(&mut third).map(|(answer, _)| answer);
        answer.is_some_and(|answer| {
            assert!(answer.header("retry-after").is_some());
            answer.status == 503
        })
    });
    // Whoever says all at once needs no place.
    let stream = begin(&gateway, &[&client]);
    drop(stream);
    let quick = [&line("192.0.2.2"), handshake(PATH, "").as_bytes()].concat();
    let answer = gateway.exchange(&quick).map(|answer| answer.status);
    assert_eq!(answer, Some(101));
}

#[test]
fn behind_a_proxy_each_client_has_the_places_of_an_address_for_tls() {
    let gateway = tls::start(&[&PROXY[..], &[TWO_EACH]].concat());
    for begins in [HELLO, b""] {
        for (headers, is_one) in headers() {
            if is_one {
                check_whose_they_are(&gateway, headers, begins, true);
            }
        }
    }
    // Established, and silent: the third of one client is cut off, those of others and the proxy's own are not.
    let config = Arc::new(tls::config(rustls::ALL_VERSIONS));
    let open = |header: &[u8]| tunnel_behind(header, gateway.public(), &config, "localhost");
    let before = refused(&gateway, "handshakes");
    let client = line("192.0.2.1");
    let _two = [
        open(&client).expect("the first"),
        open(&client).expect("the second"),
    ];
    let _third = open(&client);
    wait::until("the third to be cut off", PATIENCE, || {
        refused(&gateway, "handshakes") == before + 1.0
    });
    let local = lines::binary(0x20, &[]);
    let others = [&line("192.0.2.2"), &local, &local, &local];
    let others = others.map(|header| open(header).expect("a tunnel").0);
    for stream in others {
        let member = Client::open_over(stream, PATH, &[]);
        assert!(
            member.is_ok(),
            "{:?}",
            member.err().map(|refusal| refusal.status)
        );
    }
    assert_eq!(refused(&gateway, "handshakes"), before + 1.0);
}

#[test]
fn behind_a_proxy_at_a_unix_socket_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let listen = format!("server.listen_unix={}", path.display());
    let gateway = Gateway::start(&[&PROXY[..], &[TWO_EACH, &listen]].concat());
    let begin = |client: &str| {
        let mut stream = UnixStream::connect(&path).expect("a connection");
        let said = [&line(client), HEAD].concat();
        stream.write_all(&said).expect("said");
        stream
    };
    let _others = ["192.0.2.2", "192.0.2.3"].map(begin);
    let _slow = [0; 3].map(|_| begin("192.0.2.1"));
    wait::until("one too many", PATIENCE, || {
        refused(&gateway, "handshakes") == 1.0 && in_progress(&gateway) == 4.0
    });
}

#[test]
fn where_a_head_names_the_client_the_places_are_counted_from_there_on() {
    let site = TcpListener::bind("127.0.0.1:0").expect("a site that never answers");
    let url = format!(
        "auth.forward.url=http://{}/",
        site.local_addr().expect("bound")
    );
    let gateway = Gateway::start(&[
        "proxy.trusted=127.0.0.1",
        "proxy.header=x-forwarded-for",
        "auth.mode=[\"forward\"]",
        "auth.forward.timeout=30s",
        &url,
        TWO_EACH,
    ]);
    let mut number = 0;
    let mut ask = |client: &str| {
        number += 1;
        let lines = format!(
            "X-Forwarded-For: {client}\r\nCookie: sessionid={number}\r\nOrigin: http://chat.example\r\n"
        );
        begin(&gateway, &[handshake(PATH, &lines).as_bytes()])
    };
    let is_asked = || site.accept().expect("a question").0;
    let held = [ask("192.0.2.1"), ask("192.0.2.1")];
    let asked = [is_asked(), is_asked()];
    let mut third = ask("192.0.2.1");
    let answer = http::read_response(&mut third).expect("an answer").0;
    assert_eq!((answer.status, refused(&gateway, "handshakes")), (503, 1.0));
    let other = (ask("192.0.2.2"), is_asked());
    assert_eq!(in_progress(&gateway), 3.0);
    drop((held, asked, other));
}

/// One client has five places, three others have older ones. Who comes next takes those of the one.
fn check_who_gives_up(gateway: &Gateway, begins: &[u8]) {
    let slow = |client: &str| begin(gateway, &[&line(client), begins]);
    let mut singles = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(slow);
    wait::until("the single ones", PATIENCE, || in_progress(gateway) == 3.0);
    let mut many = [0; 5].map(|_| slow("198.51.100.1"));
    wait::until("all of them", PATIENCE, || in_progress(gateway) == 8.0);
    // Until each has been waited for long enough.
    wait::pass(Duration::from_millis(700));
    let mut late = Vec::new();
    for number in 1..=4 {
        late.push(slow(&format!("203.0.113.{number}")));
        wait::until("a place", PATIENCE, || {
            refused(gateway, "slow") == f64::from(number) && in_progress(gateway) == 8.0
        });
    }
    let left = many.each_mut().map(|stream| !is_over(stream));
    assert_eq!(
        left.iter().filter(|is_left| **is_left).count(),
        1,
        "{left:?}"
    );
    assert!(left[4], "the youngest");
    assert!(
        singles
            .iter_mut()
            .chain(&mut late)
            .all(|stream| !is_over(stream))
    );
    assert_eq!(refused(gateway, "handshakes"), 0.0);
}

#[test]
fn of_the_client_that_holds_most_places_the_slowest_gives_one_up() {
    let settings = ["limits.handshakes=8", "limits.handshakes_per_ip=0"];
    let settings = [&PROXY[..], &settings].concat();
    check_who_gives_up(&Gateway::start(&settings), HEAD);
    check_who_gives_up(&tls::start(&settings), HELLO);
}
