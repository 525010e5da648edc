use super::*;
use proptest::prelude::*;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

pub(super) fn of_version(version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(file("authority.pem")).unwrap();
    roots.add(authority).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[test]
fn both_ends_hear_each_other_however_the_bytes_come_in_both_versions() {
    let (server, metrics) = server("main");
    for version in [&TLS12, &TLS13] {
        for piece in [1, 2, 5, 100, 4096, usize::MAX] {
            let mut ends = Ends::new(&server, of_version(version));
            ends.wire.piece = piece;
            ends.shake_hands();
            assert_eq!(ends.client.protocol_version(), Some(version.version));
            let said: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
            ends.client.set_buffer_limit(None);
            ends.client.writer().write_all(&said).unwrap();
            ends.send();
            assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(ends.heard, said, "{version:?} in pieces of {piece}");
            assert!(!ends.server.holds_unread());
            assert_eq!(ends.write(&said).unwrap(), said.len());
            assert_eq!(ends.receive().unwrap(), said);
        }
    }
    assert_eq!(successes(&metrics, "full"), 12);
}

#[test]
fn every_split_of_a_record_is_waited_for() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    ends.client.writer().write_all(b"one message").unwrap();
    ends.send();
    let length = ends.wire.to_server.len();
    for split in 0..length {
        if split > 0 {
            ends.client.writer().write_all(b"one message").unwrap();
            ends.send();
        }
        let rest = ends.wire.to_server.split_off(split);
        assert!(ends.read().is_err());
        assert!(ends.heard.is_empty(), "after {split} of {length}");
        ends.wire.to_server.extend(rest);
        assert!(ends.read().is_err());
        assert_eq!(std::mem::take(&mut ends.heard), b"one message");
    }
}

#[test]
fn what_a_small_buffer_has_no_room_for_is_held_and_given() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    ends.client.writer().write_all(&[7; 5000]).unwrap();
    ends.client.send_close_notify();
    ends.send();
    let mut into = [0; 3000];
    let read = ends.server.read(&mut ends.wire, &mut into).unwrap();
    assert_eq!(read, 3000);
    assert!(ends.server.holds_unread());
    assert_eq!(ends.server.read(&mut ends.wire, &mut into).unwrap(), 2000);
    assert!(ends.server.holds_unread(), "the end");
    assert_eq!(ends.server.read(&mut ends.wire, &mut into).unwrap(), 0);
}

#[test]
fn a_session_that_says_nothing_holds_no_buffer() {
    let (server, _) = server("main");
    for version in [&TLS12, &TLS13] {
        let mut ends = Ends::new(&server, of_version(version));
        // With a handshake that comes in pieces, and an answer that the socket takes in pieces.
        ends.wire.piece = 100;
        ends.wire.room = 100;
        for _ in 0..100 {
            ends.send();
            drop(ends.read());
            drop(ends.server.flush(&mut ends.wire));
            ends.receive().unwrap();
            ends.wire.room = 100;
        }
        ends.wire = Wire::new();
        ends.shake_hands();
        assert_eq!(ends.server.held_bytes(), 0, "shaken hands");
        ends.client.writer().write_all(&[7; 5000]).unwrap();
        ends.send();
        // A record in pieces, and a reader of few bytes.
        let last = ends.wire.to_server.pop_back().unwrap();
        drop(ends.read());
        assert!(ends.server.held_bytes() > 0, "a partial record");
        ends.wire.to_server.push_back(last);
        let mut into = [0; 3000];
        let read = |ends: &mut Ends, into: &mut [u8]| ends.server.read(&mut ends.wire, into);
        assert_eq!(read(&mut ends, &mut into).unwrap(), 3000);
        assert!(ends.server.held_bytes() > 0, "plaintext");
        assert_eq!(read(&mut ends, &mut into).unwrap(), 2000);
        assert_eq!(ends.server.held_bytes(), 0, "all given");
        // An answer that the socket takes in part.
        ends.wire.room = 10;
        ends.write(&[8; 5000]).unwrap();
        assert!(ends.server.held_bytes() > 0, "ciphertext");
        ends.wire.room = usize::MAX;
        assert!(ends.server.flush(&mut ends.wire).unwrap());
        assert_eq!(ends.server.held_bytes(), 0, "all sent");
        assert_eq!(ends.receive().unwrap(), [8; 5000]);
    }
}

#[test]
fn a_client_that_has_ended_its_side_still_hears() {
    let (server, _) = server("main");
    for version in [&TLS12, &TLS13] {
        let mut ends = Ends::new(&server, of_version(version));
        ends.shake_hands();
        ends.client.writer().write_all(b"last").unwrap();
        ends.client.send_close_notify();
        ends.send();
        assert_eq!(ends.read().unwrap(), 0);
        assert_eq!(ends.heard, b"last");
        assert_eq!(ends.write(b"answer").unwrap(), 6);
        assert!(ends.server.say_end(&mut ends.wire).unwrap());
        assert_eq!(ends.receive().unwrap(), b"answer");
        assert_eq!(
            ends.client.reader().read(&mut [0; 8]).unwrap(),
            0,
            "the end"
        );
    }
}

