//! Redis as it is deployed: watched by a Sentinel, behind TLS; and `supportal check --redis` of it.

use super::redis::{Redis, free_port};
use super::wait;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

/// How long replication and Sentinel may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// A master named `mymaster`, its replica, and the Sentinel that watches them.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The master, at first.
    pub(crate) master: Redis,
    /// Who takes over.
    pub(crate) replica: Redis,
    /// Who decides it, half a second after the master's silence.
    pub(crate) sentinel: Redis,
    _folder: TempDir,
}

impl Watched {
    /// All three, knowing each other.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let master = Redis::start(&[]);
        let port = master.address().port().to_string();
        let replica = Redis::start(&["--replicaof", "127.0.0.1", &port]);
        wait::until("the replica to follow", PATIENCE, || {
            let info = replica.command(&["INFO", "replication"]);
            info.text().contains("master_link_status:up")
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor mymaster 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 2000\n"
        );
        std::fs::write(&file, text).expect("the configuration of sentinel");
        let sentinel = Redis::sentinel(&file);
        wait::until("sentinel to know the replica", PATIENCE, || {
            let info = sentinel.command(&["INFO", "sentinel"]);
            info.text().contains("slaves=1")
        });
        Self {
            master,
            replica,
            sentinel,
            _folder: folder,
        }
    }
}

/// A Redis that speaks TLS with a certificate that signs itself.
#[derive(Debug)]
pub(crate) struct Sealed {
    port: u16,
    folder: TempDir,
    _redis: Redis,
}

impl Sealed {
    /// It, answering.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        certify(folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (cert, key, port) = (path("cert.pem"), path("key.pem"), free_port());
        let redis = Redis::start(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &cert,
            "--tls-auth-clients",
            "no",
        ]);
        Self {
            port,
            folder,
            _redis: redis,
        }
    }

    /// Where.
    pub(crate) fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }

    /// The file of its certificate.
    pub(crate) fn certificate(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// The setting with which a node trusts it.
    pub(crate) fn trust(&self) -> String {
        format!("bridge.ca_file={}", self.certificate())
    }
}

/// A key and a certificate for this machine that signs itself.
fn certify(folder: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl; apt-get install openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// `supportal check --redis` with these further arguments.
#[track_caller]
pub(crate) fn check_redis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_supportal"))
        .args(["check", "--redis"])
        .args(arguments)
        .env_clear()
        .output()
        .expect("the binary runs")
}
