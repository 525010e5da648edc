//! The site behind the node: a server that sends any byte, and a real Django site.

mod bodies;
mod django;
mod faults;
mod heads;
pub(crate) mod puppet;
mod renegotiation;
mod websockets;

use crate::support::Gateway;
use crate::support::http::{Response, open, read_response};
use puppet::Puppet;
use std::io::Write;

/// A gateway in front of this site, with these settings on top.
#[track_caller]
fn before(site: &Puppet, settings: &[&str]) -> Gateway {
    let upstream = format!("http.upstream=http://{}", site.address());
    let mut all = vec![upstream.as_str()];
    all.extend(settings);
    Gateway::start(&all)
}

/// One request with a head of these lines (each ended with CR LF here) and this body.
#[track_caller]
fn ask(gateway: &Gateway, lines: &[&str], body: &[u8]) -> Response {
    let mut stream = open(gateway.public());
    let head: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let bytes = [head.as_bytes(), b"\r\n", body].concat();
    // The answer may come, and the connection end, before all is sent.
    drop(stream.write_all(&bytes));
    let answer = read_response(&mut stream);
    answer.unwrap_or_else(|| panic!("no answer to {lines:?}")).0
}
