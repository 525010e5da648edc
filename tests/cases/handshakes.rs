//! Opening handshakes as they are on the wire, and the status that each must get.
//!
//! Plain data without dependencies: the unit tests parse the heads and call the checks, the
//! integration tests send them to a real server. `{path}` stands for the path of a WebSocket
//! route.

/// One row.
pub(crate) struct HandshakeCase {
    pub(crate) name: String,
    /// Request head, with the empty line at its end.
    pub(crate) head: Vec<u8>,
    pub(crate) status: u16,
    /// A header, name in lower case, that the answer must hold.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const REQUEST_LINE: &str = "GET {path} HTTP/1.1";

/// The fields of a plain legal handshake.
const FIELDS: [(&str, &str); 5] = [
    ("Host", "127.0.0.1:8000"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

struct Table(Vec<HandshakeCase>);

impl Table {
    /// The legal handshake with one field's lines replaced by `lines` (without line ends).
    fn with(&mut self, name: &str, field: &str, lines: &[&[u8]], status: u16) {
        let mut head = format!("{REQUEST_LINE}\r\n").into_bytes();
        for (other, value) in FIELDS {
            if other != field {
                head.extend(format!("{other}: {value}\r\n").into_bytes());
            }
        }
        for line in lines {
            head.extend([line, &b"\r\n"[..]].concat());
        }
        head.extend(b"\r\n");
        self.row(name, head, status);
    }

    fn values(&mut self, field: &str, values: &[&str], status: u16) {
        for value in values {
            let line = format!("{field}: {value}");
            let name = format!("{field} is {}", value.escape_debug());
            self.with(&name, field, &[line.as_bytes()], status);
        }
    }

    fn request_line(&mut self, line: &str, status: u16) {
        let mut head = format!("{line}\r\n");
        for (field, value) in FIELDS {
            head.push_str(&format!("{field}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.row(&format!("request line {line}"), head.into_bytes(), status);
    }

    fn row(&mut self, name: &str, head: Vec<u8>, status: u16) {
        let header = match status {
            101 => Some(("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
            405 => Some(("allow", "GET")),
            426 if name.starts_with("Sec-WebSocket-Version") => {
                Some(("sec-websocket-version", "13"))
            }
            426 => Some(("upgrade", "websocket")),
            _ => None,
        };
        self.0.push(HandshakeCase {
            name: name.to_owned(),
            head,
            status,
            header,
        });
    }
}

/// The whole table.
pub(crate) fn cases() -> Vec<HandshakeCase> {
    let mut table = Table(Vec::new());
    request_lines(&mut table);
    upgrades(&mut table);
    versions_and_keys(&mut table);
    bodies(&mut table);
    hosts_and_repetitions(&mut table);
    harmful_bytes(&mut table);
    extensions(&mut table);
    protocols(&mut table);
    table.0
}

fn request_lines(table: &mut Table) {
    table.request_line(REQUEST_LINE, 101);
    for method in [
        "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "get", "BREW",
    ] {
        table.request_line(&format!("{method} {{path}} HTTP/1.1"), 405);
    }
    // Its Upgrade is to be ignored (RFC 9110 section 7.8).
    table.request_line("GET {path} HTTP/1.0", 426);
    table.request_line("POST {path} HTTP/1.0", 405);
    table.request_line("GET {path}?token=1&a=%2F HTTP/1.1", 101);
    for line in [
        "GET {path} HTTP/2.0",
        "GET {path} http/1.1",
        "GET  {path} HTTP/1.1",
    ] {
        table.request_line(line, 400);
    }
    let query = "q".repeat(8_000 - "/echo?".len());
    table.request_line(&format!("GET {{path}}?{query} HTTP/1.1"), 101);
    let bare = |status| (format!("GET {{path}} HTTP/1.{status}\r\n\r\n")).into_bytes();
    table.row("HTTP/1.0 alone", bare(0), 426);
    table.row("HTTP/1.1 alone", bare(1), 400);
}

fn upgrades(table: &mut Table) {
    table.with("no Upgrade", "Upgrade", &[], 426);
    table.with("no Connection", "Connection", &[], 426);
    let legal = [
        "WebSocket",
        "WEBSOCKET",
        "h2c, websocket",
        "websocket,",
        ",, websocket ,h2c",
        "websocket, foo",
        "h2c,websocket,TLS/1.2",
        "HTTP/2.0, WebSocket",
    ];
    table.values("Upgrade", &legal, 101);
    let illegal = [
        "",
        "h2c",
        "websocket/13",
        "web socket",
        "websockets",
        "\"websocket\"",
        "ws",
    ];
    table.values("Upgrade", &illegal, 426);
    let legal = [
        "upgrade",
        "UPGRADE",
        "keep-alive, Upgrade",
        "Upgrade,\tkeep-alive",
        ",upgrade,",
        ",Upgrade,",
        "\tUpgrade\t",
        ", ,\t, upgrade ,,",
        "close, Upgrade",
        "HTTP2-Settings, TE, upgrade",
    ];
    table.values("Connection", &legal, 101);
    let illegal = [
        "",
        "close",
        "keep-alive",
        "upgraded",
        "keep-alive; upgrade",
        "\"upgrade\"",
    ];
    table.values("Connection", &illegal, 426);
    let lines = [&b"Connection: keep-alive"[..], b"Connection: Upgrade"];
    table.with("Connection in two lines", "Connection", &lines, 101);
    let lines = [
        &b"Connection: Upgrade"[..],
        b"Connection: Upgrade",
        b"Connection:",
    ];
    table.with("Connection repeated, and empty", "Connection", &lines, 101);
    let lines = [
        &b"Upgrade: websocket"[..],
        b"upgrade: websocket",
        b"UPGRADE: ,",
    ];
    table.with("Upgrade repeated, and empty", "Upgrade", &lines, 101);
    let lines = [&b"Upgrade: h2c"[..], b"Upgrade: websocket"];
    table.with("Upgrade in two lines", "Upgrade", &lines, 101);
    let lines = [&b"Upgrade:websocket"[..]];
    table.with("Upgrade without a space", "Upgrade", &lines, 101);
    let lines = [&b"uPGRADE:   websocket \t "[..]];
    table.with("Upgrade in odd case and spaces", "Upgrade", &lines, 101);
}

fn versions_and_keys(table: &mut Table) {
    table.with(
        "Sec-WebSocket-Version missing",
        "Sec-WebSocket-Version",
        &[],
        426,
    );
    let wrong = [
        "", "0", "8", "12", "14", "013", "13.0", "+13", "1 3", "13, 8", "13,13", "255",
    ];
    table.values("Sec-WebSocket-Version", &wrong, 426);
    table.values("Sec-WebSocket-Version", &["13 ", "\t13\t", "   13"], 101);
    let line = &b"Sec-WebSocket-Version: 13"[..];
    table.with("version twice", "Sec-WebSocket-Version", &[line, line], 400);
    let lines = [line, &b"Sec-WebSocket-Version: 8"[..]];
    table.with("two versions", "Sec-WebSocket-Version", &lines, 400);

    table.with("no key", "Sec-WebSocket-Key", &[], 400);
    let line = format!("Sec-WebSocket-Key: {KEY}");
    let twice = [line.as_bytes(), line.as_bytes()];
    table.with("key twice", "Sec-WebSocket-Key", &twice, 400);
    let other = &b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="[..];
    let lines = [line.as_bytes(), other];
    table.with("two keys", "Sec-WebSocket-Key", &lines, 400);
    // 16 bytes, whatever the four bits say that belong to none; the answer hashes the text as it was sent.
    for (key, accept) in [
        ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
        ("dGhlIHNhbXBsZSBub25jZR==", "Zgw8jYXtqX5qJr7MJ1Q/MqzeSRI="),
        ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
        ("abcdefghijklmnopqrstuv==", "bgAIe1Uyl8RkKSUGzScol17gp1Y="),
        ("//////////////////////==", "zXRQvy1wi5A4l0hwWYxMN3e2wNk="),
        ("+/+/+/+/+/+/+/+/+/+/+/==", "d2eRHn4P8v3oIXxyXLb4lHM2A90="),
    ] {
        table.values("Sec-WebSocket-Key", &[key], 101);
        let row = table.0.last_mut().expect("just added");
        row.header = Some(("sec-websocket-accept", accept));
    }
    table.values(
        "Sec-WebSocket-Key",
        &[
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25jZWE=",
            "dGhlIHNhbXBsZSBub25jZWFh",
            "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBu b25jZQ==",
            "dGhlIHNhbXBsZSBub25_ZQ==",
            "dGhlIHNhbXBsZSBub25-ZQ==",
            "AA==",
            "====",
            "========================",
            "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        ],
        400,
    );
}

fn bodies(table: &mut Table) {
    for (line, status) in [
        ("Content-Length: 0", 101),
        ("Content-Length: 00", 101),
        ("Content-Length: 0\r\nContent-Length: 0", 101),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 0\r\nContent-Length: 5", 400),
        ("Content-Length: ", 400),
        ("Content-Length: +0", 400),
        ("Content-Length: 0x0", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            400,
        ),
        ("Transfer-Encoding: CHUNKED", 400),
        ("Expect: 100-continue", 101),
        ("Expect: something-else", 101),
        ("Content-Length: 1", 400),
        ("Content-Length: 5", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: x", 400),
        ("Content-Length: 99999999999999999999", 400),
        ("Transfer-Encoding: chunked", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: gzip, chunked", 400),
    ] {
        table.with(line, "", &[line.as_bytes()], status);
    }
}

fn hosts_and_repetitions(table: &mut Table) {
    table.with("no Host", "Host", &[], 400);
    let legal = [
        "example.com",
        "example.com:8000",
        "[::1]:8000",
        "xn--bcher-kva.example",
        "a_b",
        "EXAMPLE.com.",
        "example.com:",
        "caf%C3%A9.example",
        "[2001:db8::1]",
    ];
    table.values("Host", &legal, 101);
    let illegal = [
        "", "a b", "a/b", "a@b", "a,b", "a?b", "a\\b", "a#b", "<a>", "a\tb", "a\"b", ":80", "a:b",
        "a:80:90", "::1", "[::1", "[::1]80", "[]", "[1]", "a%", "a%zz", "http://a",
    ];
    table.values("Host", &illegal, 400);
    for (field, value) in [
        ("Host", "127.0.0.1:8000"),
        ("Origin", "http://127.0.0.1:8000"),
    ] {
        let line = format!("{field}: {value}");
        let lines = [line.as_bytes(), line.as_bytes()];
        table.with(&format!("{field} twice"), field, &lines, 400);
        table.with(&format!("{field} once"), field, &[line.as_bytes()], 101);
    }
    let lines = [&b"Host: a"[..], b"Host: b"];
    table.with("two hosts", "Host", &lines, 400);
    let lines = [&b"Cookie: a=1"[..], b"Cookie: b=2"];
    table.with("Cookie twice", "", &lines, 101);
    let lines = [
        &b"Authorization: Basic YQ=="[..],
        b"Authorization: Bearer a",
    ];
    table.with("Authorization twice, which nobody reads", "", &lines, 101);
    let lines = [
        &b"User-Agent: a"[..],
        b"User-Agent: b",
        b"Referer: c",
        b"referer: d",
    ];
    table.with("fields that nobody reads twice", "", &lines, 101);
    table.with(
        "obsolete folding",
        "Upgrade",
        &[b"Upgrade: h2c,", b" websocket"],
        400,
    );
    table.with(
        "space before the colon",
        "Upgrade",
        &[b"Upgrade : websocket"],
        400,
    );
    table.with("space in a name", "", &[b"X Y: 1"], 400);
    table.with("line without a colon", "", &[b"nonsense"], 400);
}

fn harmful_bytes(table: &mut Table) {
    // Control characters are no HTTP, wherever they are.
    for byte in [0x00, 0x01, 0x0b, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x7f] {
        for field in ["Origin", "Cookie", "X-Unread"] {
            let line = [field.as_bytes(), b": a", &[byte], b"b"].concat();
            let name = format!("{field} with byte {byte:02x}");
            table.with(&name, field, &[&line], 400);
        }
    }
    // Others are legal (RFC 9110 section 5.5), and are judged where the field is read.
    for byte in [0x80, 0xa0, 0xe9, 0xff] {
        for (field, status) in [
            ("Origin", 400),
            ("Cookie", 101),
            ("Authorization", 101),
            ("User-Agent", 101),
            ("Referer", 101),
            ("X-Forwarded-For", 101),
            ("Accept-Language", 101),
            ("Sec-WebSocket-Unknown", 101),
        ] {
            let line = [field.as_bytes(), b": a", &[byte], b"b"].concat();
            let name = format!("{field} with byte {byte:02x}");
            table.with(&name, field, &[&line], status);
        }
    }
    for field in [
        "Host",
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
    ] {
        let line = [field.as_bytes(), b": a\xe9b"].concat();
        table.with(&format!("{field} with byte e9"), field, &[&line], 400);
    }
    table.with(
        "a cookie in UTF-8",
        "",
        &["Cookie: name=J\u{fc}rgen; b=2".as_bytes()],
        101,
    );
    table.with("a tab in a value", "", &[b"X-Name: a\tb"], 101);
    table.with("an empty value", "", &[b"X-Name:"], 101);
    table.with("a NUL in a name", "", &[b"X\0: 1"], 400);
    table.with("a byte e9 in a name", "", &[b"X\xe9: 1"], 400);
    table.with("an empty name", "", &[b": 1"], 400);
    table.with("folded, unread", "", &[b"X-Name: a", b"\tb"], 400);
    table.with("Host before a space", "Host", &[b"Host : a"], 400);
}

fn extensions(table: &mut Table) {
    let legal = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=\"10\"; x",
        "permessage-deflate; a=\"\\1\\0\"",
        "permessage-deflate;a=1 , permessage-deflate;b , x-webkit-deflate-frame",
        "a,,b",
        ", permessage-deflate ,\t,",
        "PERMESSAGE-DEFLATE",
        "a; b=\"c\"; d=\"e\" , a; b=c",
        "no-such-extension",
    ];
    table.values("Sec-WebSocket-Extensions", &legal, 101);
    let broken = [
        "",
        ",",
        ";",
        "; a=1",
        "permessage-deflate;",
        "permessage-deflate; =1",
        "permessage-deflate; a=",
        "permessage-deflate; a=\"",
        "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"1 2\"",
        "permessage-deflate; a=\"1,2\"",
        "permessage-deflate; a=\"1\\\"",
        "permessage-deflate; a=1=2",
        "permessage-deflate a",
        "permessage-deflate; a b",
        "per/message",
        "\"permessage-deflate\"",
        "ok, bad(",
    ];
    table.values("Sec-WebSocket-Extensions", &broken, 400);
    let lines = [
        &b"Sec-WebSocket-Extensions: a"[..],
        b"Sec-WebSocket-Extensions: b;",
    ];
    table.with("second line of extensions broken", "", &lines, 400);
    let line = &b"Sec-WebSocket-Extensions: permessage-deflate"[..];
    table.with("extensions repeated", "", &[line, line], 101);
    let lines = [line, b"sec-websocket-extensions:"];
    table.with("extensions, and an empty line of them", "", &lines, 101);
}

fn protocols(table: &mut Table) {
    let legal = [
        "chat",
        "chat, superchat",
        "supportal.v2",
        "a,,b",
        " ,a",
        "a!#$%&'*+-.^_`|~",
    ];
    table.values("Sec-WebSocket-Protocol", &legal, 101);
    let broken = [
        "", ",", "a b", "a/b", "a;b", "\"a\"", "a, a", "a, b, a", "a=b", "(a)", "a, b c",
    ];
    table.values("Sec-WebSocket-Protocol", &broken, 400);
    let lines = [
        &b"Sec-WebSocket-Protocol: a"[..],
        b"Sec-WebSocket-Protocol: b",
    ];
    table.with("protocols in two lines", "", &lines, 101);
    let lines = [
        &b"Sec-WebSocket-Protocol: a ,"[..],
        b"sec-websocket-protocol: ,",
    ];
    table.with("protocols with an empty line", "", &lines, 101);
    let lines = [
        &b"Sec-WebSocket-Protocol: a"[..],
        b"Sec-WebSocket-Protocol: a",
    ];
    table.with("same protocol in two lines", "", &lines, 400);
}
