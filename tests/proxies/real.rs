//! Real proxies in front, by the words of docs/operation.md and docs/security.md: nginx and Caddy say who asks in fields, HAProxy in a PROXY
//! header.

use crate::support::deployment::certify;
use crate::support::redis::free_port;
use crate::support::{Gateway, repository, tls, wait};
use crate::upstream::puppet::Puppet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a proxy may take to start.
const START: Duration = Duration::from_secs(20);

/// A proxy that ends TLS at a port of its own.
struct Proxy {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The block of this language in a page of docs/.
fn documented_in(page: &str, language: &str) -> String {
    let text = fs::read_to_string(repository().join("docs").join(page)).expect("the page");
    let fence = format!("```{language}\n");
    let block = text.split_once(&fence).expect("a block of this language").1;
    block.split_once("```").expect("its end").0.to_owned()
}

fn documented(language: &str) -> String {
    documented_in("operation.md", language)
}

/// A proxy run by `command`, given the text and the folder of its configuration, in front of `gateway`.
#[track_caller]
fn start(
    gateway: &Gateway,
    configuration: impl FnOnce(&str, u16) -> String,
    command: impl FnOnce(&str) -> Command,
) -> Proxy {
    let folder = tempfile::tempdir().expect("a folder");
    certify(folder.path(), &[]);
    let path = folder.path().display().to_string();
    let pem = ["cert.pem", "key.pem"].map(|name| fs::read_to_string(folder.path().join(name)));
    let pem = pem.map(|text| text.expect("made by openssl")).concat();
    fs::write(folder.path().join("both.pem"), pem).expect("a file");
    let port = free_port();
    let text = configuration(&path, port);
    let text = text.replace("127.0.0.1:8000", &gateway.public().to_string());
    fs::write(folder.path().join("proxy.conf"), text).expect("a file");
    let child = command(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the proxy; tests/run install");
    let proxy = Proxy {
        child,
        port,
        _folder: folder,
    };
    wait::until("the proxy to listen", START, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    proxy
}

fn nginx(gateway: &Gateway) -> Proxy {
    nginx_by(gateway, &documented("nginx"))
}

/// nginx by the words of a page.
fn nginx_by(gateway: &Gateway, server: &str) -> Proxy {
    let configuration = |folder: &str, port: u16| {
        let tls =
            format!("ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;");
        let server = server.replace(
            "listen 443 ssl;",
            &format!("listen 127.0.0.1:{port} ssl; {tls}"),
        );
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {folder}/{name};"));
        format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 64; }}\nhttp {{ access_log off; {}\n{server}}}\n",
            temporary.concat()
        )
    };
    start(gateway, configuration, |folder| {
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-p", folder, "-e", "error.log", "-c", "proxy.conf"]);
        command
    })
}

/// HAProxy by the words of this page.
fn haproxy(gateway: &Gateway, page: &str) -> Proxy {
    let configuration = |folder: &str, port: u16| {
        documented_in(page, "haproxy")
            .replace("bind :443", &format!("bind 127.0.0.1:{port}"))
            .replace(
                "/etc/haproxy/example.com.pem",
                &format!("{folder}/both.pem"),
            )
    };
    start(gateway, configuration, |folder| {
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f", &format!("{folder}/proxy.conf")]);
        command
    })
}

fn caddy(gateway: &Gateway) -> Proxy {
    let configuration = |folder: &str, port: u16| {
        let tls = format!("bind 127.0.0.1\n    tls {folder}/cert.pem {folder}/key.pem");
        let site = documented("caddyfile")
            .replace("example.com {", &format!("https://:{port} {{\n    {tls}"));
        format!("{{\n    admin off\n    auto_https disable_redirects\n}}\n{site}")
    };
    start(gateway, configuration, |folder| {
        let mut command = Command::new("/usr/bin/caddy");
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(format!("{folder}/proxy.conf"))
            .env("HOME", folder)
            .env("XDG_DATA_HOME", folder)
            .env("XDG_CONFIG_HOME", folder);
        command
    })
}

