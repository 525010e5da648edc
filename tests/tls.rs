//! TLS on the public listener: the same contract, encrypted.

use crate::support::http::{self, Response};
use crate::support::tls::{self, config, file, tunnel, tunnel_with};
use crate::support::{Client, Frame, Gateway, PATIENCE, Signal, frame, user, wait};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Opens a path by TLS.
#[track_caller]
fn open(gateway: &Gateway, path: &str) -> Client {
    let refused = |refusal: Response| panic!("{path}: {} {}", refusal.status, refusal.text());
    Client::open_over(tunnel(gateway), path, &[]).unwrap_or_else(refused)
}

#[track_caller]
fn join(gateway: &Gateway, session: &str) -> Client {
    let mut client = open(gateway, &format!("/ws/chat/1/{session}/"));
    client.skip_welcome();
    client
}

/// One request by TLS.
#[track_caller]
fn exchange(gateway: &Gateway, request: &[u8]) -> Response {
    let mut stream = tunnel(gateway);
    stream.write_all(request).expect("the request");
    http::read_response(&mut stream).expect("an answer").0
}

/// Reads on until `said` holds this text.
#[track_caller]
fn read_until(stream: &mut impl Read, said: &mut Vec<u8>, text: &str) {
    while !String::from_utf8_lossy(said).contains(text) {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).expect("more");
        assert!(count > 0, "closed");
        said.extend_from_slice(&more[..count]);
    }
}

#[test]
fn members_chat_by_both_versions_of_tls() {
    let gateway = tls::start(&[]);
    let [mut old, mut new] = [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| {
        let config = Arc::new(config(&[version]));
        let tunnel = tunnel_with(gateway.public(), &config, "localhost");
        let client = Client::open_over(tunnel.expect("a handshake").0, "/ws/chat/1/both/", &[]);
        client.expect("101")
    });
    old.skip_welcome();
    new.skip_welcome();
    for number in 0..100 {
        let speaker = if number % 2 == 0 { &mut old } else { &mut new };
        speaker.send_text(&user(&number.to_string()));
        for member in [&mut old, &mut new] {
            assert_eq!(member.receive_json()["message"], number.to_string());
        }
    }
    assert_eq!(
        gateway.metric("supportal_tls_handshakes_total{kind=\"full\"}"),
        2.0
    );
}

