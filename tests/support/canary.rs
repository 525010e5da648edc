//! Two quiet rooms that chat on while something rude happens elsewhere: every message must arrive,
//! once, in order.

use super::{Client, Gateway, user};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Two rooms of two members, each with its own sender at about 100 messages a second.
#[derive(Debug)]
pub(crate) struct Canaries {
    stop: Arc<AtomicBool>,
    rooms: Vec<JoinHandle<usize>>,
}

impl Canaries {
    /// Joins both rooms and starts talking. The gateway's rate limits must allow it.
    #[track_caller]
    pub(crate) fn start(gateway: &Gateway) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rooms = ["canary-a", "canary-b"].map(|room| {
            let (sender, receiver) = (gateway.join(room), gateway.join(room));
            let stop = Arc::clone(&stop);
            thread::spawn(move || sing(room, sender, receiver, &stop))
        });
        Self {
            stop,
            rooms: rooms.into(),
        }
    }

    /// Stops both rooms; panics if one of them missed, repeated or reordered a message.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for room in self.rooms.drain(..) {
            let count = room.join().expect("a canary room was disturbed");
            assert!(count > 0, "a canary room never spoke");
        }
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn sing(room: &str, mut sender: Client, mut receiver: Client, stop: &AtomicBool) -> usize {
    let mut count = 0;
    // At least once: a thread may get its first turn when the rude part is over already.
    while count == 0 || !stop.load(Ordering::Relaxed) {
        let text = format!("{room} {count}");
        sender.send_text(&user(&text));
        for member in [&mut sender, &mut receiver] {
            let event = member.receive_json();
            assert_eq!(
                event["message"],
                text.as_str(),
                "{room} was disturbed: {event}"
            );
        }
        count += 1;
        thread::park_timeout(Duration::from_millis(10));
    }
    count
}
