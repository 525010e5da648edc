//! Good headers, bad ones, and any bytes.

use super::*;
use proptest::prelude::*;
use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader, SslInfo, Tlv};
use std::net::SocketAddr;

fn client(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a short rest");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), rest].concat()
}

/// Two IPv4 addresses, two ports, and extensions.
fn v4(extensions: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 0xbb];
    binary(0x21, 0x11, &[&addresses, extensions].concat())
}

#[test]
fn good_headers_say_who_has_connected() {
    let v6_rest = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0; 4]].concat();
    let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 9], &[0; 16], &[0; 4]].concat();
    let unix = binary(0x21, 0x31, &[7; 216]);
    for (header, expected, is_https) in [
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n".to_vec(), client("192.0.2.1"), false),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 0 65535\r\n".to_vec(), client("192.0.2.1"), false),
        (b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n".to_vec(), client("2001:db8::1"), false),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".to_vec(), client("192.0.2.1"), false),
        (
            b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
                .to_vec(),
            client("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            false,
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None, false),
        (b"PROXY UNKNOWN ffff::1 whatever\r\n".to_vec(), None, false),
        (v4(&[]), client("192.0.2.1"), false),
        (v4(&[0x04, 0, 2, 0, 0]), client("192.0.2.1"), false),
        (v4(&[0x20, 0, 5, 1, 0, 0, 0, 0]), client("192.0.2.1"), true),
        (v4(&[0x20, 0, 5, 0, 0, 0, 0, 0]), client("192.0.2.1"), false),
        (v4(&[0x20, 0, 0]), client("192.0.2.1"), false),
        (binary(0x21, 0x21, &v6_rest), client("2001:db8::1"), false),
        (binary(0x21, 0x21, &mapped), client("192.0.2.9"), false),
        (binary(0x21, 0x00, &[]), None, false),
        (binary(0x20, 0x00, &[]), None, false),
        (binary(0x20, 0x11, &[1, 2, 3]), None, false),
        (binary(0x20, 0xff, &[9; 520]), None, false),
        (unix, None, false),
    ] {
        let expected = ProxyLine {
            client: expected,
            is_https,
            length: header.len(),
        };
        let shown = String::from_utf8_lossy(&header).into_owned();
        assert_eq!(parse(&header), Ok(Some(expected)), "{shown}");
        // However it is cut, and whatever follows.
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Ok(None), "{end} bytes of {shown}");
        }
        let more = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&more), Ok(Some(expected)), "{shown}");
    }
}

/// No header, whatever comes next: 41 of them.
pub(super) const BAD: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXYxTCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY\tTCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n",
    b"PROXY TCP4 192.0.2.1  10.0.0.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 -1 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1  2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 0x2\r\n",
    b"PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 192.000.2.1 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP4 example.com 10.0.0.1 1 2\r\n",
    b"PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY TCP6 [::1] [::1] 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP6 ::1 ::1 1 2\0\r\n",
    b"PROXY TCP4 \xff92.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"PROXY TCP4 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x22\x11\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x23",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    b"\r\n\r\n\0\r\nQUIX",
];

#[test]
fn bad_headers_are_refused_at_once() {
    for bad in BAD {
        assert_eq!(parse(bad), Err(BadProxyLine), "{}", bad.escape_ascii());
    }
    for extensions in [&[0x20][..], &[0x20, 0], &[0x20, 0, 1], &[4, 0, 0, 1, 0, 9]] {
        assert_eq!(parse(&v4(extensions)), Err(BadProxyLine), "{extensions:?}");
    }
    let long = binary(0x20, 0, &[0; HEADER_BYTES_MAX - 15]);
    assert_eq!(parse(&long), Err(BadProxyLine), "one byte too long");
}

fn address() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4], u16, u16)>()
            .prop_map(|(a, b, c, d)| ((a, c).into(), (b, d).into())),
        any::<([u8; 16], [u8; 16], u16, u16)>()
            .prop_map(|(a, b, c, d)| ((a, c).into(), (b, d).into())),
    ]
}

proptest! {
    /// What another implementation writes is read, both versions, in every piece.
    #[test]
    fn what_others_write_is_read((source, destination) in address(), is_https: bool, is_binary: bool, cut: prop::sample::Index) {
        let mut header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
        let mut bytes = Vec::new();
        if is_binary {
            header.append_tlv(Tlv::Ssl(SslInfo::new(is_https, false, false, 0)));
            header.append_tlv(Tlv::Noop(7));
            header.encode_v2(&mut bytes).expect("a header");
        } else {
            header.encode_v1(&mut bytes).expect("a header");
        }
        prop_assert_eq!(parse(&bytes[..cut.index(bytes.len())]), Ok(None));
        let expected = ProxyLine {
            client: Some(source.ip().to_canonical()),
            is_https: is_https && is_binary,
            length: bytes.len(),
        };
        prop_assert_eq!(parse(&bytes), Ok(Some(expected)));
    }

    /// Any bytes behind any beginning: never a panic, never more than is there, and whatever is good here is the same
    /// to the other implementation, which takes more.
    #[test]
    fn no_bytes_are_too_strange(start in prop::sample::select(BAD), keep: prop::sample::Index, mut tail in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = start.get(..keep.index(start.len() + 1)).unwrap_or_default().to_vec();
        bytes.append(&mut tail);
        if let Ok(Some(line)) = parse(&bytes) {
            prop_assert!(line.length <= bytes.len() && line.length <= HEADER_BYTES_MAX);
            // LOCAL: the other one looks at what is to be ignored.
            prop_assume!(bytes.get(SIGNATURE.len()) != Some(&0x20));
            let (header, length) = ProxyHeader::parse(&bytes, ParseConfig::default()).expect("the same");
            prop_assert_eq!(length, line.length);
            let client = header.proxied_address().map(|both| both.source.ip().to_canonical());
            prop_assert_eq!(client, line.client);
        }
    }
}