#[test]
fn what_takes_the_control_plane_is_served_and_comes_back_to_a_worker() {
    let gateway = tls::start(&["server.workers=2"]);
    let page = exchange(&gateway, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<html"), "{}", page.text());
    let missing = exchange(&gateway, b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(missing.status, 404);
    // A head in pieces: hyper's, and the connection is a worker's again.
    for session in ["a", "b", "c", "d"] {
        let mut stream = tunnel(&gateway);
        let head = format!(
            "GET /ws/chat/1/{session}/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let (first, rest) = head.split_at(40);
        stream.write_all(first.as_bytes()).expect("sent");
        wait::until("the control plane to have it", PATIENCE, || {
            gateway.metric("supportal_handshakes_in_progress") > 0.0
        });
        stream.write_all(rest.as_bytes()).expect("sent");
        stream
            .write_all(&frame(0x81, user("at once").as_bytes()))
            .expect("sent");
        let (answer, mut said) = http::read_response(&mut stream).expect("an answer");
        assert_eq!(answer.status, 101);
        read_until(&mut stream, &mut said, "at once");
    }
}

#[test]
fn messages_behind_a_head_are_all_heard_whichever_worker_the_room_is_on() {
    let gateway = tls::start(&["server.workers=2", "limits.messages_per_second=0"]);
    for session in ["a", "b", "c", "d", "e", "f"] {
        // Two heads of one room each: at once, and by way of the control plane for its long cookie.
        for cookie in [10, 9000] {
            let mut stream = tunnel(&gateway);
            let mut bytes = format!(
                "GET /ws/chat/1/{session}/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Cookie: {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                "c".repeat(cookie)
            )
            .into_bytes();
            for number in 0..20 {
                let text = format!("{number} {}", "x".repeat(1000));
                bytes.extend(frame(0x81, user(&text).as_bytes()));
            }
            stream.write_all(&bytes).expect("sent");
            let (answer, mut said) = http::read_response(&mut stream).expect("an answer");
            assert_eq!(answer.status, 101);
            read_until(&mut stream, &mut said, "19 xxx");
        }
    }
}

#[test]
fn long_messages_and_many_come_through_whole() {
    let gateway = tls::start(&["limits.messages_per_second=0", "limits.bytes_per_second=0"]);
    let mut client = open(&gateway, "/ws/chat/1/long/");
    client.skip_welcome();
    for length in [1, 1000, 16_000, 16_384, 30_000] {
        let text = "x".repeat(length);
        client.send_text(&user(&text));
        assert_eq!(client.receive_json()["message"], text);
    }
    let burst: Vec<u8> = (0..300)
        .flat_map(|n| frame(0x81, user(&format!("{n} {}", "y".repeat(500))).as_bytes()))
        .collect();
    client.send_raw(&burst);
    for n in 0..300 {
        let said = client.receive_json()["message"].to_string();
        assert!(said.starts_with(&format!("\"{n} y")), "{said}");
    }
}

#[test]
fn a_slow_reader_gets_what_its_queue_holds_in_order_and_the_account_adds_up() {
    let gateway = tls::start(&[
        "limits.messages_per_second=0",
        "limits.bytes_per_second=0",
        "limits.send_buffer_bytes=8192",
        "queue.capacity=50",
        "queue.overflow=drop_oldest",
    ]);
    let slow = join(&gateway, "slow");
    let mut fast = join(&gateway, "slow");
    let text = "z".repeat(8000);
    for n in 0..1500 {
        fast.send_text(&user(&format!("{n} {text}")));
        assert!(fast.receive_text().contains(&format!("\"{n} z")));
    }
    wait::until("drops", PATIENCE, || {
        gateway.metric("supportal_deliveries_dropped_total{cause=\"capacity\"}") > 0.0
    });
    let (mut slow, mut last) = (slow, None);
    while last != Some(1499) {
        let said = slow.receive_json()["message"].to_string();
        let number = said.trim_matches('"').split(' ').next().expect("a number");
        let number: u32 = number.parse().expect("a number");
        assert!(
            last.is_none_or(|last| last < number),
            "{number} behind {last:?}"
        );
        last = Some(number);
    }
    gateway.settled_ledger();
}

#[test]
fn a_half_close_gets_what_it_waits_for_and_the_end() {
    let gateway = tls::start(&[]);
    let mut client = join(&gateway, "half");
    client.send_text(&user("last"));
    client.half_close();
    assert_eq!(client.receive_json()["message"], "last");
    client.expect_eof();
    wait::until("the connection to go", PATIENCE, || {
        gateway.metric("supportal_connections") == 0.0
    });
}

#[test]
fn a_close_frame_is_answered_and_the_stream_ends_in_order() {
    let gateway = tls::start(&[]);
    let mut client = join(&gateway, "close");
    client.send_close(1000, "done");
    assert_eq!(client.expect_close(), (1000, "done".to_owned()));
    client.expect_eof();
}

#[test]
fn a_drain_tells_everybody_1012_by_tls_and_exits_0() {
    let gateway = tls::start(&["server.drain_grace=3s"]);
    let mut clients: Vec<Client> = (0..10).map(|_| join(&gateway, "drain")).collect();
    gateway.signal(Signal::Term);
    for client in &mut clients {
        assert_eq!(client.expect_close().0, 1012);
        client.expect_eof();
    }
    drop(clients);
    assert_eq!(
        gateway.wait_exit(Duration::from_secs(6)),
        Some(0),
        "{}",
        gateway.log()
    );
}

#[test]
fn the_name_chooses_the_certificate_and_renewed_files_are_taken_while_nobody_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    let put = |name: &str| {
        for (end, to) in [("pem", &chain), ("key", &key)] {
            std::fs::copy(file(&format!("{name}.{end}")), to).expect("copied");
        }
    };
    put("main");
    let site = format!(
        "tls.sites=[{{names=[\"site.example\", \"*.site.example\"], certificate={:?}, key={:?}}}]",
        file("site.pem"),
        file("site.key")
    );
    let [chain_set, key_set] = [("certificate", &chain), ("key", &key)]
        .map(|(name, path)| format!("tls.{name}={}", path.display()));
    let gateway = Gateway::start(&[&chain_set, &key_set, &site, "tls.poll=50ms"]);
    let config = Arc::new(config(rustls::ALL_VERSIONS));
    let shown = |name: &str| {
        let tunnel = tunnel_with(gateway.public(), &config, name).expect("a handshake");
        tunnel.1.to_vec()
    };
    let der = |name: &str| {
        use rustls::pki_types::pem::PemObject;
        let path = file(&format!("{name}.pem"));
        rustls::pki_types::CertificateDer::from_pem_file(path)
            .expect("PEM")
            .to_vec()
    };
    assert!(shown("localhost") == der("main"));
    assert!(shown("site.example") == der("site"));
    assert!(shown("a.site.example") == der("site"));
    let mut member = join(&gateway, "stays");
    put("renewed");
    wait::until("the renewed certificate", PATIENCE, || {
        shown("localhost") == der("renewed")
    });
    member.send_text(&user("still here"));
    assert_eq!(member.receive_json()["message"], "still here");
    std::fs::write(&chain, "no certificate").expect("written");
    gateway.wait_log("the new certificates are not taken", 1);
    assert!(shown("localhost") == der("renewed"));
    let expiry = gateway.metric("supportal_tls_certificate_expiry_seconds");
    assert_eq!(expiry, 4_733_510_400.0, "2120-01-01");
}

#[test]
fn sighup_takes_renewed_certificates_at_once_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    let put = |name: &str| {
        for (end, to) in [("pem", &chain), ("key", &key)] {
            std::fs::copy(file(&format!("{name}.{end}")), to).expect("copied");
        }
    };
    put("main");
    let sets = [("certificate", &chain), ("key", &key)]
        .map(|(name, path)| format!("tls.{name}={}", path.display()));
    let gateway = Gateway::start(&[&sets[0], &sets[1], "tls.poll=1h"]);
    let config = Arc::new(config(rustls::ALL_VERSIONS));
    let shown = || {
        let tunnel = tunnel_with(gateway.public(), &config, "localhost");
        tunnel.expect("a handshake").1
    };
    let before = shown();
    put("renewed");
    gateway.signal(Signal::Hangup);
    gateway.wait_log("the certificates have been read again", 1);
    let renewed = shown();
    assert!(before != renewed);
    std::fs::write(&key, "").expect("written");
    gateway.signal(Signal::Hangup);
    gateway.wait_log(
        "settings read again are refused, nothing changes: tls.key",
        1,
    );
    assert!(shown() == renewed);
}

#[test]
fn who_speaks_no_tls_is_told_or_closed_upon_and_counted() {
    let gateway = tls::start(&[]);
    let answer = http::get(gateway.public(), "/");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    let mut stream = http::open(gateway.public());
    stream.write_all(b"\x80\x2e\x01\x00\x02").expect("sent");
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest));
    assert!(rest.is_empty(), "{rest:?}");
    let failed = |reason: &str| {
        let series = format!("supportal_tls_handshakes_failed_total{{reason=\"{reason}\"}}");
        gateway.metric(&series)
    };
    assert_eq!((failed("plain_http"), failed("not_tls")), (1.0, 1.0));
}