#[test]
fn a_socket_that_takes_little_gets_everything_once_and_the_last_byte_is_reported_last() {
    let (server, _) = server("main");
    for step in [1, 7, 1000, 16_000] {
        let mut ends = Ends::new(&server, client_config());
        ends.shake_hands();
        let said: Vec<u8> = (0..40_000_u32).map(|n| (n / 7) as u8).collect();
        let (mut written, mut heard) = (0, Vec::new());
        while written < said.len() {
            ends.wire.room = step;
            match ends.write(&said[written..]) {
                Ok(count) => {
                    assert!(count > 0);
                    written += count;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let is_behind = ends.server.is_behind();
            assert!(
                !is_behind || written < said.len(),
                "all reported and not sent"
            );
            heard.extend(ends.receive().unwrap());
        }
        assert_eq!(heard, said, "{step} at a time");
        assert!(!ends.server.is_behind());
    }
}

#[test]
fn slices_leave_in_one_record() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    let slices = [&b"a"[..], b"", b"bc", b"def"].map(IoSlice::new);
    let written = ends.server.write(&mut ends.wire, &slices).unwrap();
    assert_eq!(written, 6);
    // Header, content type and tag of one record.
    assert_eq!(ends.wire.to_client.len(), 6 + 5 + 1 + 16);
    assert_eq!(ends.receive().unwrap(), b"abcdef");
}

#[test]
fn the_end_waits_behind_what_the_socket_has_not_taken() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    ends.wire.room = 10;
    assert!(!ends.server.say_end(&mut ends.wire).unwrap());
    assert!(ends.server.is_behind());
    ends.wire.room = usize::MAX;
    assert!(ends.server.flush(&mut ends.wire).unwrap());
    assert_eq!(ends.receive().unwrap(), b"");
    assert_eq!(ends.client.reader().read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_handshake_goes_on_when_the_socket_takes_more() {
    let (server, metrics) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.send();
    while !ends.server.is_established() {
        ends.wire.room = 100;
        assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::WouldBlock);
        ends.receive().unwrap();
        ends.send();
    }
    assert_eq!(successes(&metrics, "full"), 1);
}

#[test]
fn who_comes_back_resumes_with_one_ticket_also_after_the_certificates_were_read_again() {
    let (server, metrics) = server("main");
    for version in [&TLS12, &TLS13] {
        let config = of_version(version);
        Ends::new(&server, config.clone()).shake_hands();
        server.take(server.read().unwrap());
        Ends::new(&server, config).shake_hands();
    }
    assert_eq!(successes(&metrics, "full"), 2);
    assert_eq!(successes(&metrics, "resumed"), 2);
}

#[test]
fn without_tickets_nobody_resumes() {
    let metrics = Arc::new(Metrics::new());
    let settings = TlsSettings {
        tickets: false,
        ..settings("main")
    };
    let server = Arc::new(TlsServer::new(&settings, &metrics).unwrap());
    let config = client_config();
    for _ in 0..2 {
        Ends::new(&server, config.clone()).shake_hands();
    }
    assert_eq!(successes(&metrics, "full"), 2);
}

#[test]
fn http_1_1_is_spoken_and_nothing_else() {
    let (server, metrics) = server("main");
    let offer = |protocols: &[&[u8]]| {
        let mut config = client_config();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ends::new(&server, config)
    };
    let mut browser = offer(&[b"h2", b"http/1.1"]);
    browser.shake_hands();
    assert_eq!(browser.client.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut other = offer(&[b"h2"]);
    other.send();
    assert_eq!(other.read().unwrap_err().kind(), ErrorKind::InvalidData);
    let alert = other.receive().unwrap_err().to_string();
    assert!(alert.contains("NoApplicationProtocol"), "{alert}");
    assert_eq!(failures(&metrics, "alpn"), 1);
}

#[test]
fn plain_http_is_told_so_and_everything_else_is_closed_upon() {
    let (server, metrics) = server("main");
    let say = |bytes: &[u8]| {
        let mut ends = Ends::new(&server, client_config());
        ends.wire.to_server.extend(bytes);
        assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(ends.write(b"x").is_err());
        String::from_utf8(ends.wire.to_client).unwrap()
    };
    let answer = say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(
        head.contains(
            &format!("Content-Length: {}\r\n", body.len())
                .trim_end()
                .to_owned()
        )
    );
    assert_eq!(failures(&metrics, "plain_http"), 1);
    for garbage in [
        &b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"[..], // SSL 2
        b"\0\0\0\0",
        b"SSH-2.0"[1..2].repeat(0).as_slice(),
        b"\xff\xff",
    ]
    .into_iter()
    .filter(|garbage| !garbage.is_empty())
    {
        assert_eq!(say(garbage), "");
    }
    assert_eq!(failures(&metrics, "not_tls"), 3);
}

/// A hello of a client that knows no more than this version.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x09, 1, 0]);
    let mut record = vec![22, 3, 1, 0, u8::try_from(hello.len() + 4).unwrap(), 1, 0, 0];
    record.push(u8::try_from(hello.len()).unwrap());
    record.extend(hello);
    record
}

#[test]
fn versions_before_1_2_are_refused_with_an_alert() {
    let (server, metrics) = server("main");
    for minor in 0..=2 {
        let mut ends = Ends::new(&server, client_config());
        ends.wire.to_server.extend(old_hello(minor));
        assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
        let alert = &ends.wire.to_client;
        assert_eq!((alert[0], alert[5]), (21, 2), "a fatal alert");
    }
    assert_eq!(failures(&metrics, "incompatible"), 3);
}

#[test]
fn a_message_that_never_ends_is_refused_at_its_bound() {
    let (server, metrics) = server("main");
    let mut ends = Ends::new(&server, client_config());
    // A hello of 65,535 bytes, in records of 16 KiB.
    let mut message = vec![1, 0, 0xff, 0xff];
    message.resize(65_000, 0);
    for fragment in message.chunks(16_000) {
        let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        ends.wire.to_server.extend([22, 3, 1]);
        ends.wire.to_server.extend(length);
        ends.wire.to_server.extend(fragment);
    }
    assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(failures(&metrics, "malformed"), 1);
}

#[test]
fn who_leaves_in_the_middle_of_the_handshake_is_counted_once() {
    let (server, metrics) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.send();
    assert!(ends.read().is_err());
    ends.wire.is_over = true;
    assert_eq!(ends.read().unwrap(), 0);
    assert_eq!(ends.read().unwrap(), 0);
    assert_eq!(failures(&metrics, "closed"), 1);
}

#[test]
fn an_end_that_comes_with_the_bytes_before_it_is_read_with_them() {
    let (server, metrics) = server("main");
    for part in [1, 5, 6, 100] {
        let mut ends = Ends::new(&server, client_config());
        ends.send();
        ends.wire.to_server.truncate(part);
        ends.wire.is_over = true;
        let read = ends.server.read(&mut ends.wire, &mut [0; 64]);
        assert_eq!(read.unwrap(), 0, "after {part} bytes of the handshake");
    }
    assert_eq!(failures(&metrics, "closed"), 4);
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    ends.client.writer().write_all(b"one message").unwrap();
    ends.send();
    ends.wire.to_server.truncate(10);
    ends.wire.is_over = true;
    let read = ends.server.read(&mut ends.wire, &mut [0; 64]);
    assert_eq!(read.unwrap(), 0, "after a part of a record");
}

#[test]
fn one_read_takes_no_more_of_a_client_that_dribbles_than_its_share() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.wire.piece = 1;
    ends.send();
    let length = ends.wire.to_server.len();
    let read = ends.server.read(&mut ends.wire, &mut [0; 64]);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(ends.server.holds_unread());
    assert!(ends.wire.to_server.len() > length / 2);
    ends.shake_hands();
    assert!(!ends.server.holds_unread());
}

