//! Ways in that are no address of ours: a Unix socket, and sockets that a supervisor has opened.

use super::{handshake, page};
use crate::support::{Gateway, PATIENCE, Signal, frame, http, user, wait};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATH: &str = "/ws/chat/1/sockets/";

/// Says this over a Unix socket and reads one answer's head.
#[track_caller]
fn ask(path: &Path, bytes: &[u8]) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(path).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(bytes).expect("a request");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("an answer") == 1 {
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).expect("text"))
}

fn status(head: &str) -> &str {
    head.get(9..12).unwrap_or_default()
}

/// A gateway with a socket in a folder.
fn gateway(settings: &[&str]) -> (Gateway, TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chat.sock");
    let listen = format!("server.listen_unix={}", path.display());
    let gateway = Gateway::start(&[&[listen.as_str()], settings].concat());
    (gateway, folder, path)
}

#[test]
fn a_chat_goes_over_a_unix_socket_as_over_tcp() {
    let (gateway, _folder, path) = gateway(&["server.drain_grace=2s"]);
    let mut other = gateway.join("sockets");
    let (mut stream, head) = ask(&path, handshake(PATH, "").as_bytes());
    assert_eq!(status(&head), "101", "{head}");
    let message = frame(0x81, user("by the socket").as_bytes());
    stream.write_all(&message).expect("a message");
    assert!(other.receive_text().contains("by the socket"));
    other.send_text(&user("by TCP"));
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while !heard.windows(6).any(|window| window == b"by TCP") {
        let count = stream.read(&mut piece).expect("a frame");
        assert!(count > 0, "closed");
        heard.extend_from_slice(&piece[..count]);
    }
    let (_, head) = ask(&path, page("/client.js", "").as_bytes());
    assert_eq!(status(&head), "200");
    // At the end it is closed with a close frame, and the file is gone.
    gateway.signal(Signal::Int);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the end");
    assert!(rest.windows(2).any(|code| code == 1012_u16.to_be_bytes()));
    assert_eq!(gateway.wait_exit(PATIENCE * 4), Some(0));
    assert!(!path.exists(), "the socket's file is left behind");
}

#[test]
fn peers_of_a_unix_socket_are_one_or_who_they_say_they_are() {
    let limit = "limits.connections_per_ip=1";
    let (_one, _folder, path) = gateway(&[limit]);
    let client = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let open = |path: &Path, lines: &str| {
        let (stream, head) = ask(path, handshake(PATH, lines).as_bytes());
        (stream, status(&head).to_owned())
    };
    let held = open(&path, &client("192.0.2.1"));
    assert_eq!(held.1, "101");
    assert_eq!(open(&path, &client("192.0.2.2")).1, "429");
    let trust = ["proxy.trusted=unix", "proxy.header=x-forwarded-for", limit];
    let (_trusting, _folder, path) = gateway(&trust);
    let held = open(&path, &client("192.0.2.1"));
    assert_eq!(held.1, "101");
    assert_eq!(open(&path, &client("192.0.2.1")).1, "429");
    assert_eq!(open(&path, &client("192.0.2.2")).1, "101");
}

#[test]
fn a_proxy_at_a_unix_socket_that_is_not_trusted_is_counted_and_told() {
    let (gateway, _folder, path) = gateway(&[
        "proxy.trusted=[\"10.0.0.0/8\"]",
        "proxy.header=proxy_protocol",
    ]);
    let line = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    let (_stream, head) = ask(&path, [line, &handshake(PATH, "")].concat().as_bytes());
    assert_eq!(status(&head), "400");
    let (_member, head) = ask(&path, handshake(PATH, "").as_bytes());
    assert_eq!(status(&head), "101");
    assert_eq!(gateway.metric("supportal_proxy_unbelieved_total"), 1.0);
    let log = gateway.wait_log(
        "what is said in the place of proxy.header is not believed",
        1,
    );
    assert!(log.contains("\"address\":\"unix\""), "{log}");
}

/// The server under a supervisor: a Python process that opens what it is asked to, and becomes the server.
struct Supervised {
    child: Child,
    notices: UnixDatagram,
    _folder: TempDir,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const SUPERVISOR: &str = r#"
import fcntl, os, socket, sys
given = []
for kind in sys.argv[1].split(","):
    if kind == "tcp":
        opened = socket.create_server(("127.0.0.1", 0))
        print(opened.getsockname()[1], flush=True)
    elif kind == "unix":
        opened = socket.socket(socket.AF_UNIX)
        opened.bind(sys.argv[2])
        opened.listen(16)
    elif kind == "udp":
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    else:
        continue
    given.append(opened.detach())
if given:
    spare = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in given]
    for place, fd in enumerate(spare, 3):
        os.dup2(fd, place)
    os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = str(len(given)), str(os.getpid())
os.execv(sys.argv[3], sys.argv[3:])
"#;