#[test]
fn a_handshake_that_stands_still_ends_with_the_timeout_and_holds_nobody_up() {
    let gateway = tls::start(&["server.handshake_timeout=1s"]);
    let mut silent = http::open(gateway.public());
    let mut half = http::open(gateway.public());
    half.write_all(&[22, 3, 1, 0, 200, 1]).expect("sent");
    let mut client = join(&gateway, "meanwhile");
    client.send_text(&user("hello"));
    assert_eq!(client.receive_json()["message"], "hello");
    for stream in [&mut silent, &mut half] {
        assert_eq!(stream.read(&mut [0; 8]).expect("the end"), 0);
    }
    let refused = gateway.metric("supportal_handshakes_refused_total{reason=\"timeout\"}");
    assert_eq!(refused, 2.0);
}

/// A client that has said nothing yet.
fn client() -> rustls::ClientConnection {
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let config = Arc::new(config(rustls::ALL_VERSIONS));
    rustls::ClientConnection::new(config, name).expect("a client")
}

#[test]
fn who_says_a_part_of_the_handshake_and_leaves_at_once_is_forgotten_at_once() {
    let gateway = tls::start(&["server.handshake_timeout=60s", "limits.handshakes_per_ip=0"]);
    let mut hello = Vec::new();
    client().write_tls(&mut hello).expect("a hello");
    let mut gone = 0.0;
    for part in [1, 5, 6, hello.len() - 1, hello.len()] {
        for _ in 0..50 {
            let mut stream = http::open(gateway.public());
            stream.write_all(&hello[..part]).expect("sent");
            gone += 1.0;
        }
        wait::until("all of them to be forgotten", PATIENCE, || {
            gateway.metric("supportal_tls_handshakes_failed_total{reason=\"closed\"}") == gone
                && gateway.metric("supportal_handshakes_in_progress") == 0.0
        });
    }
}

