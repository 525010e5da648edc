//! Heads that are prepared, without a socket; what hyper itself refuses is tested with one (`tests/upstream/heads.rs`).

use super::*;
use hyper::Request;

fn prepared(lines: &[(&str, &str)], target: &str) -> Result<(Parts, RequestKind), RefusedRequest> {
    let mut request = Request::builder().uri(target);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let (mut head, ()) = request.body(()).expect("a request").into_parts();
    let provenance = Provenance {
        client: "::ffff:10.0.0.1".parse().expect("an address"),
        is_https: true,
        host: Some(HeaderValue::from_static("a.example")),
    };
    let site = HeaderValue::from_static("site:80");
    let kind = prepare(&mut head, provenance, &site)?;
    Ok((head, kind))
}

#[test]
fn the_site_is_told_who_asks_and_how() {
    let lines = [
        ("host", "a.example"),
        ("x-forwarded-proto", "http"),
        ("x_real_ip", "1"),
    ];
    let Ok((head, kind)) = prepared(&lines, "/a?b") else {
        panic!("refused");
    };
    let is = |name: &str, value: &str| head.headers.get(name).is_some_and(|found| found == value);
    assert!(is("x-forwarded-for", "10.0.0.1") && is("x-forwarded-proto", "https"));
    assert!(is("x-forwarded-host", "a.example") && is("host", "a.example"));
    assert!(!head.headers.contains_key("x_real_ip"));
    assert_eq!(head.uri, "/a?b");
    assert!(!kind.is_chunked && !kind.awaits_continue);
}

#[test]
fn an_absolute_target_is_its_hosts() {
    for (target, host, is_good) in [
        ("http://a.example/b", "a.example", true),
        ("http://a.example:80/b", "A.EXAMPLE", true),
        ("http://a.example/b", "a.example:80", true),
        ("https://a.example/b", "a.example:443", true),
        ("http://[::1]:8000/b", "[::1]:8000", true),
        ("http://a.example", "a.example", true),
        ("http://a.example:81/b", "a.example", false),
        ("http://a.example/b", "b.example", false),
        ("https://a.example/b", "a.example:80", false),
        ("ftp://a.example/b", "a.example", false),
        ("http://user@a.example/b", "a.example", false),
        ("*", "a.example", false),
        ("a.example:80", "a.example", false),
    ] {
        let prepared = prepared(&[("host", host)], target);
        assert_eq!(prepared.is_ok(), is_good, "{target} at {host}");
        if let Ok((head, _)) = prepared {
            assert!(head.uri.authority().is_none() && head.uri.path().starts_with('/'));
        }
    }
}

#[test]
fn only_one_end_of_a_body_is_taken() {
    for (lines, is_good) in [
        (&[("content-length", "5")][..], true),
        (&[("transfer-encoding", "CHUNKED")], true),
        (&[("transfer-encoding", "gzip, chunked")], false),
        (
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            false,
        ),
        (
            &[("transfer-encoding", "chunked"), ("content-length", "5")],
            false,
        ),
        (&[("content-length", "5"), ("content-length", "5")], false),
        (
            &[("connection", "x, Content-Length"), ("content-length", "5")],
            false,
        ),
        (&[("connection", "host")], false),
        (&[("connection", "transfer-encoding")], false),
    ] {
        let lines = [&[("host", "a")], lines].concat();
        assert_eq!(prepared(&lines, "/").is_ok(), is_good, "{lines:?}");
    }
}

#[test]
fn an_address_is_written_as_everybody_writes_it() {
    let octets = (0..=255).map(|octet: u8| IpAddr::from([octet, 0, !octet, octet]));
    for address in octets.chain(["2001:db8::1".parse().expect("an address")]) {
        let value = address_value(address).expect("a value");
        assert_eq!(value, address.to_string());
    }
}
