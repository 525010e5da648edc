//! Proxies in front of a node that speaks TLS itself.

use super::{handshake, lines};
use crate::support::tls::{self, tunnel, tunnel_behind, tunnel_with};
use crate::support::{Client, Gateway, PATIENCE, http, user, wait};
use rustls::ClientConfig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

const PATH: &str = "/ws/chat/1/encrypted/";

fn config() -> Arc<ClientConfig> {
    Arc::new(tls::config(rustls::ALL_VERSIONS))
}

/// Passes TLS through, and expects a PROXY header of whoever is on this machine.
fn gateway(settings: &[&str]) -> Gateway {
    let base = [
        "proxy.trusted=[\"127.0.0.1\"]",
        "proxy.header=proxy_protocol",
    ];
    tls::start(&[&base[..], settings].concat())
}

/// A tunnel behind this header.
fn behind(gateway: &Gateway, header: &[u8]) -> TcpStream {
    let tunnel = tunnel_behind(header, gateway.public(), &config(), "localhost");
    tunnel.expect("a handshake").0
}

/// A tunnel of this client.
fn from(gateway: &Gateway, client: &str) -> TcpStream {
    let line = format!("PROXY TCP4 {client} 10.0.0.1 56324 443\r\n");
    behind(gateway, line.as_bytes())
}

#[test]
fn a_proxy_header_in_front_of_tls_says_who_the_client_is() {
    let gateway = gateway(&["limits.connections_per_ip=1", "http.require_tls=true"]);
    let open = |client: &str| {
        let stream = from(&gateway, client);
        Client::open_over(stream, PATH, &[]).map_err(|refusal| refusal.status)
    };
    let mut first = open("192.0.2.1").expect("101");
    assert_eq!(open("192.0.2.1").err(), Some(429), "the same client");
    let mut second = open("192.0.2.2").expect("101");
    first.skip_welcome();
    second.skip_welcome();
    first.send_text(&user("hello"));
    assert!(second.receive_text().contains("hello"));
    // By the control plane, more than once.
    let mut stream = from(&gateway, "192.0.2.3");
    for _ in 0..2 {
        let page = b"GET /client.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(page).expect("a request");
        let (answer, rest) = http::read_response(&mut stream).expect("an answer");
        assert_eq!((answer.status, rest.len()), (200, 0));
    }
}

#[test]
fn a_header_of_version_2_in_front_of_tls_says_who_the_client_is() {
    let gateway = gateway(&["limits.connections_per_ip=1", "http.require_tls=true"]);
    let open =
        |stream: TcpStream| Client::open_over(stream, PATH, &[]).map_err(|refusal| refusal.status);
    // From 192.0.2.1, with the name that the client has asked for (PP2_TYPE_AUTHORITY) and a checksum as extensions.
    let extensions = [&[2, 0, 9][..], b"localhost", &[3, 0, 4, 0, 0, 0, 0]].concat();
    let header = lines::binary(0x21, &extensions);
    let _first = open(behind(&gateway, &header)).expect("101");
    let again = open(behind(&gateway, &lines::binary(0x21, &[])));
    assert_eq!(again.err(), Some(429), "the same client");
    assert_eq!(open(from(&gateway, "192.0.2.1")).err(), Some(429));
    let _other = open(from(&gateway, "192.0.2.2")).expect("101");
    // The proxy itself.
    let _proxy = open(behind(&gateway, &lines::binary(0x20, &[]))).expect("101");
    // The longest that is read, and one byte more.
    for (length, is_read) in [(505_usize, true), (506, false)] {
        let mut extension = vec![4];
        extension.extend(u16::try_from(length).expect("short").to_be_bytes());
        extension.resize(3 + length, 0);
        let header = lines::binary(0x21, &extension);
        assert_eq!(header.len(), 31 + length);
        let tunnel = tunnel_behind(&header, gateway.public(), &config(), "localhost");
        assert_eq!(tunnel.is_ok(), is_read, "{length}");
    }
    let failed = "supportal_tls_handshakes_failed_total{reason=\"proxy\"}";
    assert_eq!(gateway.metric(failed), 1.0);
}

#[test]
fn in_front_of_tls_a_trusted_proxy_says_its_header_and_nobody_else_does() {
    let expecting = gateway(&[]);
    assert!(tunnel_with(expecting.public(), &config(), "localhost").is_err());
    let failed = "supportal_tls_handshakes_failed_total{reason=\"proxy\"}";
    assert_eq!(expecting.metric(failed), 1.0);
    let strangers = tls::start(&[
        "proxy.trusted=[\"10.0.0.0/8\"]",
        "proxy.header=proxy_protocol",
    ]);
    let line = b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n";
    assert!(tunnel_behind(line, strangers.public(), &config(), "localhost").is_err());
    assert!(Client::open_over(tunnel(&strangers), PATH, &[]).is_ok());
}

#[test]
fn a_proxy_that_leaves_at_once_behind_a_part_of_its_header_is_forgotten_at_once() {
    let gateway = gateway(&["server.handshake_timeout=60s"]);
    let line = b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n";
    let mut gone = 0.0;
    for said in [
        &line[..1],
        &line[..20],
        line,
        &[&line[..], b"\x16"].concat(),
    ] {
        for _ in 0..50 {
            let mut stream = http::open(gateway.public());
            stream.write_all(said).expect("sent");
            gone += 1.0;
        }
        wait::until("all of them to be forgotten", PATIENCE, || {
            gateway.metric("supportal_tls_handshakes_failed_total{reason=\"closed\"}") == gone
                && gateway.metric("supportal_handshakes_in_progress") == 0.0
        });
    }
}

#[test]
fn whoever_comes_by_tls_is_not_sent_to_it() {
    let gateway = tls::start(&["http.require_tls=true"]);
    assert!(Client::open_over(tunnel(&gateway), PATH, &[]).is_ok());
    let mut stream = tunnel(&gateway);
    let page = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(page).expect("a request");
    let answer = http::read_response(&mut stream).expect("an answer").0;
    assert_eq!(answer.status, 200);
}

#[test]
fn a_unix_socket_of_a_node_with_tls_speaks_none_and_is_not_taken_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let listen = format!("server.listen_unix={}", path.display());
    let ask = |settings: &[&str]| {
        let gateway = tls::start(settings);
        let mut stream = UnixStream::connect(&path).expect("a connection");
        stream
            .write_all(handshake(PATH, "").as_bytes())
            .expect("the head");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("a status");
        let member = Client::open_over(tunnel(&gateway), PATH, &[]);
        assert!(member.is_ok(), "both ways in at once");
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(ask(&[&listen]), "HTTP/1.1 101");
    assert_eq!(ask(&[&listen, "http.require_tls=true"]), "HTTP/1.1 403");
}
