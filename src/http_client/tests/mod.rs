//! The client against servers that send exactly these bytes.

mod kept;

use super::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const LIMITS: ClientLimits = ClientLimits {
    connect_timeout: Duration::from_secs(5),
    timeout: Duration::from_secs(20),
    body_bytes: 1000,
    connections: 4,
};

/// A timeout that is to be over, and is waited for.
const SHORT: ClientLimits = ClientLimits {
    timeout: Duration::from_millis(300),
    ..LIMITS
};

/// A server, and what came to it.
struct Site {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Site {
    /// Answers each request by `answer`, given the number of the request and the connection; false closes that.
    fn serving(answer: impl Fn(usize, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let connections = Arc::clone(&site.connections);
        let (requests, answer) = (Arc::clone(&site.requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    while read_head(&stream).is_some() {
                        let number = requests.fetch_add(1, Ordering::SeqCst);
                        if !answer(number, &mut stream) {
                            return;
                        }
                    }
                });
            }
        });
        site
    }

    /// Answers every request with these bytes.
    fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::serving(move |_, stream| stream.write_all(&bytes).is_ok())
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let url = format!("http://{}/who?a=b", self.address);
        Request::get(url).body(Full::default()).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The head of the next request, byte by byte: nothing behind it is lost.
fn read_head(mut stream: &TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.extend(byte);
    }
    Some(String::from_utf8(head).unwrap())
}

fn client(limits: ClientLimits) -> HttpClient {
    HttpClient::new(limits, Trust::Nobody).unwrap()
}

#[tokio::test]
async fn an_answer_is_read_whole_and_its_connection_is_used_again() {
    let site = Site::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello");
    let client = client(LIMITS);
    for _ in 0..3 {
        let answer = client.send(site.request()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-a"], "b");
        assert_eq!(answer.body(), "hello");
    }
    assert_eq!((site.connections(), site.requests()), (1, 3));
}

#[tokio::test]
async fn redirects_and_refusals_are_answers_like_any_other() {
    for status in [204, 301, 302, 307, 401, 404, 500, 503] {
        let site = Site::saying(format!(
            "HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        ));
        let answer = client(LIMITS).send(site.request()).await.unwrap();
        assert_eq!((answer.status().as_u16(), site.requests()), (status, 1));
    }
}

#[tokio::test]
async fn a_status_that_says_no_is_the_answer_whatever_its_body_is_like() {
    for rest in [
        "Content-Length: 99999999\r\n\r\nx",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Content-Length: 50\r\n\r\nshort",
    ] {
        let site = Site::serving(move |_, stream| {
            let _sent = stream.write_all(format!("HTTP/1.1 403 No\r\n{rest}").as_bytes());
            false
        });
        let answer = client(LIMITS).send(site.request()).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().len()), (403, 0));
    }
    let late = Site::saying("HTTP/1.1 403 No\r\nContent-Length: 50\r\n\r\nlate");
    assert!(client(SHORT).send(late.request()).await.is_ok());
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_no_further() {
    let of = |length: usize| {
        [
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes(),
            vec![b'x'; length],
        ]
        .concat()
    };
    let chunked = |length: usize| {
        let chunks = format!("{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length));
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
    };
    for (length, is_read) in [(0, true), (1000, true), (1001, false), (100_000, false)] {
        for bytes in [of(length), chunked(length)] {
            let answered = client(LIMITS).send(Site::saying(bytes).request()).await;
            match answered {
                Ok(answer) => assert!(is_read && answer.body().len() == length, "{length}"),
                Err(error) => {
                    assert!(!is_read, "{length}: {error}");
                    assert!(matches!(error, RequestError::TooLong), "{error}");
                }
            }
        }
    }
    // What is announced as too long is not waited for.
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    let answered = client(LIMITS).send(Site::saying(announced).request()).await;
    assert!(matches!(answered, Err(RequestError::TooLong)));
    // What never ends is left.
    let endless = Site::serving(|_, stream| {
        let begun = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_ok();
        while begun && stream.write_all(&[b'x'; 4096]).is_ok() {}
        false
    });
    let answered = client(LIMITS).send(endless.request()).await;
    assert!(matches!(answered, Err(RequestError::TooLong)));
}

#[tokio::test]
async fn whatever_takes_too_long_ends_at_the_timeout() {
    let silent = Site::serving(|_, stream| stream.read(&mut [0]).is_err());
    let head_alone = Site::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    for site in [silent, head_alone] {
        let answered = client(SHORT).send(site.request()).await;
        assert!(matches!(answered, Err(RequestError::Timeout)));
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_may_be_and_the_wait_for_a_turn_counts() {
    let site = Site::serving(|_, stream| stream.read(&mut [0]).is_err());
    let client = client(SHORT);
    let mut waiting = tokio::task::JoinSet::new();
    let client = Arc::new(client);
    for _ in 0..20 {
        let (client, request) = (Arc::clone(&client), site.request());
        waiting.spawn(async move { client.send(request).await });
    }
    for answered in waiting.join_all().await {
        assert!(matches!(answered, Err(RequestError::Timeout)));
    }
    // All twenty have one deadline: whoever had no turn by then never gets one.
    assert!(site.requests() <= LIMITS.connections);
}

#[tokio::test]
async fn what_is_no_answer_of_http_is_broken() {
    for bytes in [
        "",
        "HELLO\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
    ] {
        let site = Site::serving(move |_, stream| {
            let _sent = stream.write_all(bytes.as_bytes());
            false
        });
        let answered = client(LIMITS).send(site.request()).await;
        assert!(
            matches!(answered, Err(RequestError::Broken(_))),
            "{bytes:?}: {answered:?}"
        );
    }
    let fields = "X: y\r\n".repeat(200);
    let long = format!("X: {}\r\n", "y".repeat(200_000));
    for fields in [fields, long] {
        let site = Site::saying(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        let answered = client(LIMITS).send(site.request()).await;
        assert!(
            matches!(answered, Err(RequestError::Broken(_))),
            "{answered:?}"
        );
    }
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let request = Request::get(url).body(Full::default()).unwrap();
    let answered = client(LIMITS).send(request).await;
    assert!(matches!(answered, Err(RequestError::Connect(_))));
}

/// A certificate for localhost and its key, made by OpenSSL.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    certificate_of(folder, "CA:FALSE")
}

fn certificate_of(folder: &Path, constraints: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("site.pem"), folder.join("site.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=site",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args([
            "-addext",
            &format!("basicConstraints=critical,{constraints}"),
        ])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}

/// A server of TLS; its port.
fn tls_site(certificate: &Path, key: &Path) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_file_iter(certificate)
                .unwrap()
                .map(Result::unwrap)
                .collect(),
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = BufReader::new(rustls::StreamOwned::new(connection, stream.unwrap()));
            let mut line = String::new();
            while tls.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
                line.clear();
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _sent = tls.get_mut().write_all(answer);
        }
    });
    port
}

#[tokio::test]
async fn https_is_for_servers_whose_certificate_a_trusted_authority_signed_for_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, key) = certificate(folder.path());
    let port = tls_site(&pem, &key);
    let ask = async |trust: Trust<'_>, host: &str| {
        let url = format!("https://{host}:{port}/");
        let request = Request::get(url).body(Full::default()).unwrap();
        let client = HttpClient::new(LIMITS, trust).unwrap();
        client.send(request).await.map(|answer| answer.into_body())
    };
    assert_eq!(ask(Trust::File(&pem), "localhost").await.unwrap(), "ok");
    for (trust, host) in [
        (Trust::File(&pem), "127.0.0.1"),
        (Trust::Nobody, "localhost"),
    ] {
        let answered = ask(trust, host).await;
        assert!(
            matches!(answered, Err(RequestError::Connect(_))),
            "{answered:?}"
        );
    }
    // Whom a client believes is what is in the file, whatever its name.
    let other = tempfile::tempdir().unwrap();
    let (stranger, _key) = certificate(other.path());
    let copy = other.path().join("copy.pem");
    std::fs::copy(&pem, &copy).unwrap();
    let [believed, same, others, nobody] = [
        Trust::File(&pem),
        Trust::File(&copy),
        Trust::File(&stranger),
        Trust::Nobody,
    ]
    .map(|trust| HttpClient::new(LIMITS, trust).unwrap().authorities());
    assert!(believed == same && believed != others && believed != nobody);
    for bad in [&key, &folder.path().join("absent.pem")] {
        let refused = HttpClient::new(LIMITS, Trust::File(bad)).unwrap_err();
        let said = refused.to_string();
        assert!(said.starts_with(&*bad.display().to_string()), "{said}");
    }
}