#[test]
fn a_member_that_ends_in_the_middle_of_a_record_is_noticed_at_once() {
    let gateway = tls::start(&["server.ping_interval=60s", "limits.connections_per_ip=0"]);
    let head = "GET /ws/chat/1/leaves/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let leave = |_| {
        let mut stream = rustls::StreamOwned::new(client(), http::open(gateway.public()));
        stream.write_all(head.as_bytes()).expect("the head");
        stream.read_exact(&mut [0; 12]).expect("an answer");
        let message = frame(0x81, user("bye").as_bytes());
        let sealed = stream.conn.writer().write_all(&message);
        sealed.expect("sealed");
        let mut record = Vec::new();
        stream.conn.write_tls(&mut record).expect("a record");
        stream.sock.write_all(&record[..10]).expect("sent");
        stream.sock.shutdown(Shutdown::Write).expect("ended");
        stream
    };
    let left: Vec<_> = (0..50).map(leave).collect();
    wait::until("all of them to be gone", PATIENCE, || {
        gateway.metric("supportal_connections") == 0.0
    });
    drop(left);
}

#[test]
fn many_handshakes_at_once_all_succeed() {
    let gateway = tls::start(&["limits.connections_per_ip=0", "limits.handshakes_per_ip=0"]);
    let clients: Vec<_> = std::thread::scope(|scope| {
        let one = |n: usize| {
            let gateway = &gateway;
            scope.spawn(move || join(gateway, &format!("s{}", n % 7)))
        };
        let threads: Vec<_> = (0..100).map(one).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("joined"))
            .collect()
    });
    wait::until("all of them", PATIENCE, || {
        gateway.metric("supportal_connections") == 100.0
    });
    drop(clients);
}

/// What `openssl s_client` says to this server; `None` where there is no openssl.
fn s_client(gateway: &Gateway, arguments: &[&str], input: &[u8]) -> Option<String> {
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &gateway.public().to_string()])
        .args(["-CAfile", &file("authority.pem").display().to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.ok()?;
    drop(child.stdin.take().expect("piped").write_all(input));
    let output = child.wait_with_output().expect("its end");
    let both = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&both).into_owned())
}

#[test]
fn openssl_agrees_on_versions_protocol_name_and_renegotiation() {
    let gateway = tls::start(&[]);
    let Some(good) = s_client(
        &gateway,
        &["-alpn", "h2,http/1.1", "-servername", "localhost"],
        b"Q\n",
    ) else {
        return;
    };
    assert!(good.contains("Verify return code: 0 (ok)"), "{good}");
    assert!(good.contains("ALPN protocol: http/1.1"), "{good}");
    for (version, cipher) in [
        ("-tls1", "DEFAULT:@SECLEVEL=0"),
        ("-tls1_1", "DEFAULT:@SECLEVEL=0"),
    ] {
        let said = s_client(&gateway, &[version, "-cipher", cipher], b"").expect("openssl");
        assert!(
            said.contains("alert") || said.contains("unsupported protocol"),
            "{said}"
        );
        assert!(said.contains("Cipher is (NONE)"), "{said}");
    }
    let said = s_client(&gateway, &["-tls1_2"], b"R\n").expect("openssl");
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(said.contains("no renegotiation"), "{said}");
}

#[test]
fn curl_gets_the_page() {
    let gateway = tls::start(&[]);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
        .arg(file("authority.pem"))
        .arg(format!("https://127.0.0.1:{}/client.js", gateway.port()))
        .output();
    let Ok(output) = output else {
        return; // There is no curl.
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ChatClient"), "{text}");
}

#[test]
fn a_ping_is_answered_and_a_reset_is_noticed() {
    let gateway = tls::start(&[]);
    let mut client = join(&gateway, "ping");
    client.ping(b"are you there");
    assert_eq!(client.receive(), Frame::Pong(b"are you there".to_vec()));
    let stream: TcpStream = client.stream().try_clone().expect("a socket");
    stream.shutdown(Shutdown::Both).expect("shut down");
    drop(client);
    wait::until("the connection to go", PATIENCE, || {
        gateway.metric("supportal_connections") == 0.0
    });
}
