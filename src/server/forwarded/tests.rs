//! What is believed of what is sent, from a peer that is trusted. The proxies are 10.0.0.0/8 and fd00::/8.

use super::*;
use proptest::prelude::*;

fn trusted() -> TrustedPeers {
    let networks = ["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()];
    TrustedPeers::read(&networks).expect("networks")
}

fn head<'a>(fields: &[(&'a str, &'a [u8])]) -> RequestHead<'a> {
    RequestHead {
        method: "GET",
        is_http_11: true,
        fields: fields.to_vec(),
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

const EVERY_FIELD: [ForwardedField; 3] = [
    ForwardedField::For,
    ForwardedField::Proto,
    ForwardedField::Host,
];

#[test]
fn a_field_that_the_proxy_does_not_set_is_the_client_s() {
    let fields = [
        ("x-forwarded-for", &b"192.0.2.1"[..]),
        ("x-forwarded-proto", b"https"),
        ("x-forwarded-host", b"a.example"),
    ];
    for believed in EVERY_FIELD {
        let head = head(&fields);
        let said = x_forwarded(&head, &[believed], &trusted());
        let is_said = [
            said.client.is_some(),
            said.proto.is_some(),
            said.host.is_some(),
        ];
        let expected = EVERY_FIELD.map(|field| field == believed);
        assert_eq!(is_said, expected, "{}", believed.word());
    }
}

/// Lines of `X-Forwarded-For`, and the client; empty: nobody could be read, so that the peer counts.
const X_FORWARDED_FOR: &[(&[&str], &str)] = &[
    (&["192.0.2.1"], "192.0.2.1"),
    (&[" 192.0.2.1\t"], "192.0.2.1"),
    (&["192.0.2.1:8080"], "192.0.2.1"),
    (&["2001:db8::1"], "2001:db8::1"),
    (&["[2001:db8::1]"], "2001:db8::1"),
    (&["[2001:db8::1]:443"], "2001:db8::1"),
    (&["::ffff:192.0.2.1"], "192.0.2.1"),
    // A client's own words are never reached.
    (&["1.1.1.1, 192.0.2.1"], "192.0.2.1"),
    (&["junk, 192.0.2.1"], "192.0.2.1"),
    (&["10.0.0.9, 192.0.2.1"], "192.0.2.1"),
    (&["1.1.1.1", "192.0.2.1"], "192.0.2.1"),
    // Further proxies are passed over.
    (&["192.0.2.1, 10.0.0.2"], "192.0.2.1"),
    (&["1.1.1.1,192.0.2.1,10.0.0.2,fd00::5"], "192.0.2.1"),
    (&["1.1.1.1, 192.0.2.1", "10.0.0.2, 10.0.0.3"], "192.0.2.1"),
    (&["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
    // Nobody but proxies: the first of them.
    (&["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
    // What cannot be read ends the walk.
    (&["192.0.2.1, junk"], ""),
    (&["192.0.2.1, junk, 10.0.0.2"], "10.0.0.2"),
    (&["192.0.2.1,"], ""),
    (&["192.0.2.1, , 10.0.0.2"], "10.0.0.2"),
    (&[""], ""),
    (&[","], ""),
    (&["unknown"], ""),
    (&["_hidden"], ""),
    (&["unix:"], ""),
    (&["localhost"], ""),
    (&["192.0.2.256"], ""),
    (&["192.0.2"], ""),
    (&["192.0.2.01"], ""),
    (&["0x7f.0.0.1"], ""),
    (&["2130706433"], ""),
    (&["192.0.2.1/24"], ""),
    (&["192.0.2.1:"], ""),
    (&["192.0.2.1:80:80"], ""),
    (&["192.0.2.1:800000"], ""),
    (&["192.0.2.1:+80"], ""),
    (&["[192.0.2.1]"], ""),
    (&["[2001:db8::1"], ""),
    (&["2001:db8::1]"], ""),
    (&["[2001:db8::1]443"], ""),
    (&["fe80::1%eth0"], ""),
    (&["\"192.0.2.1\""], ""),
    (&["for=192.0.2.1"], ""),
    (&["192.0.2.1;proto=https"], ""),
    (&["192.0.2.1 10.0.0.2"], ""),
    (&["http://192.0.2.1"], ""),
    (&["192.0.2.1\u{e9}"], ""),
    (&["\u{661}92.0.2.1"], ""),
];

#[test]
fn the_first_stranger_from_the_right_is_the_client() {
    for (lines, expected) in X_FORWARDED_FOR {
        let fields: Vec<_> = lines
            .iter()
            .map(|line| ("X-Forwarded-For", line.as_bytes()))
            .collect();
        let said = x_forwarded(&head(&fields), &EVERY_FIELD, &trusted());
        let expected = (!expected.is_empty()).then(|| address(expected));
        assert_eq!(said.client, expected, "{lines:?}");
    }
    let latin: &[u8] = b"\xe9, 10.0.0.2";
    let said = x_forwarded(
        &head(&[("x-forwarded-for", latin)]),
        &EVERY_FIELD,
        &trusted(),
    );
    assert_eq!(said.client, Some(address("10.0.0.2")));
}

#[test]
fn more_proxies_than_anybody_has_end_the_walk() {
    let line = |count: usize| format!("192.0.2.1{}", ", 10.0.0.2".repeat(count));
    for (count, expected) in [(63, "192.0.2.1"), (64, "10.0.0.2"), (1000, "10.0.0.2")] {
        let line = line(count);
        let said = x_forwarded(
            &head(&[("x-forwarded-for", line.as_bytes())]),
            &EVERY_FIELD,
            &trusted(),
        );
        assert_eq!(said.client, Some(address(expected)), "{count}");
    }
}

#[test]
fn scheme_and_host_are_the_nearest_proxy_s() {
    for (fields, proto, host) in [
        (&[][..], None, None),
        (&[("x-forwarded-proto", "https")], Some("https"), None),
        (&[("x-forwarded-proto", "https, http")], Some("http"), None),
        (
            &[
                ("x-forwarded-proto", "https"),
                ("X-Forwarded-Proto", " http "),
            ],
            Some("http"),
            None,
        ),
        (
            &[("x-forwarded-host", "a.example")],
            None,
            Some("a.example"),
        ),
        (
            &[("x-forwarded-host", "evil.example, a.example:8443")],
            None,
            Some("a.example:8443"),
        ),
        (&[("forwarded", "proto=https;host=a.example")], None, None),
    ] {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let said = x_forwarded(&head(&fields), &EVERY_FIELD, &trusted());
        assert_eq!(said.proto.as_deref(), proto, "{fields:?}");
        assert_eq!(said.host.as_deref(), host, "{fields:?}");
    }
}

/// Lines of `Forwarded`, then client, scheme and host; empty: nothing is said.
type ForwardedCase = (
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
);

const FORWARDED: &[ForwardedCase] = &[
    (&["for=192.0.2.1"], "192.0.2.1", "", ""),
    (&["For=192.0.2.1;PROTO=https"], "192.0.2.1", "https", ""),
    (
        &["for=192.0.2.1;proto=https;host=a.example;by=10.0.0.1"],
        "192.0.2.1",
        "https",
        "a.example",
    ),
    (&["for=\"192.0.2.1:8080\""], "192.0.2.1", "", ""),
    (&["for=\"[2001:db8::1]\""], "2001:db8::1", "", ""),
    (&["for=\"[2001:DB8::1]:4711\""], "2001:db8::1", "", ""),
    (&["for=\"[::ffff:192.0.2.1]\""], "192.0.2.1", "", ""),
    (&["for=\"192.0.2.1:_port\""], "192.0.2.1", "", ""),
    (
        &["for=192.0.2.1;host=\"a.example:8443\""],
        "192.0.2.1",
        "",
        "a.example:8443",
    ),
    (
        &["for=192.0.2.1;host=\"a\\.example\""],
        "192.0.2.1",
        "",
        "a.example",
    ),
    (
        &["for=192.0.2.1; proto=https ;by=_me"],
        "192.0.2.1",
        "https",
        "",
    ),
    (
        &["for=192.0.2.1;secret=\"a,b;c\";proto=https"],
        "192.0.2.1",
        "https",
        "",
    ),
    (&[";;for=192.0.2.1;;"], "192.0.2.1", "", ""),
    // A client's own words are never reached, also where they open a quote.
    (
        &["for=1.1.1.1, for=192.0.2.1;proto=https"],
        "192.0.2.1",
        "https",
        "",
    ),
    (
        &["for=\", for=192.0.2.1;proto=https"],
        "192.0.2.1",
        "https",
        "",
    ),
    (&["for=\"x, for=\"[2001:db8::1]\""], "2001:db8::1", "", ""),
    (
        &["for=1.1.1.1;proto=https, for=192.0.2.1;proto=http"],
        "192.0.2.1",
        "http",
        "",
    ),
    (&["for=1.1.1.1", "for=192.0.2.1"], "192.0.2.1", "", ""),
    // Further proxies are passed over; what the one nearest to the client says of scheme and host counts.
    (
        &["for=192.0.2.1;proto=https;host=a.example, for=10.0.0.2;proto=http;host=inside"],
        "192.0.2.1",
        "https",
        "a.example",
    ),
    (
        &["for=192.0.2.1, for=10.0.0.2;proto=https"],
        "192.0.2.1",
        "https",
        "",
    ),
    (
        &["for=192.0.2.1;proto=https, , for=\"[fd00::5]\""],
        "192.0.2.1",
        "https",
        "",
    ),
    (&["for=10.0.0.2, for=10.0.0.3"], "10.0.0.2", "", ""),
    // A client that is not named ends the walk; its scheme is known.
    (&["for=unknown;proto=https"], "", "https", ""),
    (&["for=UNKNOWN"], "", "", ""),
    (&["for=_hidden;host=a.example"], "", "", "a.example"),
    (
        &["for=1.1.1.1, for=_SEVKISEK, for=10.0.0.2"],
        "10.0.0.2",
        "",
        "",
    ),
    (&["proto=https"], "", "https", ""),
    (&["for=1.1.1.1, proto=https"], "", "https", ""),
    (&["by=10.0.0.1"], "", "", ""),
    // What cannot be read ends it, and says nothing.
    (&["for=192.0.2.1, junk"], "", "", ""),
    (
        &["for=192.0.2.1, junk, for=10.0.0.2;proto=https"],
        "10.0.0.2",
        "https",
        "",
    ),
    (&[""], "", "", ""),
    (&["for"], "", "", ""),
    (&["for="], "", "", ""),
    (&["for=;proto=https"], "", "", ""),
    (&["for =192.0.2.1"], "", "", ""),
    (&["for= 192.0.2.1"], "", "", ""),
    (&["for=192.0.2.1 proto=https"], "", "", ""),
    (&["for=192.0.2.1;for=192.0.2.2"], "", "", ""),
    (&["for=192.0.2.1;proto=https;proto=http"], "", "", ""),
    (&["for=192.0.2.1;host=a;Host=b"], "", "", ""),
    (&["for=192.0.2.1;by=_a;by=_b"], "", "", ""),
    (&["for=192.0.2.1;by=a@b"], "", "", ""),
    (&["for=192.0.2.1:8080"], "", "", ""),
    (&["for=[2001:db8::1]"], "", "", ""),
    (&["for=\"2001:db8::1\""], "", "", ""),
    (&["for=2001:db8::1"], "", "", ""),
    (&["for=\"[2001:db8::1\""], "", "", ""),
    (&["for=\"[2001:db8::1]x\""], "", "", ""),
    (&["for=\"192.0.2.1:\""], "", "", ""),
    (&["for=\"192.0.2.1:800000\""], "", "", ""),
    (&["for=\"192.0.2.1:_\""], "", "", ""),
    (&["for=\"192.0.2.1"], "", "", ""),
    (&["for=192.0.2.1\""], "", "", ""),
    (&["for=\"192.0.2.1\"x"], "", "", ""),
    (&["for=\"\""], "", "", ""),
    (&["for=_"], "", "", ""),
    (&["for=_a@b"], "", "", ""),
    (&["for=localhost"], "", "", ""),
    (&["for=192.0.2.256"], "", "", ""),
    (&["for='192.0.2.1'"], "", "", ""),
    (&["for=192.0.2.1;host=a.example:8443"], "", "", ""),
    (&["for=192.0.2.1;host=\"a\u{e9}\""], "", "", ""),
    (&["for=192.0.2.1;=x"], "", "", ""),
    (&["for=192.0.2.1;a b=x"], "", "", ""),
    (&["192.0.2.1"], "", "", ""),
];

#[test]
fn a_forwarded_element_counts_if_its_writer_is_trusted_and_every_letter_is_right() {
    for (lines, client, proto, host) in FORWARDED {
        let fields: Vec<_> = lines
            .iter()
            .map(|line| ("Forwarded", line.as_bytes()))
            .collect();
        let said = forwarded(&head(&fields), &trusted());
        let client = (!client.is_empty()).then(|| address(client));
        assert_eq!(said.client, client, "{lines:?}");
        assert_eq!(
            said.proto.as_deref().unwrap_or_default(),
            *proto,
            "{lines:?}"
        );
        assert_eq!(said.host.as_deref().unwrap_or_default(), *host, "{lines:?}");
    }
}

proptest! {
    /// Whatever a client sends in front, the address that the proxy has appended is the client's.
    #[test]
    fn what_a_client_sends_changes_nothing(junk in prop::collection::vec(any::<u8>(), 0..80), same_line: bool) {
        let (x, f) = (b"192.0.2.1".as_slice(), b"for=192.0.2.1;proto=https".as_slice());
        for (name, own) in [("x-forwarded-for", x), ("forwarded", f)] {
            let joined = [&junk, b", ".as_slice(), own].concat();
            let fields = match same_line {
                true => vec![(name, joined.as_slice())],
                false => vec![(name, junk.as_slice()), (name, own)],
            };
            let head = head(&fields);
            let said = match name {
                "forwarded" => forwarded(&head, &trusted()),
                _ => x_forwarded(&head, &EVERY_FIELD, &trusted()),
            };
            prop_assert_eq!(said.client, Some(address("192.0.2.1")));
        }
    }
}
