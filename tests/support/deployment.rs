//! Redis as it is deployed: watched by a Sentinel, behind TLS; and `supportal check --redis` of it.

use super::redis::{Redis, Reply, free_port};
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

/// A server of a Cluster with these further arguments, of no Cluster yet.
#[track_caller]
fn cluster_node(arguments: &[&str]) -> Redis {
    let all = [&["--cluster-enabled", "yes"], arguments].concat();
    let mut redis = Redis::absent_of_cluster(&all);
    redis.launch();
    redis
}

/// Three masters without replicas, all slots served; each server has these further arguments.
#[track_caller]
pub(crate) fn cluster(arguments: &[&str]) -> Vec<Redis> {
    let nodes: Vec<Redis> = (0..3).map(|_| cluster_node(arguments)).collect();
    let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (redis, (epoch, range)) in nodes.iter().zip(["1", "2", "3"].into_iter().zip(ranges)) {
        // Servers with one epoch take turns in getting another, for as long as that takes, and whatever
        // was moved meanwhile may be claimed back.
        redis.command(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]);
        redis.command(&["CLUSTER", "ADDSLOTSRANGE", range.0, range.1]);
        let port = redis.address().port().to_string();
        nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port]);
    }
    for redis in &nodes {
        wait::until("the cluster to be whole", PATIENCE, || {
            let info = redis.command(&["CLUSTER", "INFO"]);
            let slots = redis.command(&["CLUSTER", "SLOTS"]);
            let ranges = match slots {
                Reply::Array(ranges) => ranges.len(),
                _ => 0,
            };
            info.text().contains("cluster_state:ok") && ranges == 3
        });
    }
    nodes
}

/// A replica of a master of a Cluster, in step with it, and known to all.
#[track_caller]
pub(crate) fn cluster_replica(nodes: &[Redis], master: usize, arguments: &[&str]) -> Redis {
    let replica = cluster_node(arguments);
    let port = nodes[0].address().port().to_string();
    replica.command(&["CLUSTER", "MEET", "127.0.0.1", &port]);
    let id = nodes[master].command(&["CLUSTER", "MYID"]);
    wait::until("the replica to be one", PATIENCE, || {
        let answer = replica.command(&["CLUSTER", "REPLICATE", id.text()]);
        answer.text() == "OK"
    });
    wait::until("the replica to follow", PATIENCE, || {
        let info = replica.command(&["INFO", "replication"]);
        let known = |redis: &Redis| {
            let nodes = redis.command(&["CLUSTER", "NODES"]);
            nodes.text().contains("slave")
        };
        info.text().contains("master_link_status:up") && nodes.iter().all(known)
    });
    replica
}

/// Names of this machine, for a certificate.
pub(crate) const NAMES: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost";

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
        Self::with(
            &[
                "-addext",
                NAMES,
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
            "no",
        )
    }

    /// It, with a certificate made by these further arguments of `openssl req -x509`, and asking
    /// clients for theirs or not.
    #[track_caller]
    pub(crate) fn with(certificate: &[&str], asks_clients: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        certify(folder.path(), certificate);
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
            asks_clients,
        ]);
        Self {
            port,
            folder,
            _redis: redis,
        }
    }

    /// The file of its certificate's key.
    pub(crate) fn key(&self) -> String {
        self.folder.path().join("key.pem").display().to_string()
    }

    /// Where.
    pub(crate) fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }

    /// The file of its certificate.
    pub(crate) fn certificate(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// Files of a client's certificate, signed with the key of this one and without an extension, and of its key.
    #[track_caller]
    pub(crate) fn client(&self) -> (String, String) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let asks = ["req", "-nodes", "-subj", "/CN=client", "-out", "client.csr"];
        let folder = self.folder.path();
        openssl(folder, &[&asks, &NEW_KEY[..], &["client.key"]].concat());
        #[rustfmt::skip]
        openssl(folder, &["x509", "-req", "-in", "client.csr", "-CA", "cert.pem", "-CAkey", "key.pem", "-set_serial", "7", "-days", "2", "-out", "client.pem"]);
        (path("client.pem"), path("client.key"))
    }

    /// The setting with which a node trusts it.
    pub(crate) fn trust(&self) -> String {
        format!("bridge.ca_file={}", self.certificate())
    }
}

/// A key and a certificate for this machine that signs itself.
pub(crate) fn certify(folder: &Path, further: &[&str]) {
    let itself = ["req", "-x509", "-nodes", "-days", "2"];
    let named = ["-subj", "/CN=localhost", "-out", "cert.pem"];
    openssl(
        folder,
        &[&itself, &NEW_KEY[..], &["key.pem"], &named, further].concat(),
    );
}

/// Of a new key, in the file that comes next.
const NEW_KEY: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-keyout",
];

#[track_caller]
fn openssl(folder: &Path, arguments: &[&str]) {
    let made = Command::new("openssl")
        .args(arguments)
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
