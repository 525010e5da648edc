//! The opening handshake over the raw socket: the request's bytes and the check of the answer (RFC 6455 section 4.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// Longest answer waited for, in bytes: twice what servers send with generous headers.
const ANSWER_BYTES_MAX: usize = 8192;
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The accept value for a key.
pub(crate) fn accept(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// A fresh key of 16 random bytes.
pub(crate) fn key(random: &mut fastrand::Rng) -> String {
    STANDARD.encode(random.u128(..).to_ne_bytes())
}

/// Appends the request for `path`; `lines` are whole header lines of the user's.
pub(crate) fn request(out: &mut Vec<u8>, host: &str, path: &str, key: &str, lines: &str) {
    for part in [
        "GET ",
        path,
        " HTTP/1.1\r\nHost: ",
        host,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        key,
        "\r\n",
        lines,
        "\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// What the answer so far means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// More bytes are needed.
    Partial,
    /// Upgraded; frames start at this offset.
    Upgraded(usize),
    /// Refused with this HTTP status.
    Refused(u16),
    /// 101, but not for our key, or not HTTP at all.
    Broken(&'static str),
}

/// Reads the answer to a request made with `key`.
pub(crate) fn read(bytes: &[u8], key: &[u8]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) if bytes.len() < ANSWER_BYTES_MAX => return Answer::Partial,
        Ok(httparse::Status::Partial) => return Answer::Broken("answer longer than 8 KiB"),
        Err(_) => return Answer::Broken("the answer is not HTTP"),
    };
    match response.code {
        Some(101) => {}
        Some(status) => return Answer::Refused(status),
        None => return Answer::Broken("no status"),
    }
    let given = response
        .headers
        .iter()
        .find(|h| h.name.eq_ignore_ascii_case("sec-websocket-accept"));
    match given {
        Some(given) if given.value == accept(key).as_bytes() => Answer::Upgraded(end),
        Some(_) => Answer::Broken("wrong Sec-WebSocket-Accept"),
        None => Answer::Broken("no Sec-WebSocket-Accept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn the_rfcs_example_is_accepted_at_its_last_byte_only() {
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for end in 0..GOOD.len() {
            assert_eq!(read(&GOOD.as_bytes()[..end], KEY), Answer::Partial);
        }
        let more = format!("{GOOD}\u{1}\u{2}");
        assert_eq!(read(more.as_bytes(), KEY), Answer::Upgraded(GOOD.len()));
    }

    #[test]
    fn refusals_and_wrong_answers_are_told_apart() {
        let refusal = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n";
        assert_eq!(read(refusal, KEY), Answer::Refused(429));
        assert!(matches!(read(GOOD.as_bytes(), b"other"), Answer::Broken(_)));
        assert!(matches!(
            read(b"SSH-2.0-OpenSSH\r\n", KEY),
            Answer::Broken(_)
        ));
    }
}
