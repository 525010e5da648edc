//! Who is connected is asked about again.

use super::site::{Site, bare, json};
use super::{PATH, node};
use crate::support::{Client, Frame, Signal, user, wait};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a debug build on a busy machine may take to ask again.
const RECHECK: Duration = Duration::from_secs(15);

#[test]
fn a_no_closes_every_connection_it_is_about_with_4503_and_no_other() {
    let site = Site::start();
    site.answer("abc", json(r#"{"user": "ann"}"#));
    site.answer("def", json(r#"{"user": "ann"}"#));
    let gateway = node(&site, &["auth.forward.recheck=1s"]);
    let path = format!("{PATH}abc/");
    let mut gone = [gateway.connect(&path), gateway.connect(&path)];
    let mut stays = gateway.connect(&format!("{PATH}def/"));
    stays.skip_welcome();
    wait::until("both to be asked about again", RECHECK, || {
        site.questions("abc").len() >= 2 && site.questions("def").len() >= 2
    });
    site.answer("abc", bare("404 Not Found", ""));
    for client in &mut gone {
        client.skip_welcome();
        let patience = client.receive_within(RECHECK);
        let close = Frame::Close(Some((4503, "not allowed".to_owned())));
        assert_eq!(patience, Some(close));
    }
    stays.send_text(&user("still here"));
    assert_eq!(stays.receive_json()["message"], "still here");
    // Who comes back is told at once, from what is remembered.
    let refusal = gateway.try_connect(&path).expect_err("no session");
    assert_eq!(refusal.status, 403);
}

#[test]
fn a_site_that_cannot_be_asked_closes_nobody_and_another_user_is_another() {
    let site = Site::start();
    for session in ["down", "page", "other"] {
        site.answer(session, json(r#"{"user": "ann"}"#));
    }
    let gateway = node(&site, &["auth.forward.recheck=1s"]);
    let mut clients = ["down", "page", "other"].map(|session| {
        let mut client = gateway.connect(&format!("{PATH}{session}/"));
        client.skip_welcome();
        client
    });
    site.answer("down", bare("503 No", ""));
    site.answer(
        "page",
        super::site::with_body("200 OK", "text/html", "<form>"),
    );
    site.answer("other", json(r#"{"user": "bob"}"#));
    let [down, page, other] = &mut clients;
    let closed = other.receive_within(RECHECK);
    let expected = Frame::Close(Some((4503, "not allowed".to_owned())));
    assert_eq!(closed, Some(expected));
    wait::until("the others to be asked about", RECHECK, || {
        site.questions("down").len() >= 3 && site.questions("page").len() >= 3
    });
    for client in [down, page] {
        client.send_text(&user("still here"));
        assert_eq!(client.receive_json()["message"], "still here");
    }
}

fn closed(code: u16, reason: &str) -> Option<Frame> {
    Some(Frame::Close(Some((code, reason.to_owned()))))
}

/// Seconds since the Unix epoch, so many from now.
fn in_seconds(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs() + seconds
}

#[track_caller]
fn speaks(client: &mut Client) {
    client.send_text(&user("still here"));
    assert_eq!(client.receive_json()["message"], "still here");
}

#[test]
fn another_role_closes_with_4502_a_room_that_is_no_longer_theirs_with_4503_and_other_rooms_do_not()
{
    let site = Site::start();
    for session in ["role", "gone", "more", "same"] {
        let rooms = format!("[\"1/{session}\", \"1/other\"]");
        let body = format!(r#"{{"user": "ann", "role": "agent", "rooms": {rooms}}}"#);
        site.answer(session, json(&body));
    }
    // Longer than the test: what is said by now is not what was said then.
    let gateway = node(&site, &["auth.forward.recheck=1s", "auth.forward.cache=1h"]);
    let mut clients = ["role", "gone", "more", "same"].map(|session| {
        let mut client = gateway.connect(&format!("{PATH}{session}/"));
        client.skip_welcome();
        client
    });
    for (session, role, rooms) in [
        ("role", "customer", r#"["1/role", "1/other"]"#),
        ("gone", "agent", r#"["1/other"]"#),
        ("more", "agent", r#"["1/other", "1/new", "1/more"]"#),
        ("same", "agent", r#"["1/other", "1/same"]"#),
    ] {
        let body = format!(r#"{{"user": "ann", "role": "{role}", "rooms": {rooms}}}"#);
        site.answer(session, json(&body));
    }
    let [role, gone, more, same] = &mut clients;
    let changed = closed(4502, "identity changed");
    assert_eq!(role.receive_within(RECHECK), changed);
    assert_eq!(gone.receive_within(RECHECK), closed(4503, "not allowed"));
    wait::until("the others to be asked about", RECHECK, || {
        site.questions("more").len() >= 3 && site.questions("same").len() >= 3
    });
    speaks(more);
    speaks(same);
    // Nor does anybody come in by what was remembered.
    let refusal = gateway.try_connect(&format!("{PATH}gone/"));
    assert_eq!(refusal.expect_err("not their room").status, 403);
}

#[test]
fn an_end_that_the_site_moves_is_the_end() {
    let site = Site::start();
    let until = |seconds| json(&format!(r#"{{"expires": {}}}"#, in_seconds(seconds)));
    site.answer("later", until(6));
    site.answer("sooner", until(3600));
    site.answer("as-said", until(6));
    let gateway = node(&site, &["auth.forward.recheck=1s"]);
    let mut clients = ["later", "sooner", "as-said"].map(|session| {
        let mut client = gateway.connect(&format!("{PATH}{session}/"));
        client.skip_welcome();
        client
    });
    site.answer("later", until(3600));
    site.answer("sooner", until(8));
    // The site is away by the time that this one ends.
    site.answer("as-said", bare("503 No", ""));
    let [later, sooner, as_said] = &mut clients;
    let expired = closed(4501, "credentials expired");
    assert_eq!(as_said.receive_within(RECHECK), expired);
    let closed = sooner.receive_within(RECHECK);
    assert!(
        closed == expired || closed == self::closed(4503, "not allowed"),
        "{closed:?}"
    );
    speaks(later);
}

#[test]
fn who_came_in_while_the_site_was_away_stays_whoever_it_is() {
    let site = Site::start();
    site.answer("agent", bare("503 No", ""));
    site.answer("nobody", bare("503 No", ""));
    let gateway = node(
        &site,
        &["auth.forward.recheck=1s", "auth.forward.on_error=admit"],
    );
    let mut clients = ["agent", "nobody"].map(|session| {
        let mut client = gateway.connect(&format!("{PATH}{session}/"));
        client.skip_welcome();
        client
    });
    site.answer("agent", json(r#"{"user": "ann", "role": "agent"}"#));
    site.answer("nobody", bare("403 No", ""));
    let [agent, nobody] = &mut clients;
    assert_eq!(nobody.receive_within(RECHECK), closed(4503, "not allowed"));
    wait::until("the other to be asked about", RECHECK, || {
        site.questions("agent").len() >= 3
    });
    speaks(agent);
}

#[test]
fn who_may_not_be_here_any_more_is_closed_also_while_a_node_drains() {
    let site = Site::start();
    let sessions: Vec<String> = (0..40).map(|number| format!("drain-{number}")).collect();
    for session in &sessions {
        site.answer(session, json(r#"{"user": "ann"}"#));
    }
    // Closes are spread over 40 seconds: the last of these are far away.
    let gateway = node(
        &site,
        &["auth.forward.recheck=1s", "server.drain_grace=60s"],
    )
    .unchecked();
    let mut clients: Vec<Client> = sessions
        .iter()
        .map(|session| gateway.connect(&format!("{PATH}{session}/")))
        .collect();
    for client in &mut clients {
        client.skip_welcome();
    }
    gateway.signal(Signal::Term);
    gateway.wait_log("draining", 1);
    let asked = || sessions.iter().map(|session| site.questions(session).len());
    let before: usize = asked().sum();
    for session in &sessions {
        site.answer(session, bare("403 No", ""));
    }
    let mut closes = Vec::new();
    for client in &mut clients {
        match client.receive_within(RECHECK) {
            Some(Frame::Close(Some((code, _)))) => closes.push(code),
            other => panic!("{other:?}"),
        }
    }
    let not_allowed = closes.iter().filter(|code| **code == 4503).count();
    assert!(
        not_allowed > 20 && asked().sum::<usize>() > before,
        "{closes:?}"
    );
}
