//! A site that answers each question with exactly these bytes.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is sent for one session.
type Script = Arc<dyn Fn(&mut TcpStream) + Send + Sync>;

/// A site, and what it was asked.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) address: SocketAddr,
    scripts: Arc<Mutex<HashMap<String, Script>>>,
    questions: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Site {
    /// A site that knows no session.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let site = Self {
            address: listener.local_addr().expect("an address"),
            scripts: Arc::default(),
            questions: Arc::default(),
            open: Arc::default(),
        };
        let own = site.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let site = own.clone();
                thread::spawn(move || site.serve(stream));
            }
        });
        site
    }

    /// Answers about a session by `script`, and closes.
    pub(super) fn script(
        &self,
        session: &str,
        script: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    ) {
        let mut scripts = self.scripts.lock().expect("not poisoned");
        scripts.insert(session.to_owned(), Arc::new(script));
    }

    /// Answers about a session with these bytes, and closes.
    pub(super) fn answer(&self, session: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.script(session, move |stream| drop(stream.write_all(&bytes)));
    }

    /// The heads of the questions about a session.
    pub(super) fn questions(&self, session: &str) -> Vec<String> {
        let named = format!("session_id={session} ");
        let questions = self.questions.lock().expect("not poisoned");
        let about = questions.iter().filter(|head| head.contains(&named));
        about.cloned().collect()
    }

    /// How many questions are being answered.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn serve(&self, mut stream: TcpStream) {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.extend(byte);
        }
        let head = String::from_utf8(head).expect("a head of ASCII");
        let session = head.split("session_id=").nth(1).unwrap_or_default();
        let session = session.split([' ', '&']).next().unwrap_or_default();
        let script = self
            .scripts
            .lock()
            .expect("not poisoned")
            .get(session)
            .cloned();
        self.questions.lock().expect("not poisoned").push(head);
        self.open.fetch_add(1, Ordering::SeqCst);
        match script {
            Some(script) => script(&mut stream),
            None => drop(stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")),
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An answer with a body of JSON.
pub(super) fn json(body: &str) -> String {
    with_body("200 OK", "application/json", body)
}

/// An answer with a body.
pub(super) fn with_body(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// An answer without a body, with these lines in its head.
pub(super) fn bare(status: &str, lines: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: 0\r\nConnection: close\r\n\r\n")
}
