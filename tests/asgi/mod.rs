//! The guide's variants of asgi.py beside the settings that docs/django.md has for each: both read from that page, one
//! run by a real Django with Channels, the other by the node with that Django behind it.

use crate::manual::section;
use crate::support::http::{Response, open, read_response};
use crate::support::{Client, Gateway, repository, tools_dir};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long Python may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CHAT: &str = "/ws/chat/1/abc/";

/// The API's token, for the one test that asks who is there.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The texts of the blocks of one language in a section.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let after = section.split(&fence).skip(1);
    after
        .map(|rest| rest.split("```").next().expect("an end").to_owned())
        .collect()
}

/// A variant as it runs: its Django, and the node in front of it.
struct Variant {
    gateway: Gateway,
    site: SocketAddr,
    /// The cookie of a user who is logged in.
    cookie: String,
    child: Child,
    _folder: TempDir,
}

impl Variant {
    /// Runs what the manual says of it, with this much more in the node's settings.
    #[track_caller]
    fn start(name: &str, more: &str) -> Self {
        let (_, text) = section(&format!("asgi {name}"));
        let python = blocks(&text, "python");
        let titled = |title: &str| python.iter().find(|block| block.starts_with(title));
        let none = "from django.http import Http404\n\ndef who(request):\n    raise Http404\n";
        let folder = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: &str| {
            std::fs::write(folder.path().join(file), text).expect(file);
        };
        write("asgi.py", &python[0]);
        write(
            "chat_view.py",
            titled("# chat_view.py").map_or(none, |block| block),
        );
        write(
            "site_settings.py",
            titled("# settings.py").map_or("", |block| block),
        );
        let (child, line) = site(folder.path());
        let port = &line["port"];
        let toml = blocks(&text, "toml").concat();
        let toml = toml.replace("127.0.0.1:8001", &format!("127.0.0.1:{port}"));
        Self {
            gateway: Gateway::start_with_toml(&format!("{toml}\n{more}")),
            site: format!("127.0.0.1:{port}").parse().expect("an address"),
            cookie: format!("sessionid={}", line["session"].as_str().expect("a key")),
            child,
            _folder: folder,
        }
    }

    /// Do both let this handshake in, or refuse it alike? True if they let it in.
    #[track_caller]
    fn are_alike(&self, path: &str, fields: &[(&str, &str)]) -> bool {
        let of = |address| Client::open(address, path, fields).map_err(|refusal| refusal.status);
        let (theirs, ours) = (of(self.site), of(self.gateway.public()));
        let (theirs, ours) = (theirs.err(), ours.err());
        assert_eq!(ours, theirs, "{path} {fields:?}");
        ours.is_none()
    }

    /// What both say to a GET.
    #[track_caller]
    fn get(&self, fields: &str) -> [Response; 2] {
        [self.site, self.gateway.public()].map(|address| get(address, "/page/", fields))
    }
}

