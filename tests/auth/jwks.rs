//! `auth.jwt.jwks` at an https address: a login service whose certificate an authority of our own has signed.

use super::{PATH, connect, good, vectors};
use crate::support::deployment::{NAMES, certify};
use crate::support::{Gateway, http, wait};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use tempfile::TempDir;

/// A server of https that answers every request with the same bytes.
struct LoginService {
    port: u16,
    folder: TempDir,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl LoginService {
    /// With a certificate for these names, which gives the set of the vectors.
    #[track_caller]
    fn start(names: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let end = "basicConstraints=critical,CA:FALSE";
        certify(folder.path(), &["-addext", names, "-addext", end]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let service = Self {
            port: listener.local_addr().expect("an address").port(),
            answer: Arc::default(),
            asked: Arc::default(),
            folder,
        };
        service.gives("200 OK", &vectors()["jwks"].to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = CertificateDer::pem_file_iter(service.file("cert.pem"));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                certificates
                    .expect("a file")
                    .map(|certificate| certificate.expect("a certificate"))
                    .collect(),
                PrivateKeyDer::from_pem_file(service.file("key.pem")).expect("a key"),
            )
            .expect("a certificate of this key");
        let (config, answer) = (Arc::new(config), Arc::clone(&service.answer));
        let asked = Arc::clone(&service.asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = rustls::ServerConnection::new(Arc::clone(&config));
                let stream = rustls::StreamOwned::new(connection.expect("a connection"), stream);
                let mut tls = BufReader::new(stream);
                let mut line = String::new();
                while tls.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
                    line.clear();
                }
                // Of who does not trust this service nothing comes.
                if line == "\r\n" {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let answer = answer.lock().expect("not poisoned").clone();
                    drop(tls.get_mut().write_all(&answer));
                }
            }
        });
        service
    }

    fn gives(&self, status: &str, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        *self.answer.lock().expect("not poisoned") = answer.into_bytes();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The settings of a node that asks this service by this name.
    fn settings(&self, host: &str) -> Vec<String> {
        vec![
            "auth.mode=jwt".to_owned(),
            format!("auth.jwt.jwks=https://{host}:{}/jwks.json", self.port),
        ]
    }

    #[track_caller]
    fn node(&self, host: &str, more: &[String]) -> Gateway {
        let settings = [self.settings(host), more.to_vec()].concat();
        Gateway::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn trust(&self) -> String {
        format!("auth.jwt.jwks_ca_file={}", self.file("cert.pem"))
    }
}

/// The status of somebody with this token of the vectors.
fn status(gateway: &Gateway, name: &str) -> u16 {
    match connect(gateway, PATH, &good(name)) {
        Ok(client) => client.upgrade.status,
        Err(refusal) => refusal.status,
    }
}

#[test]
fn keys_of_a_service_whose_certificate_is_trusted_verify_tokens() {
    let service = LoginService::start(NAMES);
    for host in ["localhost", "127.0.0.1"] {
        let gateway = service.node(host, &[service.trust()]);
        for name in ["RS256 of the set", "ES256 of the set"] {
            assert_eq!(status(&gateway, name), 101, "{name}");
        }
        // A key that is not in the set has it fetched at most once in `auth.jwt.jwks_interval`.
        assert_eq!(status(&gateway, "EdDSA of a file"), 401);
    }
    assert_eq!(service.asked(), 2);
}

#[test]
fn a_service_that_is_not_trusted_or_gives_no_set_lets_nobody_in() {
    let service = LoginService::start("subjectAltName=DNS:localhost");
    let stranger = LoginService::start(NAMES);
    for (host, trust) in [
        // Not for this name; by another authority.
        ("127.0.0.1", service.trust()),
        ("localhost", stranger.trust()),
    ] {
        let gateway = service.node(host, &[trust]);
        assert_eq!(status(&gateway, "RS256 of the set"), 503, "{host}");
        gateway.wait_log("the JWK set cannot be fetched", 1);
    }
    assert_eq!(service.asked(), 0);
    let set = vectors()["jwks"].to_string();
    for (answer, body) in [
        ("302 Found", set.as_str()),
        ("404 Not Found", set.as_str()),
        ("200 OK", "<html>"),
        ("200 OK", "{\"keys\": []}"),
    ] {
        service.gives(answer, body);
        let gateway = service.node("localhost", &[service.trust()]);
        assert_eq!(status(&gateway, "RS256 of the set"), 503, "{answer} {body}");
    }
}

#[test]
fn a_set_that_is_not_there_is_a_reason_in_ready_and_one_without_a_key_is_called_so() {
    let service = LoginService::start(NAMES);
    let interval = "auth.jwt.jwks_interval=200ms".to_owned();
    service.gives("200 OK", "{\"keys\": []}");
    let gateway = service.node("localhost", &[service.trust(), interval]);
    let is_said = |text: &str| {
        let said = format!("{text}\n");
        wait::until(&said, crate::support::PATIENCE, || {
            let answer = gateway.admin("/ready");
            assert_eq!(answer.status, 200);
            answer.text() == said
        });
    };
    is_said("ready, degraded: the JWK set was never fetched: is empty: holds no key at all");
    gateway.wait_log("what was fetched is no JWK set that can be used", 1);
    service.gives("503 Service Unavailable", "");
    is_said("ready, degraded: the JWK set was never fetched: the answer is 503");
    gateway.wait_log("the JWK set cannot be fetched; its last keys stay", 1);
    service.gives("200 OK", &vectors()["jwks"].to_string());
    is_said("ready");
    assert_eq!(status(&gateway, "RS256 of the set"), 101);
    let health = gateway.admin("/health").text();
    assert!(health.contains("\"status\": \"ok\""), "{health}");
    let fetched = |outcome: &str| {
        gateway.metric(&format!(
            "supportal_auth_jwks_total{{outcome=\"{outcome}\"}}"
        ))
    };
    assert!(fetched("no_set") >= 1.0 && fetched("no_answer") >= 1.0);
    assert_eq!((fetched("set"), fetched("too_old")), (1.0, 0.0));
}

#[test]
fn keys_are_not_known_on_once_another_authority_is_to_vouch_for_the_service() {
    let (service, stranger) = (LoginService::start(NAMES), LoginService::start(NAMES));
    let folder = tempfile::tempdir().expect("a folder");
    let (trust, file) = (
        folder.path().join("ca.pem"),
        folder.path().join("supportal.toml"),
    );
    let write_trust = |of: &LoginService| {
        std::fs::copy(of.file("cert.pem"), &trust).expect("the file");
    };
    let write = |more: &str| {
        let jwks = format!("https://localhost:{}/jwks.json", service.port);
        let jwt = format!("[auth.jwt]\njwks = {jwks:?}\njwks_ca_file = {trust:?}\n{more}\n");
        let text = format!("[auth]\nmode = [\"jwt\"]\n{jwt}");
        std::fs::write(&file, text).expect("the file");
    };
    write_trust(&service);
    write("");
    let gateway = Gateway::start_with_arguments(&[], &["--config", &file.display().to_string()]);
    let reload = || {
        let request = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = http::exchange(gateway.admin_address(), request);
        answer.expect("an answer").status
    };
    assert_eq!(status(&gateway, "RS256 of the set"), 101);
    // Settings that are refused as a whole ask nobody, and take nothing away.
    write_trust(&stranger);
    write("leeway = \"7s\"\n[limits]\nheaders = 90\n[log]\nlevel = \"???\"");
    assert_ne!(reload(), 200);
    assert_eq!(status(&gateway, "RS256 of the set"), 101);
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    // The same words, and another authority in the file.
    write("");
    assert_eq!(reload(), 200);
    assert_eq!(status(&gateway, "RS256 of the set"), 503);
    assert!(
        gateway
            .admin("/ready")
            .text()
            .contains("the JWK set was never fetched")
    );
    write_trust(&service);
    assert_eq!(reload(), 200);
    assert_eq!(status(&gateway, "RS256 of the set"), 101);
}

#[test]
fn settings_read_again_while_the_service_is_away_keep_its_keys() {
    let service = LoginService::start(NAMES);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("supportal.toml");
    let write = |more: &str| {
        let jwks = format!("https://localhost:{}/jwks.json", service.port);
        let trust = service.file("cert.pem");
        let jwt = format!("[auth.jwt]\njwks = {jwks:?}\njwks_ca_file = {trust:?}\n{more}\n");
        let text = format!("[auth]\nmode = [\"jwt\"]\n{jwt}");
        std::fs::write(&file, text).expect("the file");
    };
    write("");
    let gateway = Gateway::start_with_arguments(&[], &["--config", &file.display().to_string()]);
    assert_eq!(status(&gateway, "RS256 of the set"), 101);
    service.gives("503 Service Unavailable", "");
    for more in [
        "",
        "leeway = \"7s\"",
        "jwks_refresh = \"20m\"",
        "[limits]\nheaders = 90",
    ] {
        write(more);
        let request = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = http::exchange(gateway.admin_address(), request).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        for name in ["RS256 of the set", "ES256 of the set"] {
            assert_eq!(status(&gateway, name), 101, "{more}: {name}");
        }
    }
    wait::until(
        "the service to be asked once",
        crate::support::PATIENCE,
        || service.asked() == 1,
    );
    // Another address is another service, of which nothing is known.
    write("query = \"t\"");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, text.replace("/jwks.json", "/other.json")).expect("the file");
    let request = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(http::exchange(gateway.admin_address(), request).is_some());
    assert_eq!(status(&gateway, "RS256 of the set"), 503);
}

#[test]
fn a_file_of_authorities_that_is_none_stops_the_start() {
    let service = LoginService::start(NAMES);
    let settings = service.settings("localhost");
    for (file, what) in [
        ("key.pem", "holds a private key and no certificate in PEM"),
        ("none.pem", "cannot be read: "),
    ] {
        let file = service.file(file);
        let trust = format!("auth.jwt.jwks_ca_file={file}");
        let settings = [settings.clone(), vec![trust]].concat();
        let (code, text) = super::command::run(&settings, &["check"], "");
        assert_eq!(code, Some(64), "{text}");
        let said = format!("auth.jwt.jwks_ca_file: {file}: {what}");
        assert!(text.contains(&said), "{text}");
    }
}
