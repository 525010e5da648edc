//! Authors that leave, nodes that end, sites that are away.

use super::{Latch, gateway, latched, node, obedient, result, text};
use crate::support::{Client, PATIENCE, Redis, Signal, user, wait::until};
use crate::webhook::{SECRET, View};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use supportal::internal::clock::Clock;

/// How an author goes, and what is left of it.
type Leave = fn(Client) -> Option<Client>;

#[test]
fn what_was_taken_before_its_author_left_is_published() {
    let ways: [(&str, Leave); 3] = [
        ("half close", |client| {
            client.half_close();
            Some(client)
        }),
        ("close frame", |mut client| {
            client.send_close(1000, "");
            Some(client)
        }),
        ("reset", |client| {
            client.reset();
            None
        }),
    ];
    for (name, leave) in ways {
        let (view, latch) = latched();
        let gateway = gateway(&view, &[]);
        let mut other = gateway.join("abc");
        let mut author = gateway.join("abc");
        author.send_text(&user("slow"));
        if name != "reset" {
            author.send_text(&user("behind"));
        }
        until("it is shown", PATIENCE, || view.asked().len() == 1);
        let left = leave(author);
        if name == "reset" {
            until("the author is gone", PATIENCE, || {
                gateway.metric("supportal_connections") as usize == 1
            });
        }
        latch.open();
        assert_eq!(text(&mut other), "slow", "{name}");
        if name != "reset" {
            assert_eq!(text(&mut other), "behind", "{name}");
        }
        drop(left);
        until("nobody else is there", PATIENCE, || {
            gateway.metric("supportal_connections") as usize == 1
        });
    }
}

/// The room is empty here by then: the other node hears it all the same.
#[test]
fn what_was_taken_reaches_other_nodes_after_its_author_has_left() {
    let (redis, (view, latch), deaf) = (Redis::start(&[]), latched(), obedient());
    let (here, there) = (node(&view, &redis), node(&deaf, &redis));
    let (mut author, mut other) = (here.join("abc"), there.join("abc"));
    author.send_text(&user("slow"));
    until("it is shown", PATIENCE, || view.asked().len() == 1);
    author.reset();
    until("the author is gone", PATIENCE, || {
        here.metric("supportal_connections") as usize == 0
    });
    here.signal(Signal::Term);
    latch.open();
    assert_eq!(text(&mut other), "slow");
    assert_eq!(here.wait_exit(PATIENCE * 2), Some(0));
}

#[test]
fn a_drain_waits_for_what_is_being_vetted() {
    let (view, latch) = latched();
    let gateway = gateway(&view, &["server.drain_grace=30s"]);
    let mut author = gateway.join("abc");
    author.send_text(&user("slow"));
    until("it is shown", PATIENCE, || view.asked().len() == 1);
    gateway.signal(Signal::Term);
    gateway.wait_log("draining", 1);
    latch.open();
    assert_eq!(text(&mut author), "slow");
    let (code, _reason) = author.expect_close();
    assert_eq!(code, 1012);
    drop(author);
    assert_eq!(gateway.wait_exit(PATIENCE * 2), Some(0));
}

#[test]
fn a_drain_that_is_over_decides_by_the_policy() {
    for (policy, expected) in [("pass", "slow"), ("refuse", "Too busy, please try again")] {
        let (view, _latch) = latched();
        let on_timeout = format!("vet.on_timeout={policy}");
        let gateway = gateway(&view, &["server.drain_grace=4s", &on_timeout]);
        let mut author = gateway.join("abc");
        author.send_text(&user("slow"));
        until("it is shown", PATIENCE, || view.asked().len() == 1);
        gateway.signal(Signal::Term);
        assert_eq!(text(&mut author), expected);
        let (code, _reason) = author.expect_close();
        assert_eq!(code, 1012);
        drop(author);
        assert_eq!(gateway.wait_exit(PATIENCE * 2), Some(0));
    }
}

/// The settings of a journal in this folder.
fn journal_in(folder: &tempfile::TempDir) -> [String; 3] {
    let path = folder.path().join("archive.db");
    [
        "archive.mode=journal".to_owned(),
        format!("archive.path={}", path.display()),
        format!("api.token={}", crate::archive::TOKEN),
    ]
}

#[test]
fn what_was_taken_is_archived_although_nobody_is_left() {
    let (view, latch) = latched();
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journal_in(&folder);
    let journal = journal.each_ref().map(String::as_str);
    {
        let gateway = gateway(&view, &journal);
        let mut author = gateway.join("abc");
        author.send_text(&user("slow"));
        until("it is shown", PATIENCE, || view.asked().len() == 1);
        author.reset();
        until("the author is gone", PATIENCE, || {
            gateway.metric("supportal_connections") as usize == 0
        });
        gateway.signal(Signal::Term);
        gateway.wait_log("draining", 1);
        latch.open();
        assert_eq!(gateway.wait_exit(PATIENCE * 2), Some(0));
    }
    let gateway = gateway(&view, &journal);
    let lines = crate::archive::page(&gateway, "");
    assert_eq!((lines.len(), &lines[0]["message"]), (1, &"slow".into()));
}