impl Drop for Variant {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The Django of a folder, and what its first line says.
#[track_caller]
fn site(folder: &Path) -> (Child, Value) {
    let python = tools_dir().join("upstream/bin/python");
    let mut child = Command::new(&python)
        .arg(repository().join("tests/asgi/site.py"))
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run install", python.display()));
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    output.read_line(&mut line).expect("a line");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    let port = line["port"].as_u64().expect("a port");
    crate::support::wait::until("uvicorn to listen", PATIENCE, || {
        std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok()
    });
    (child, line)
}

#[track_caller]
fn get(address: SocketAddr, path: &str, fields: &str) -> Response {
    let mut stream = open(address);
    stream.set_read_timeout(Some(PATIENCE)).expect("a setting");
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    read_response(&mut stream).expect("an answer").0
}

/// The fields of CORS in an answer, in their order.
fn cors(answer: &Response) -> Vec<&(String, String)> {
    let fields = answer.headers.iter();
    fields
        .filter(|(name, _)| name.starts_with("access-control") || name == "vary")
        .collect()
}

#[test]
fn auth_middleware_stack_knows_who_is_logged_in_and_lets_all_others_in_too() {
    let variant = Variant::start("auth", &format!("[api]\ntoken = \"{TOKEN}\""));
    let gateway = &variant.gateway;
    // As whom Channels takes them, and as whom the node does: only its user is closed by name.
    for (cookie, user) in [
        (variant.cookie.as_str(), Some("7")),
        ("sessionid=00000000000000000000000000000000", None),
        ("sessionid=short", None),
        ("another=1", None),
    ] {
        let fields = [("Cookie", cookie), ("Origin", "https://anywhere.example")];
        assert!(variant.are_alike(CHAT, &fields));
        let mut theirs = Client::open(variant.site, CHAT, &fields).expect("in");
        assert_eq!(theirs.receive_text(), user.unwrap_or("None"), "{cookie}");
        let mut ours = gateway.connect_with(CHAT, &fields);
        ours.skip_welcome();
        let asked = json!({ "user": "7", "code": 4001 }).to_string();
        let answer = gateway
            .exchange(
                format!(
                    "POST /api/disconnect HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {TOKEN}\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{asked}",
                    asked.len()
                )
                .as_bytes(),
            )
            .expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        match user {
            Some(_) => assert_eq!(ours.expect_close().0, 4001),
            None => {
                ours.send_text(&crate::support::user("still here"));
                assert_eq!(ours.receive_json()["message"], "still here");
            }
        }
    }
}

#[test]
fn custom_routes_beside_the_packages_stay_with_the_site() {
    let variant = Variant::start("custom", "");
    let fields = [("Cookie", variant.cookie.as_str())];
    for address in [variant.site, variant.gateway.public()] {
        let mut custom = Client::open(address, "/ws/custom/", &fields).expect("in");
        assert_eq!(custom.receive_text(), "7");
        let mut custom = Client::open(address, "/ws/custom/", &[]).expect("in");
        assert_eq!(custom.receive_text(), "None");
    }
    assert!(variant.are_alike(CHAT, &[]));
    assert!(!variant.are_alike("/ws/nobody/", &[]));
}

#[test]
fn allowed_hosts_origin_validator_lets_in_and_refuses_as_the_node_does() {
    let variant = Variant::start("origins", "");
    let alike = |origin: &[(&str, &str)]| variant.are_alike(CHAT, origin);
    for origin in [
        "https://example.com",
        "http://www.example.com:8080",
        "http://127.0.0.1:3000",
    ] {
        assert!(alike(&[("Origin", origin)]), "{origin}");
        assert!(variant.are_alike("/ws/chat/12/a.b-c/", &[("Origin", origin)]));
    }
    for origin in [
        "https://evilexample.com",
        "https://example.com.evil.example",
        "null",
        "example.com",
        "",
    ] {
        assert!(!alike(&[("Origin", origin)]), "{origin}");
    }
    assert!(!alike(&[]));
}

#[test]
fn cors_middleware_goes_on_working_and_nothing_is_said_twice() {
    let variant = Variant::start("cors", &format!("[api]\ntoken = \"{TOKEN}\""));
    for (origin, allowed) in [
        ("Origin: https://shop.example.com\r\n", true),
        ("Origin: https://evil.example\r\n", false),
        ("", false),
    ] {
        let [theirs, ours] = variant.get(origin);
        assert_eq!((ours.status, ours.text()), (200, theirs.text()));
        assert_eq!(cors(&ours), cors(&theirs), "{origin}");
        let named = "access-control-allow-origin";
        assert_eq!(ours.header(named).is_some(), allowed, "{origin}");
        let own = get(variant.gateway.public(), "/api/presence", origin);
        assert_eq!((own.status, own.header(named).is_some()), (401, allowed));
    }
    // Asked by a browser before it sends: each is answered by whose the path is.
    let preflight = |path| {
        let head = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: example.com\r\nOrigin: https://shop.example.com\r\n\
             Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
        );
        [variant.site, variant.gateway.public()].map(|address| {
            crate::support::http::exchange(address, head.as_bytes()).expect("an answer")
        })
    };
    let [theirs, ours] = preflight("/page/");
    assert_eq!((ours.status, cors(&ours)), (200, cors(&theirs)));
    let [theirs, ours] = preflight("/api/publish");
    assert_eq!((theirs.status, ours.status), (200, 200));
}

#[test]
fn cors_middleware_around_the_application_as_the_guide_has_it_fails_in_django_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |file: &str, text: &str| std::fs::write(folder.path().join(file), text).expect(file);
    write(
        "asgi.py",
        "from channels.routing import ProtocolTypeRouter\nfrom corsheaders.middleware import CorsMiddleware\n\
         application = ProtocolTypeRouter({\"http\": CorsMiddleware(django_asgi_app)})\n",
    );
    write("chat_view.py", "def who(request):\n    pass\n");
    write("site_settings.py", "");
    let (mut child, line) = site(folder.path());
    let address = format!("127.0.0.1:{}", line["port"]).parse();
    let answer = get(address.expect("an address"), "/page/", "");
    drop(child.kill());
    drop(child.wait());
    assert_eq!(answer.status, 500);
}

#[test]
fn secure_ssl_redirect_sends_pages_to_https_once_and_lets_no_chat_in_without() {
    let variant = Variant::start("https", "");
    let [theirs, ours] = variant.get("");
    // 308 for their 301: the method stays.
    assert_eq!((theirs.status, ours.status), (301, 308));
    assert_eq!(ours.header("location"), Some("https://example.com/page/"));
    assert_eq!(theirs.header("location"), ours.header("location"));
    for page in variant.get("X-Forwarded-Proto: https\r\n") {
        assert_eq!((page.status, page.text()), (200, "secure".to_owned()));
    }
    let gateway = &variant.gateway;
    let refused = gateway.try_connect(CHAT).expect_err("no TLS");
    assert_eq!(refused.status, 403);
    gateway.connect_with(CHAT, &[("X-Forwarded-Proto", "https")]);
}
