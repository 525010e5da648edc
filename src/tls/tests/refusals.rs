//! A network that takes nothing more, and clients of TLS 1.2 that ask for another handshake.

use super::*;
use rustls::crypto::cipher::{AeadKey, OutboundChunks, OutboundPlainMessage};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

/// A client of TLS 1.2 whose keys can be had.
fn old_client() -> ClientConfig {
    let mut config = sessions::of_version(&rustls::version::TLS12);
    config.enable_secret_extraction = true;
    config
}

/// The next record of an established client of TLS 1.2: the message that begins another handshake. The client is spent.
fn another_hello(ends: &mut Ends) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut fresh = ClientConnection::new(Arc::new(old_client()), name).unwrap();
    let mut hello = Vec::new();
    fresh.write_tls(&mut hello).unwrap();
    let spent = std::mem::replace(&mut ends.client, fresh);
    let Some(SupportedCipherSuite::Tls12(suite)) = spent.negotiated_cipher_suite() else {
        panic!("another version");
    };
    let secrets = spent.dangerous_extract_secrets().unwrap();
    let (number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("another suite");
    };
    let key = AeadKey::from(<[u8; 32]>::try_from(key.as_ref()).unwrap());
    let message = OutboundPlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&hello[5..]),
    };
    let (fixed, explicit) = iv.as_ref().split_at(4);
    let mut sealer = suite.aead_alg.encrypter(key, fixed, explicit);
    sealer.encrypt(message, number).unwrap().encode()
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
        let hello = another_hello(&mut ends);
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