/// curl over TLS from this address of the machine, with these further arguments: the command.
fn curl(proxy: &Proxy, from: &str, path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    let url = format!("https://127.0.0.1:{}{path}", proxy.port);
    command
        .args(["-sk", "--http1.1", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["--interface", from, "-H", "Host: example.com", &url])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// A handshake from a page of the site itself.
const UPGRADE: [&str; 10] = [
    "-H",
    "Origin: https://example.com",
    "-H",
    "Connection: Upgrade",
    "-H",
    "Upgrade: websocket",
    "-H",
    "Sec-WebSocket-Version: 13",
    "-H",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// The status of a request.
#[track_caller]
fn ask(proxy: &Proxy, from: &str, path: &str, arguments: &[&str]) -> String {
    let output = curl(proxy, from, path, arguments).output().expect("curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is asked of a gateway behind either proxy, one connection being allowed for each client.
#[track_caller]
fn check(gateway: &Gateway, proxy: &Proxy) {
    const PATH: &str = "/ws/chat/1/real/";
    // A secure page, and none without the proxy.
    assert_eq!(ask(proxy, "127.0.0.3", "/client.js", &[]), "200");
    // A handshake is held open.
    let mut held = curl(proxy, "127.0.0.3", PATH, &UPGRADE);
    let mut held = held.args(["-m", "60"]).spawn().expect("curl");
    wait::until("the first client", START, || {
        gateway.metric("supportal_connections") >= 1.0
    });
    // What the client says of itself changes nothing.
    let lies = [
        &UPGRADE[..],
        &[
            "-H",
            "X-Forwarded-For: 192.0.2.9",
            "-H",
            "Forwarded: for=192.0.2.9",
        ],
        &["-H", "X-Forwarded-Host: evil.example"],
    ]
    .concat();
    assert_eq!(
        ask(proxy, "127.0.0.3", PATH, &lies),
        "429",
        "the same client"
    );
    let other = [&UPGRADE[..], &["-m", "1"]].concat();
    assert_eq!(
        ask(proxy, "127.0.0.4", PATH, &other),
        "101",
        "another client"
    );
    let foreign = [&["-H", "Origin: https://evil.example"], &UPGRADE[2..]].concat();
    assert_eq!(
        ask(proxy, "127.0.0.6", PATH, &foreign),
        "403",
        "a foreign page"
    );
    held.kill().expect("a signal");
    held.wait().expect("its end");
}

/// One connection for each client, by TLS alone, and by cookies, so from the site's own pages.
fn behind(header: &[&str]) -> Gateway {
    let settings = [
        "limits.connections_per_ip=1",
        "http.require_tls=true",
        "proxy.trusted=[\"127.0.0.1\"]",
        "auth.mode=[\"jwt\", \"none\"]",
        "auth.jwt.secret=0123456789abcdef0123456789abcdef",
        "auth.jwt.cookie=token",
    ];
    Gateway::start(&[&settings[..], header].concat())
}

#[test]
fn behind_nginx_a_client_is_who_it_is() {
    let gateway = behind(&[
        "proxy.header=x-forwarded-for",
        "proxy.believe=for,proto,host",
    ]);
    let proxy = nginx(&gateway);
    assert_eq!(gateway.get("/client.js").status, 308, "without the proxy");
    check(&gateway, &proxy);
}

/// By the chapter for those who run a Django site.
#[test]
fn behind_nginx_chats_come_here_and_pages_go_to_django() {
    let site = Puppet::friendly();
    let gateway = Gateway::start(&[]);
    let server = documented_in("django.md", "nginx");
    let server = server.replace("127.0.0.1:8001", &site.address().to_string());
    let proxy = nginx_by(&gateway, &server);
    assert_eq!(ask(&proxy, "127.0.0.1", "/supportal/", &[]), "200");
    let heads = site.heads().concat().to_ascii_lowercase();
    assert!(
        heads.contains("x-forwarded-proto: https") && heads.contains("host: example.com"),
        "{heads}"
    );
    let briefly = [&UPGRADE[..], &["-m", "1"]].concat();
    let path = "/ws/chat/1/abc/";
    assert_eq!(ask(&proxy, "127.0.0.1", path, &briefly), "101");
    assert_eq!(site.heads().len(), 1, "the site has seen no chat");
}

#[test]
fn behind_caddy_a_client_is_who_it_is() {
    let gateway = behind(&[
        "proxy.header=x-forwarded-for",
        "proxy.believe=for,proto,host",
    ]);
    let proxy = caddy(&gateway);
    check(&gateway, &proxy);
}

#[test]
fn behind_haproxy_a_client_is_who_it_is() {
    let gateway = behind(&["proxy.header=proxy_protocol"]);
    let proxy = haproxy(&gateway, "operation.md");
    assert_eq!(gateway.get("/client.js").status, 400, "without the header");
    check(&gateway, &proxy);
}

#[test]
fn behind_haproxy_that_passes_tls_through_a_client_is_who_it_is() {
    let [certificate, key] = tls::settings("main");
    let gateway = behind(&["proxy.header=proxy_protocol", &certificate, &key]);
    let proxy = haproxy(&gateway, "security.md");
    check(&gateway, &proxy);
    let shaken = "supportal_tls_handshakes_total{kind=\"full\"}";
    assert!(gateway.metric(shaken) >= 5.0, "TLS ends here");
}