#[test]
fn a_changed_byte_ends_the_connection_and_nothing_of_it_is_given() {
    let (server, metrics) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    ends.client.writer().write_all(b"secret").unwrap();
    ends.send();
    ends.wire.to_server[9] ^= 1;
    assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(ends.heard.is_empty());
    assert!(
        ends.receive()
            .unwrap_err()
            .to_string()
            .contains("BadRecordMac")
    );
    assert!(ends.write(b"more").is_err());
    assert_eq!(failures(&metrics, "malformed"), 0, "the handshake was good");
}

#[test]
fn a_client_that_renews_its_keys_is_answered_with_renewed_keys() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, of_version(&TLS13));
    ends.shake_hands();
    for _ in 0..3 {
        ends.client.refresh_traffic_keys().unwrap();
        ends.client.writer().write_all(b"after").unwrap();
        ends.send();
        assert!(ends.read().is_err());
        assert_eq!(std::mem::take(&mut ends.heard), b"after");
        assert_eq!(ends.write(b"answer").unwrap(), 6);
        assert_eq!(ends.receive().unwrap(), b"answer");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a client says first, nothing panics, and nothing of it is taken for plaintext.
    #[test]
    fn no_first_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0..400_usize) {
        let (server, _) = server("main");
        let mut ends = Ends::new(&server, client_config());
        ends.send();
        ends.wire.to_server.truncate(cut);
        ends.wire.to_server.extend(&bytes);
        ends.wire.is_over = true;
        drop(ends.read());
        drop(ends.server.say_end(&mut ends.wire));
        drop(ends.read());
        prop_assert!(ends.heard.is_empty());
    }

    /// Whatever an established client says, nothing panics.
    #[test]
    fn no_later_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize) {
        let (server, _) = server("main");
        let mut ends = Ends::new(&server, client_config());
        ends.shake_hands();
        assert_eq!(ends.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        ends.wire.piece = piece;
        for kind in 20..=24 {
            ends.wire.to_server.extend([kind, 3, 3]);
            ends.wire.to_server.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            ends.wire.to_server.extend(&bytes);
        }
        drop(ends.read());
        drop(ends.write(b"answer"));
        drop(ends.server.say_end(&mut ends.wire));
        prop_assert!(ends.heard.is_empty());
    }
}