/// Its author is kept by the answer to another's question, and nothing is being vetted when the drain begins.
#[test]
fn what_is_said_in_a_drain_is_archived_although_nobody_is_left() {
    let (never, answered) = (Latch::default(), Latch::default());
    let may_answer = answered.clone();
    let view = View::start(move |request, asked| {
        // A question has turns.
        if asked.body.get("turns").is_some() {
            may_answer.wait();
        } else if asked.message() == "slow" {
            never.wait();
        }
        request.say("HTTP/1.1 204 No Content\r\n\r\n")
    });
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journal_in(&folder);
    let journal = journal.each_ref().map(String::as_str);
    {
        let url = format!("assistant.webhook.url=http://{}/", view.puppet.address());
        let secret = format!("assistant.webhook.secret={SECRET}");
        let answers = ["assistant.kind=webhook", &*url, &*secret];
        let drain = ["server.drain_grace=10s", "server.drain_notice=0s"];
        let gateway = gateway(&view, &[&journal[..], &answers[..], &drain[..]].concat());
        let (mut asker, mut author) = (gateway.join("abc"), gateway.join("abc"));
        asker.send_text(&user("question"));
        until("it is asked", PATIENCE, || view.asked().len() == 2);
        gateway.signal(Signal::Term);
        gateway.wait_log("draining", 1);
        author.send_text(&user("slow"));
        until("it is shown", PATIENCE, || view.asked().len() == 3);
        author.reset();
        asker.reset();
        until("both are gone", PATIENCE, || {
            gateway.metric("supportal_connections") as usize == 0
        });
        // Nothing is left but what is being vetted, for half of the grace.
        answered.open();
        assert_eq!(gateway.wait_exit(PATIENCE * 2), Some(0));
    }
    let gateway = gateway(&view, &journal);
    let lines = crate::archive::page(&gateway, "");
    let said: Vec<_> = lines.iter().map(|line| line["message"].clone()).collect();
    assert_eq!(said.get(..2), Some(&["question".into(), "slow".into()][..]));
}

#[test]
fn a_site_that_is_away_is_seen_and_chat_goes_on() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let view = View::start(move |request, _| {
        up.load(Ordering::SeqCst) && request.say("HTTP/1.1 204 No Content\r\n\r\n")
    });
    let gateway = gateway(&view, &[]);
    let mut client = gateway.join("abc");
    client.send_text(&user("Hello"));
    assert_eq!(text(&mut client), "Hello");
    assert_eq!(result(&gateway, "broken_off"), 1);
    let degraded = "ready, degraded: the site does not vet messages: broken_off\n";
    assert_eq!(gateway.admin("/ready").text(), degraded);
    is_up.store(true, Ordering::SeqCst);
    client.send_text(&user("again"));
    assert_eq!(text(&mut client), "again");
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    gateway.wait_log("the site vets messages again", 1);
}

#[test]
fn a_view_that_fails_by_turns_writes_two_lines_a_second_at_most() {
    const TURNS: usize = 60;
    let view = View::start(|request, asked| {
        asked.message() != "fail" && request.say("HTTP/1.1 204 No Content\r\n\r\n")
    });
    let gateway = gateway(&view, &[]);
    let mut client = gateway.join("abc");
    let clock = Clock::start();
    for _ in 0..TURNS {
        for said in ["fail", "pass"] {
            client.send_text(&user(said));
            assert_eq!(text(&mut client), said);
        }
    }
    let seconds = clock.now().0 as usize / 1000 + 1;
    assert_eq!(result(&gateway, "broken_off"), TURNS);
    gateway.wait_log("the site has not vetted a message", 1);
    let log = gateway.log();
    for line in [
        "the site has not vetted a message",
        "the site vets messages again",
    ] {
        let lines = log.matches(line).count();
        assert!(
            lines >= 1 && lines <= seconds,
            "{lines} in {seconds} s: {line}"
        );
    }
}

#[test]
fn a_site_that_is_not_there_costs_a_message_no_more_than_the_timeout() {
    // Nobody listens there any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "vet.url=http://{}/",
        listener.local_addr().expect("its address")
    );
    drop(listener);
    let secret = format!("vet.secret={SECRET}");
    let settings = ["chat.vet=webhook", &*url, &*secret, "vet.on_timeout=refuse"];
    let gateway = crate::support::Gateway::start(&settings);
    let mut client = gateway.join("abc");
    client.send_text(&user("Hello"));
    assert_eq!(text(&mut client), "Too busy, please try again");
    assert_eq!(result(&gateway, "connect"), 1);
    let pause = Duration::from_millis(300);
    assert!(client.is_quiet_for(pause), "asked about once");
}
