//! What a proxy says in front of TLS.

use super::*;
use crate::tls::BadPreamble;

/// A line that begins with `P`.
fn line(bytes: &[u8]) -> Result<Option<usize>, BadPreamble> {
    match bytes.first() {
        Some(b'P') => Ok(bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| at + 1)),
        Some(_) => Err(BadPreamble),
        None => Ok(None),
    }
}

fn ends(server: &Arc<TlsServer>) -> Ends {
    let mut ends = Ends::new(server, client_config());
    ends.server = TlsSession::new(server).behind_preamble(line);
    ends
}

#[test]
fn what_stands_in_front_of_tls_is_given_with_the_first_plaintext_however_it_comes() {
    let (server, _) = server("main");
    for piece in [1, 2, 7, 8, 100, usize::MAX] {
        for room in [1, 5, 8, 512] {
            let mut ends = ends(&server);
            ends.wire.piece = piece;
            ends.wire.to_server.extend(b"PROXY 1\n");
            ends.shake_hands();
            assert!(ends.heard.is_empty(), "nothing has been said yet");
            assert!(!ends.server.holds_unread());
            ends.client.writer().write_all(b"one message").unwrap();
            ends.send();
            let mut into = vec![0; room];
            while ends.heard.len() < b"PROXY 1\none message".len() {
                match ends.server.read(&mut ends.wire, &mut into) {
                    Ok(count) => ends.heard.extend_from_slice(&into[..count]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            assert_eq!(ends.heard, b"PROXY 1\none message", "{piece} {room}");
            assert!(!ends.server.holds_unread());
        }
    }
}

#[test]
fn what_has_to_stand_there_and_does_not_is_no_tls() {
    let (server, metrics) = server("main");
    let mut ends = ends(&server);
    ends.send();
    assert_eq!(ends.read().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(ends.wire.to_client.is_empty());
    assert_eq!(failures(&metrics, "proxy"), 1);
}

#[test]
fn a_proxy_that_says_no_more_than_that_is_counted_as_closed() {
    let (server, metrics) = server("main");
    for said in [&b""[..], b"PRO", b"PROXY 1\n"] {
        let mut ends = ends(&server);
        ends.wire.to_server.extend(said);
        ends.wire.is_over = true;
        let read = ends.server.read(&mut ends.wire, &mut [0; 64]);
        assert_eq!(read.unwrap(), 0);
        let again = ends.server.read(&mut ends.wire, &mut [0; 64]);
        assert_eq!(again.unwrap_or(0), 0);
    }
    assert_eq!(failures(&metrics, "closed"), 3);
}

#[test]
fn a_session_without_tls_lets_everything_through() {
    let (server, metrics) = server("main");
    let mut ends = Ends::new(&server, client_config());
    ends.server = TlsSession::plain();
    ends.wire.to_server.extend(b"GET /");
    assert!(ends.server.is_established());
    assert!(ends.read().is_err());
    assert_eq!(ends.heard, b"GET /");
    assert_eq!(ends.write(b"HTTP/1.1").unwrap(), 8);
    assert!(ends.server.say_end(&mut ends.wire).unwrap());
    assert_eq!(ends.wire.to_client, b"HTTP/1.1");
    assert_eq!(failures(&metrics, "plain_http"), 0);
}
