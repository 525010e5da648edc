//! Clients of TLS 1.2 that ask for another handshake once the node has said its end.

use super::before;
use super::puppet::Puppet;
use crate::support::client::{ACCEPT, KEY};
use crate::support::{PATIENCE, tls, wait};
use rustls::client::ClientConnection;
use rustls::crypto::cipher::{AeadKey, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// A client of TLS 1.2 that has not shaken hands.
fn client() -> ClientConnection {
    let mut config = tls::config(&[&rustls::version::TLS12]);
    config.enable_secret_extraction = true;
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

/// The next record of this client: the message that begins another handshake.
fn another_hello(client: ClientConnection) -> Vec<u8> {
    let mut hello = Vec::new();
    self::client().write_tls(&mut hello).expect("a hello");
    let Some(SupportedCipherSuite::Tls12(suite)) = client.negotiated_cipher_suite() else {
        panic!("another version");
    };
    let secrets = client.dangerous_extract_secrets().expect("its keys");
    let (number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("another suite");
    };
    let key = AeadKey::from(<[u8; 32]>::try_from(key.as_ref()).expect("256 bits"));
    let (fixed, explicit) = iv.as_ref().split_at(4);
    let message = OutboundPlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&hello[5..]),
    };
    let mut sealer = suite.aead_alg.encrypter(key, fixed, explicit);
    sealer.encrypt(message, number).expect("a record").encode()
}

#[test]
fn another_handshake_after_the_end_ends_the_connection_at_once() {
    let site = Puppet::start(|request| {
        request.say(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        ));
        false
    });
    let own = tls::settings("main");
    let gateway = before(&site, &own.each_ref().map(String::as_str));
    let mut tcp = TcpStream::connect(gateway.public()).expect("a connection");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut client = client();
    let mut stream = rustls::Stream::new(&mut client, &mut tcp);
    let head = format!(
        "GET /ws/custom/ HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(tcp.read(&mut [0]).expect("the end of the stream"), 0);
    assert_eq!(gateway.metric("supportal_upstream_websockets"), 1.0);
    tcp.write_all(&another_hello(client)).expect("sent");
    wait::until("the socket to be gone", PATIENCE, || {
        gateway.metric("supportal_upstream_websockets") == 0.0
    });
}
