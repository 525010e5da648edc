//! A network that takes nothing more, and clients that ask for another handshake or send records with next to nothing in
//! them.

use super::*;
use rustls::crypto::cipher::{AeadKey, OutboundChunks, OutboundPlainMessage};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

/// A client of TLS 1.2 whose keys can be had.
fn old_client() -> ClientConfig {
    let mut config = sessions::of_version(&rustls::version::TLS12);
    config.enable_secret_extraction = true;
    config
}

/// What seals the next records of an established client of TLS 1.2, which is spent.
fn sealer(ends: &mut Ends) -> impl FnMut(ContentType, &[u8]) -> Vec<u8> + use<> {
    let name = ServerName::try_from("localhost").unwrap();
    let fresh = ClientConnection::new(Arc::new(old_client()), name).unwrap();
    let spent = std::mem::replace(&mut ends.client, fresh);
    let Some(SupportedCipherSuite::Tls12(suite)) = spent.negotiated_cipher_suite() else {
        panic!("another version");
    };
    let secrets = spent.dangerous_extract_secrets().unwrap();
    let (mut number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("another suite");
    };
    let key = AeadKey::from(<[u8; 32]>::try_from(key.as_ref()).unwrap());
    let (fixed, explicit) = iv.as_ref().split_at(4);
    let mut sealer = suite.aead_alg.encrypter(key, fixed, explicit);
    move |typ, plain| {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(plain),
        };
        number += 1;
        sealer.encrypt(message, number - 1).unwrap().encode()
    }
}

#[test]
fn what_the_network_refuses_is_given_up_and_the_client_is_still_heard() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    ends.wire.room = 10;
    assert_eq!(ends.write(&[7; 100]).unwrap(), 99);
    assert!(ends.server.is_behind());
    ends.wire.refusal = Some(ErrorKind::BrokenPipe);
    for _ in 0..2 {
        // The answer to that cannot be sent either.
        ends.client.refresh_traffic_keys().unwrap();
        ends.client.writer().write_all(b"heard").unwrap();
        ends.send();
        assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(std::mem::take(&mut ends.heard), b"heard");
        assert!(!ends.server.is_behind(), "nothing can be sent later");
    }
    // Also of a network that has changed its mind: a record is missing.
    ends.wire = Wire::new();
    assert_eq!(ends.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let Ends { server, wire, .. } = &mut ends;
    assert_eq!(
        server.flush(wire).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    assert_eq!(
        server.say_end(wire).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    assert!(wire.to_client.is_empty());
    assert_eq!(server.held_bytes(), 0);
}

#[test]
fn a_write_that_the_network_refuses_is_the_last() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.shake_hands();
    for refusal in [Some(ErrorKind::ConnectionReset), None] {
        ends.wire.refusal = refusal;
        let refused = ends.write(b"lost").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
        assert!(!ends.server.is_behind());
    }
}

#[test]
fn a_handshake_whose_answer_is_refused_is_over_and_counted_once() {
    let (server, metrics) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.wire.refusal = Some(ErrorKind::BrokenPipe);
    ends.send();
    assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(!ends.server.is_behind());
    ends.wire.is_over = true;
    assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(failures(&metrics, "closed"), 1);
}

#[test]
fn who_asks_for_another_handshake_is_told_no_and_the_connection_ends() {
    let (server, metrics) = server("main");
    for refusal in [None, Some(ErrorKind::BrokenPipe)] {
        let mut ends = Ends::new(&server, old_client());
        ends.shake_hands();
        let mut seal = sealer(&mut ends);
        let mut hello = Vec::new();
        ends.client.write_tls(&mut hello).unwrap();
        let hello = seal(ContentType::Handshake, &hello[5..]);
        ends.wire.refusal = refusal;
        ends.wire.to_server.extend(hello);
        assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(!ends.server.is_behind());
        let alert = (refusal.is_none()).then_some(&[21, 3, 3][..]);
        assert_eq!(ends.wire.to_client.get(..3), alert);
        assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(ends.write(b"more").is_err());
    }
    assert_eq!(successes(&metrics, "full"), 2);
    assert_eq!(failures(&metrics, "malformed"), 0, "the handshake was good");
}

/// What a record of TLS 1.2 with AES-GCM has beside its plaintext: header, nonce, tag.
const RECORD_BYTES: usize = 5 + 8 + 16;

#[test]
fn the_bytes_of_records_are_known_once_and_those_of_the_handshake_are_not_counted() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, old_client());
    ends.shake_hands();
    assert_eq!(ends.server.take_overhead(), 0);
    let mut seal = sealer(&mut ends);
    for plain in [&[7; 1][..], &[7; 2000], b""] {
        let record = seal(ContentType::ApplicationData, plain);
        // What is held of a record costs nothing before the rest has come.
        let (begin, rest) = record.split_at(20);
        for (piece, overhead) in [(begin, 0), (rest, RECORD_BYTES)] {
            ends.wire.to_server.extend(piece);
            assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(ends.server.take_overhead() as usize, overhead);
        }
        assert_eq!(std::mem::take(&mut ends.heard), plain);
    }
}

#[test]
fn records_with_next_to_nothing_in_them_are_read_in_shares() {
    let (server, _) = server("main");
    let mut ends = Ends::new(&server, old_client());
    ends.shake_hands();
    let mut seal = sealer(&mut ends);
    let record = || seal(ContentType::ApplicationData, b"x");
    let count = 10_000;
    ends.wire
        .to_server
        .extend(std::iter::repeat_with(record).take(count).flatten());
    let (mut into, mut heard, mut shares) = ([0; 64 * 1024], 0, 0);
    while shares == 0 || ends.server.holds_unread() {
        heard += ends.server.read(&mut ends.wire, &mut into).unwrap();
        shares += 1;
    }
    assert!((2..=3).contains(&shares), "{shares}");
    assert_eq!(heard, count);
    assert_eq!(ends.server.take_overhead() as usize, count * RECORD_BYTES);
}