#[tokio::test]
async fn an_answer_is_read_as_it_comes_and_dropping_it_closes_its_connection() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let site = Site::serving(move |_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
        stream.write_all(head).unwrap();
        let ended = stream.read(&mut [0]);
        closed.send(ended.is_ok_and(|count| count == 0)).unwrap();
        false
    });
    let client = client(LIMITS);
    let mut answer = client.open(site.request()).await.unwrap();
    assert_eq!(answer.head.status, 200);
    assert_eq!(answer.next().await.unwrap().unwrap(), "one");
    drop(answer);
    let wait = move || is_closed.recv_timeout(Duration::from_secs(20));
    let is_closed = tokio::task::spawn_blocking(wait).await.unwrap();
    assert_eq!(is_closed, Ok(true));
}

#[tokio::test]
async fn an_answer_that_is_read_as_it_comes_has_the_same_bounds() {
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, expected) in [
        (format!("{chunk}0\r\n\r\n"), "end"),
        (format!("{chunk}{chunk}0\r\n\r\n"), "too_long"),
        (chunk.clone(), "broken"),
        (format!("{chunk}zz\r\n"), "broken"),
    ] {
        let bytes = format!("{head}{body}");
        let site = Site::serving(move |_, stream| {
            stream.write_all(bytes.as_bytes()).unwrap();
            false
        });
        let client = client(LIMITS);
        let mut answer = client.open(site.request()).await.unwrap();
        assert!(answer.next().await.unwrap().is_ok());
        let end = answer.next().await;
        let label = end.map_or("end", |end| {
            end.map_or_else(|error| error.label(), |_| "more")
        });
        assert_eq!(label, expected, "{body}");
    }
    let silent = Site::serving(|_, stream| stream.read(&mut [0]).is_err());
    let client = client(SHORT);
    let opened = client.open(silent.request()).await;
    assert!(matches!(opened, Err(RequestError::Timeout)));
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_named_with_what_to_do() {
    let [own, authority, stranger] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let good = certificate(own.path());
    let authoritys = certificate_of(authority.path(), "CA:TRUE");
    let (other, _key) = certificate(stranger.path());
    for ((pem, key), trust, host, advice) in [
        (&authoritys, &authoritys.0, "localhost", "CA:FALSE"),
        (
            &good,
            &other,
            "localhost",
            "no authority that is trusted has signed its certificate",
        ),
        (
            &good,
            &good.0,
            "127.0.0.1",
            "for another name than that of the address",
        ),
    ] {
        let url = format!("https://{host}:{}/", tls_site(pem, key));
        let request = Request::get(url).body(Full::default()).unwrap();
        let client = HttpClient::new(LIMITS, Trust::File(trust)).unwrap();
        let error = client.send(request).await.unwrap_err();
        assert!(matches!(error, RequestError::Connect(_)), "{error:?}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}
