//! Real Django under uvicorn behind the node, alone and with nginx in front of both.

use crate::support::http::{Response, open, read_response};
use crate::support::{Client, Frame, Gateway, PATIENCE, repository, tools_dir, wait};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long Python may take to start.
const START: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The site, and its port.
fn site(folder: &TempDir) -> (Ended, u16) {
    let python = tools_dir().join("upstream/bin/python");
    let mut child = Command::new(&python)
        .arg(repository().join("tests/upstream/site.py"))
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run install", python.display()));
    let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let site = Ended(child);
    let mut line = String::new();
    output.read_line(&mut line).expect("the port");
    let port = line.trim().parse().expect("a port");
    wait::until("uvicorn to listen", START, || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    (site, port)
}

/// nginx in front of the gateway, as docs/operation.md has it.
fn nginx(folder: &TempDir, gateway: SocketAddr) -> (Ended, SocketAddr) {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    let path = folder.path().display();
    let configuration = format!(
        "daemon off; master_process off; pid {path}/nginx.pid; error_log {path}/error.log; worker_processes 1;
         events {{ worker_connections 64; }}
         http {{
           access_log off;
           client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
           uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
           map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
           upstream gateway {{ server {gateway}; keepalive 4; }}
           server {{
             listen {port};
             client_max_body_size 0;
             location / {{
               proxy_pass http://gateway;
               proxy_http_version 1.1;
               proxy_set_header Host $http_host;
               proxy_set_header Upgrade $http_upgrade;
               proxy_set_header Connection $connection_upgrade;
               proxy_request_buffering off;
               proxy_buffering off;
             }}
           }}
         }}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration).expect("the configuration");
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder.path())
        .spawn();
    let nginx = Ended(child.unwrap_or_else(|error| panic!("nginx: {error}; tests/run install")));
    wait::until("nginx to listen", PATIENCE, || {
        TcpStream::connect(port).is_ok()
    });
    (nginx, port)
}

/// One request; what follows the head is `body`.
#[track_caller]
fn request(address: SocketAddr, line: &str, fields: &str, body: &[u8]) -> Response {
    let mut stream = open(address);
    stream.set_read_timeout(Some(START)).expect("a setting");
    let head =
        format!("{line} HTTP/1.1\r\nHost: a.example:8000\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    read_response(&mut stream).expect("an answer").0
}

/// The cookie of this name that an answer sets.
fn cookie(answer: &Response, name: &str) -> String {
    let cookies = answer
        .headers
        .iter()
        .filter(|(field, _)| field == "set-cookie");
    let value = cookies
        .filter_map(|(_, value)| {
            value
                .strip_prefix(name)?
                .strip_prefix('=')?
                .split(';')
                .next()
        })
        .next();
    value.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// Logs in at the admin's own form; the session's cookie.
fn log_in(address: SocketAddr) -> String {
    let form = request(address, "GET /admin/login/", "", b"");
    assert_eq!(form.status, 200);
    let token = cookie(&form, "csrftoken");
    let body = format!("csrfmiddlewaretoken={token}&username=admin&password=secret&next=/admin/");
    let fields = format!(
        "Cookie: csrftoken={token}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    );
    let entered = request(address, "POST /admin/login/", &fields, body.as_bytes());
    assert_eq!(
        (entered.status, entered.header("location")),
        (302, Some("/admin/"))
    );
    format!("sessionid={}", cookie(&entered, "sessionid"))
}

/// A file of 50 MB.
fn upload(address: SocketAddr) {
    let file: Vec<u8> = (0..50 * 1024 * 1024_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
        .collect();
    let start = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let body = [start.as_bytes(), &file, b"\r\n--x--\r\n"].concat();
    let fields = format!(
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n",
        body.len()
    );
    let answer = request(address, "POST /upload/", &fields, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["bytes"], file.len());
    assert_eq!(answer.json()["crc32"], crc32fast::hash(&file));
}

/// Everything that the site does, at this address.
fn suite(address: SocketAddr) {
    let session = log_in(address);
    let page = request(
        address,
        "GET /admin/",
        &format!("Cookie: {session}\r\n"),
        b"",
    );
    assert!(page.status == 200 && page.text().contains("Site administration"));
    let whoami = request(
        address,
        "GET /whoami/?a=b",
        &format!("X-Forwarded-Proto: https\r\nCookie: {session}\r\n"),
        b"",
    )
    .json();
    assert_eq!(whoami["user"], "admin");
    assert_eq!(whoami["url"], "http://a.example:8000/whoami/?a=b");
    assert_eq!(
        (&whoami["address"], &whoami["secure"]),
        (&"127.0.0.1".into(), &false.into())
    );
    assert_eq!(request(address, "GET /nowhere/", "", b"").status, 404);
    upload(address);

    let mut stream = open(address);
    stream
        .write_all(b"GET /stream/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .expect("sent");
    let mut said = String::new();
    while !said.contains("data: 5\n\n") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).expect("an event");
        assert!(count > 0, "ended after {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    drop(stream);

    let mut custom = Client::open(address, "/ws/custom/", &[("Cookie", &session)])
        .expect("the site's WebSocket");
    assert_eq!(custom.receive_text(), "hello admin");
    let long = "é".repeat(40_000);
    for text in ["a", "", &long] {
        custom.send_text(text);
        assert_eq!(custom.receive_text(), *text);
    }
    custom.send_binary(&[0, 1, 255]);
    assert_eq!(custom.receive(), Frame::Binary(vec![0, 1, 255]));
    custom.send_text("close");
    assert_eq!(custom.expect_close(), (4001, "as asked".to_owned()));
    let mut anonymous = Client::open(address, "/ws/custom/", &[]).expect("the site's WebSocket");
    assert_eq!(anonymous.receive_text(), "hello AnonymousUser");
    // uvicorn's answer to a path that is no consumer's.
    assert_eq!(
        Client::open(address, "/ws/nowhere/", &[])
            .expect_err("no route")
            .status,
        500
    );

    let mut chat = Client::open(address, "/ws/chat/1/a/", &[]).expect("our own");
    chat.skip_welcome();
    chat.send_text(&crate::support::user("hello"));
    assert_eq!(chat.receive_json()["message"], "hello");
}

#[test]
fn a_django_site_is_whole_behind_one_port_alone_and_behind_nginx() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_site, port) = site(&folder);
    let gateway = Gateway::start(&[&format!("http.upstream=http://127.0.0.1:{port}")]);
    suite(gateway.public());
    let (_nginx, front) = nginx(&folder, gateway.public());
    suite(front);
    wait::until("all to be over", PATIENCE, || {
        gateway.metric("supportal_upstream_requests")
            + gateway.metric("supportal_upstream_websockets")
            == 0.0
    });
}
