//! A site that does with each request what a test says, down to the byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// One request, as the site sees it.
pub(crate) struct Request {
    /// From the request line to the last field, with CR LF.
    pub(crate) head: String,
    /// What has come behind the head.
    pub(crate) rest: Vec<u8>,
    pub(crate) stream: TcpStream,
}

impl Request {
    /// The path and query.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// Sends these bytes; false if nobody takes them.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads on; false at the end of the connection.
    pub(crate) fn read(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.rest.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }

    /// Reads until so many bytes of the body are there, and takes them out.
    pub(crate) fn body(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length && self.read() {}
        let length = length.min(self.rest.len());
        self.rest.drain(..length).collect()
    }

    /// Reads until the body ends like this, and takes all of it out.
    pub(crate) fn body_until(&mut self, end: &[u8]) -> Vec<u8> {
        while !self.rest.ends_with(end) && self.read() {}
        std::mem::take(&mut self.rest)
    }

    /// Reads the body of Content-Length.
    pub(crate) fn whole_body(&mut self) -> Vec<u8> {
        let length = self
            .field("content-length")
            .map_or(0, |text| text.parse().expect("a length"));
        self.body(length)
    }
}

/// The value of a field of a head.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A site on a port of its own. Its threads end with the test's process.
#[derive(Debug)]
pub(crate) struct Puppet {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Puppet {
    /// A site that answers by `script`, which says whether the connection goes on.
    pub(crate) fn start(script: impl Fn(&mut Request) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (heads, connections) = (Arc::default(), Arc::default());
        let (seen, opened) = (Arc::clone(&heads), Arc::clone(&connections));
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *lock(&opened) += 1;
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                thread::spawn(move || serve(stream, &*script, &seen));
            }
        });
        Self {
            address,
            heads,
            connections,
        }
    }

    /// A site that says 200 and `ok` to everything, once it has the body.
    pub(crate) fn friendly() -> Self {
        Self::start(|request| {
            if request.field("transfer-encoding").is_some() {
                request.body_until(b"0\r\n\r\n");
            }
            request.whole_body();
            request.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        lock(&self.heads).clone()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        *lock(&self.connections)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, script: &dyn Fn(&mut Request) -> bool, seen: &Mutex<Vec<String>>) {
    stream.set_nodelay(true).expect("nodelay");
    let mut request = Request {
        head: String::new(),
        rest: Vec::new(),
        stream,
    };
    loop {
        let end = loop {
            let end = request.rest.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 2,
                None if request.read() => {}
                None => {
                    // What is no head is also something that the site has seen.
                    if !request.rest.is_empty() {
                        lock(seen).push(String::from_utf8_lossy(&request.rest).into_owned());
                    }
                    return;
                }
            }
        };
        let head: Vec<u8> = request.rest.drain(..end).collect();
        request.rest.drain(..2);
        // Each byte as the character of its number: nothing is lost.
        request.head = head.iter().copied().map(char::from).collect();
        lock(seen).push(request.head.clone());
        if !script(&mut request) {
            return;
        }
    }
}