/// Starts it with these sockets, and tells the port of the TCP one.
fn supervise(sockets: &str, unix: &Path, watchdog: Option<&str>) -> (Supervised, Option<u16>) {
    let folder = tempfile::tempdir().expect("a folder");
    let notify = folder.path().join("notify");
    let notices = UnixDatagram::bind(&notify).expect("a socket");
    notices
        .set_read_timeout(Some(PATIENCE * 4))
        .expect("a timeout");
    let mut command = Command::new("python3");
    command
        .args(["-c", SUPERVISOR, sockets])
        .arg(unix)
        .arg(env!("CARGO_BIN_EXE_supportal"))
        .args(["--listen", "127.0.0.1:1", "--admin", "127.0.0.1:0"])
        .args([
            "--set",
            "assistant.kind=none",
            "--set",
            "server.drain_notice=0s",
        ])
        .env("NOTIFY_SOCKET", &notify)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(microseconds) = watchdog {
        command.env("WATCHDOG_USEC", microseconds);
    }
    let mut child = command.spawn().expect("python3");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    if sockets.contains("tcp") {
        output.read_line(&mut line).expect("a port");
    }
    let supervised = Supervised {
        child,
        notices,
        _folder: folder,
    };
    (supervised, line.trim().parse().ok())
}

impl Supervised {
    /// The next thing that the supervisor is told.
    #[track_caller]
    fn told(&self) -> String {
        let mut notice = [0; 1024];
        let count = self.notices.recv(&mut notice).expect("a notice");
        String::from_utf8_lossy(&notice[..count]).into_owned()
    }

    /// The next thing but for signs of life.
    #[track_caller]
    fn told_next(&self) -> String {
        loop {
            let told = self.told();
            if !told.starts_with("WATCHDOG") {
                return told;
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok();
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process id");
        rustix::process::kill_process(pid, signal).expect("a signal");
    }
}

#[test]
fn sockets_of_a_supervisor_are_served_and_it_is_told_how_things_stand() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("given.sock");
    for sockets in ["tcp,unix", "unix,tcp"] {
        drop(std::fs::remove_file(&path));
        let (mut server, port) = supervise(sockets, &path, Some("200000"));
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("a port")));
        // Clients that come before the server is there wait.
        let mut early = TcpStream::connect(address).expect("a connection");
        early
            .set_read_timeout(Some(PATIENCE * 4))
            .expect("a timeout");
        early
            .write_all(page("/client.js", "Connection: close\r\n").as_bytes())
            .expect("a request");
        let mut answer = Vec::new();
        early.read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        let (_stream, head) = ask(&path, handshake(PATH, "").as_bytes());
        assert_eq!(status(&head), "101");
        let ready = server.told();
        assert!(ready.contains("READY=1"), "{ready}");
        assert!(
            ready.contains(&format!("STATUS=listening on {address}")),
            "{ready}"
        );
        for _ in 0..3 {
            assert_eq!(server.told().trim(), "WATCHDOG=1");
        }
        server.signal(rustix::process::Signal::HUP);
        let reloading = server.told_next();
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert_eq!(server.told_next().trim(), "READY=1");
        server.signal(rustix::process::Signal::TERM);
        assert!(server.told_next().contains("STOPPING=1"));
        assert!(server.child.wait().expect("its end").success());
        // Whoever opened the socket keeps its file.
        assert!(path.exists());
    }
}

#[test]
fn a_supervisor_that_reads_no_notices_holds_nothing_up() {
    let (mut server, port) = supervise("tcp", Path::new("unused"), Some("200000"));
    let address = SocketAddr::from(([127, 0, 0, 1], port.expect("a port")));
    let head = page("/client.js", "Connection: close\r\n");
    let is_served = || http::exchange(address, head.as_bytes()).map(|answer| answer.status);
    assert_eq!(is_served(), Some(200));
    // Nobody reads what is there, and there is no room for more.
    let name = server.notices.local_addr().expect("its address");
    let other = UnixDatagram::unbound().expect("a socket");
    other.set_nonblocking(true).expect("a setting");
    let full = (0..100_000).find_map(|_| other.send_to_addr(b"x", &name).err());
    let full = full.map(|error| error.kind());
    assert_eq!(full, Some(ErrorKind::WouldBlock));
    // Longer than a sign of life is due.
    wait::pass(Duration::from_millis(300));
    server.signal(rustix::process::Signal::HUP);
    assert_eq!(is_served(), Some(200));
    server.signal(rustix::process::Signal::TERM);
    let mut status = None;
    wait::until("the server to exit", PATIENCE * 4, || {
        status = server.child.try_wait().expect("the child's status");
        status.is_some()
    });
    assert!(status.expect("just seen").success());
}

#[test]
fn sockets_that_cannot_be_served_stop_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for sockets in ["udp", "tcp,tcp"] {
        let (mut server, _port) = supervise(sockets, &folder.path().join("s"), None);
        let status = server.child.wait().expect("its end");
        assert_eq!(status.code(), Some(1), "{sockets}");
    }
}

#[test]
fn a_file_in_the_place_of_the_socket_stops_the_start_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chat.sock");
    std::fs::write(&path, "precious").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_supportal"))
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--set", &format!("server.listen_unix={}", path.display())])
        .env_clear()
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("(server.listen_unix)"), "{log}");
    assert_eq!(std::fs::read(&path).expect("untouched"), b"precious");
    let refused = UnixStream::connect(&path).expect_err("no socket");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
