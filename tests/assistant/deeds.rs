//! What a server may do with what it is asked, as rows of tables: each row's name is the question, or the message, that it is asked.

use crate::support::wait::pass;
use crate::support::{Client, Gateway, user};
use crate::upstream::puppet::Request;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a server does with a question.
pub(crate) enum Deed {
    /// Says these bytes; the connection goes on.
    Says(Vec<u8>),
    /// Says these bytes one by one.
    Trickles(Vec<u8>),
    /// Says these bytes and closes.
    SaysAndCloses(Vec<u8>),
    /// Says these bytes, and nothing more for as long as the connection is there.
    SaysAndWaits(Vec<u8>),
    /// Says the first, then the second for as long as somebody takes it.
    Repeats(Vec<u8>, Vec<u8>),
    /// The same, a hundred times a second.
    Drips(Vec<u8>, Vec<u8>),
}

impl Deed {
    /// Does it. Does the connection go on?
    pub(crate) fn perform(&self, request: &mut Request) -> bool {
        match self {
            Self::Says(bytes) => request.say(bytes),
            Self::Trickles(bytes) => bytes.chunks(1).all(|byte| request.say(byte)),
            Self::SaysAndCloses(bytes) => {
                request.say(bytes);
                false
            }
            Self::SaysAndWaits(bytes) => {
                request.say(bytes);
                while request.read() {}
                false
            }
            Self::Repeats(first, then) => {
                let mut goes_on = request.say(first);
                while goes_on {
                    goes_on = request.say(then);
                }
                false
            }
            Self::Drips(first, then) => {
                let mut goes_on = request.say(first);
                while goes_on {
                    pass(Duration::from_millis(10));
                    goes_on = request.say(then);
                }
                false
            }
        }
    }
}

/// A row: its name, what a server does that is asked it, and what is expected then.
pub(crate) type Row = (&'static str, Deed, &'static str);

/// Says the names of all rows at once, each in a room of its own: each speaker is told what `check_told` says, each row's
/// outcome is `counted` as often as rows have it, and the process grows by no more than 64 MiB.
pub(crate) fn check_rows(
    gateway: &Gateway,
    rows: &[Row],
    check_told: impl Fn(&mut Client, &str),
    counted: impl Fn(&str) -> usize,
) {
    let before = gateway.metric("supportal_process_resident_memory_bytes");
    let mut clients: Vec<_> = (0..rows.len())
        .map(|number| gateway.join(&format!("row-{number}")))
        .collect();
    for (client, (name, ..)) in clients.iter_mut().zip(rows) {
        client.send_text(&user(name));
    }
    let mut expected = BTreeMap::new();
    for (client, (name, _, outcome)) in clients.iter_mut().zip(rows) {
        check_told(client, name);
        *expected.entry(*outcome).or_insert(0) += 1;
    }
    for (name, count) in expected {
        assert_eq!(counted(name), count, "{name}");
    }
    let grown = gateway.metric("supportal_process_resident_memory_bytes") - before;
    assert!(grown < 64.0 * 1024.0 * 1024.0, "{grown} bytes more");
}
