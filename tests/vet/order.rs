//! A connection's messages keep their order; nobody else waits; nothing grows beyond its bound.

use super::{gateway, latched, result, text};
use crate::support::{PATIENCE, user, wait::until};
use std::time::Duration;

const QUIET: Duration = Duration::from_millis(300);

#[test]
fn a_connection_s_messages_keep_their_order_while_others_go_on() {
    let (view, latch) = latched();
    let gateway = gateway(&view, &["server.workers=1"]);
    let (mut one, mut two) = (gateway.join("abc"), gateway.join("abc"));
    let mut other = gateway.join("other");
    for said in ["slow", "a", "refuse b", "change c"] {
        one.send_text(&user(said));
    }
    one.ping(b"behind");
    until("the first is shown", PATIENCE, || view.asked().len() == 1);
    // The same worker, the same room: only the author of what is held waits.
    other.send_text(&user("Hello"));
    assert_eq!(text(&mut other), "Hello");
    two.send_text(&user("me first"));
    assert_eq!(
        (text(&mut two), text(&mut one)),
        ("me first".to_owned(), "me first".to_owned())
    );
    assert!(
        one.is_quiet_for(QUIET),
        "not even what is not shown to the view"
    );
    assert_eq!(view.asked().len(), 3, "one at a time of a connection");
    assert_eq!(gateway.metric("supportal_vet_open") as usize, 1);
    latch.open();
    for expected in ["slow", "a", "b", "c"] {
        assert_eq!(text(&mut one), expected);
    }
    for expected in ["slow", "a", "c"] {
        assert_eq!(text(&mut two), expected);
    }
}

#[test]
fn a_thousand_messages_of_ten_members_come_in_their_authors_order() {
    let (view, _latch) = latched();
    let gateway = gateway(
        &view,
        &["limits.connections_per_ip=0", "queue.capacity=2000"],
    );
    let mut members: Vec<_> = (0..10).map(|_| gateway.join("abc")).collect();
    let mut listener = gateway.join("abc");
    for number in 0..100 {
        for (author, member) in members.iter_mut().enumerate() {
            member.send_text(&user(&format!("{author}-{number}")));
        }
    }
    let mut next = [0; 10];
    for _ in 0..1_000 {
        let said = text(&mut listener);
        let (author, number) = said.split_once('-').expect("two numbers");
        let author: usize = author.parse().expect("an author");
        assert_eq!(number, next[author].to_string(), "of {author}");
        next[author] += 1;
    }
    assert_eq!(result(&gateway, "passed"), 1_000);
}

#[test]
fn the_view_is_asked_so_much_at_a_time_and_a_business_leaves_turns_to_others() {
    let (view, latch) = latched();
    let gateway = gateway(
        &view,
        &[
            "vet.concurrency=3",
            "vet.concurrency_per_business=2",
            "limits.connections_per_ip=0",
        ],
    );
    let mut loud: Vec<_> = (0..8)
        .map(|number| gateway.join(&format!("loud-{number}")))
        .collect();
    for client in &mut loud {
        client.send_text(&user("slow"));
    }
    until("two are shown", PATIENCE, || view.asked().len() == 2);
    let mut other = gateway.connect("/ws/chat/2/abc/");
    other.skip_welcome();
    other.send_text(&user("Hello"));
    assert_eq!(text(&mut other), "Hello");
    // Two businesses that are slow take all there is.
    other.send_text(&user("slow"));
    until("three are shown", PATIENCE, || view.asked().len() == 4);
    let mut third = gateway.connect("/ws/chat/3/abc/");
    third.skip_welcome();
    third.send_text(&user("Hello"));
    assert!(third.is_quiet_for(QUIET), "it waits for its turn");
    assert_eq!(view.asked().len(), 4);
    latch.open();
    for client in loud.iter_mut().chain([&mut other]) {
        assert_eq!(text(client), "slow");
    }
    assert_eq!(text(&mut third), "Hello");
}

#[test]
fn what_is_beyond_the_bytes_is_decided_by_the_policy_at_once() {
    let (view, latch) = latched();
    let gateway = gateway(
        &view,
        &[
            "vet.queue_bytes=65536",
            "vet.on_timeout=refuse",
            "limits.message_bytes=4096",
            "chat.text_bytes_max=4096",
            "limits.connections_per_ip=0",
            "limits.handshakes_per_ip=0",
        ],
    );
    let mut clients: Vec<_> = (0..40)
        .map(|number| gateway.join(&format!("c{number}")))
        .collect();
    for client in &mut clients {
        client.send_text(&user("slow"));
    }
    // Each counts 2 KiB and its text; half of the bytes is for one business.
    let held = 65_536 / 2 / (2_048 + "slow".len());
    until("the rest is refused", PATIENCE, || {
        result(&gateway, "full") == clients.len() - held
    });
    assert_eq!(gateway.metric("supportal_vet_open") as usize, held);
    let mut other = gateway.connect("/ws/chat/2/abc/");
    other.skip_welcome();
    other.send_text(&user("refuse no"));
    assert_eq!(text(&mut other), "no", "another business is asked about");
    latch.open();
    let told: Vec<String> = clients.iter_mut().map(text).collect();
    let is_published = |text: &&String| *text == "slow";
    assert_eq!(told.iter().filter(is_published).count(), held);
    let is_refused = |text: &&String| *text == "Too busy, please try again";
    assert_eq!(told.iter().filter(is_refused).count(), clients.len() - held);
    // Whoever was refused goes on.
    for client in &mut clients {
        client.send_text(&user("again"));
        assert_eq!(text(client), "again");
    }
}
