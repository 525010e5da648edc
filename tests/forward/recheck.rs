//! Who is connected is asked about again.

use super::site::{Site, bare, json};
use super::{PATH, node};
use crate::support::{user, wait};
use std::time::Duration;

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
        let close = crate::support::Frame::Close(Some((4503, "not allowed".to_owned())));
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
    let expected = crate::support::Frame::Close(Some((4503, "not allowed".to_owned())));
    assert_eq!(closed, Some(expected));
    wait::until("the others to be asked about", RECHECK, || {
        site.questions("down").len() >= 3 && site.questions("page").len() >= 3
    });
    for client in [down, page] {
        client.send_text(&user("still here"));
        assert_eq!(client.receive_json()["message"], "still here");
    }
}
