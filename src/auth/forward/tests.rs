//! Rules of the mode that need no site.

use super::*;
use crate::broker::UserRole::{self, Agent, Customer};
use crate::transport::handshake::RequestHead;
use bytes::Bytes;
use hyper::Response;

/// A site where nobody answers.
fn forward(change: impl FnOnce(&mut ForwardSettings)) -> Forward {
    let mut settings = ForwardSettings {
        url: Some("http://127.0.0.1:1/who/".to_owned()),
        ..ForwardSettings::default()
    };
    change(&mut settings);
    Forward::new(&settings, &Arc::new(Metrics::new())).expect("the mode")
}

const HEAD: RequestHead<'_> = RequestHead {
    method: "GET",
    is_http_11: true,
    fields: Vec::new(),
};

fn rooms(patterns: &[(&str, &str)]) -> RoomScope {
    let pattern = |&(business_id, session_id): &(&str, &str)| RoomPattern {
        business_id: Some(business_id.into()),
        session_id: Some(session_id.into()),
    };
    RoomScope::Of(patterns.iter().map(pattern).collect())
}

const STAYS: Rechecked = Rechecked::Stays(Some(20));
const NOT_ALLOWED: Rechecked = Rechecked::Ends(CloseReason::NotAllowed);
const CHANGED: Rechecked = Rechecked::Ends(CloseReason::IdentityChanged);

/// User and role as they came in, whether nobody had said so; user, role and session as they are said later; what follows.
type Row = (
    (Option<&'static str>, UserRole, bool),
    (Option<&'static str>, UserRole, &'static str),
    Rechecked,
);

#[rustfmt::skip]
const ROWS: [Row; 12] = [
    ((Some("ann"), Agent, false), (Some("ann"), Agent, "abc"), STAYS),
    ((Some("ann"), Agent, false), (Some("bob"), Agent, "abc"), NOT_ALLOWED),
    ((Some("ann"), Agent, false), (None, Agent, "abc"), NOT_ALLOWED),
    ((Some("ann"), Agent, false), (Some("ann"), Customer, "abc"), CHANGED),
    ((Some("ann"), Customer, false), (Some("ann"), Agent, "abc"), CHANGED),
    ((Some("ann"), Agent, false), (Some("ann"), Agent, "ab*"), STAYS),
    ((Some("ann"), Agent, false), (Some("ann"), Agent, "def"), NOT_ALLOWED),
    ((Some("ann"), Agent, false), (Some("ann"), Customer, "def"), NOT_ALLOWED),
    ((None, Customer, false), (Some("ann"), Customer, "abc"), STAYS),
    ((None, Customer, false), (Some("ann"), Agent, "abc"), CHANGED),
    ((None, Customer, true), (Some("ann"), Agent, "abc"), STAYS),
    ((None, Customer, true), (Some("ann"), Agent, "def"), NOT_ALLOWED),
];

#[test]
fn a_later_answer_is_compared_in_user_room_and_role_and_taken_for_the_end() {
    let forward = forward(|_default| {});
    let head = HEAD;
    let credentials = Credentials::into_abc(&head, "/");
    let key = forward.form.key(&credentials).expect("a key");
    for row in ROWS {
        let ((user, role, is_unsaid), (user_now, role_now, session_id), expected) = row;
        let question = forward.form.question(&credentials, key);
        let watched = OpenQuestion {
            question: question.expect("a question"),
            is_unsaid,
        };
        let identity = Identity {
            user: user.map(Into::into),
            role,
            rooms: rooms(&[("1", "abc"), ("1", "def")]),
            expires_at: Some(10),
        };
        let said = Identity {
            user: user_now.map(Into::into),
            role: role_now,
            rooms: rooms(&[("1", session_id)]),
            expires_at: Some(20),
        };
        assert_eq!(watched.compare(&identity, &said), expected, "{row:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_turn_in_time_comes_in_only_while_the_site_is_away_and_is_asked_about_later() {
    let forward = forward(|settings| {
        settings.concurrency_per_ip = 1;
        settings.on_error = OnError::Admit;
    });
    let head = HEAD;
    let credentials = Credentials::into_abc(&head, "/");
    let held = forward.turns.take(credentials.client).await;
    // The site answers others: who fills the turns comes in by none.
    let judgement = forward.in_full(&credentials).await;
    let Judgement::Refused(refusal) = judgement else {
        panic!("{judgement:?}")
    };
    assert_eq!(refusal.answer, RefusalAnswer::Unavailable);
    forward.is_away.store(true, Ordering::Relaxed);
    let judgement = forward.in_full(&credentials).await;
    let Judgement::Known(identity) = judgement else {
        panic!("{judgement:?}")
    };
    let later = forward.clock.now() + Duration::from_secs(3600);
    let (watched, question) = forward.rechecks.take_due(later).expect("a question");
    assert!(Arc::ptr_eq(&watched, &identity) && question.is_unsaid);
    // Nobody is connected: it waits for the next time.
    forward.put_off(&identity, question);
    let at_once = forward.rechecks.take_due(forward.clock.now());
    assert!(at_once.is_none() && forward.rechecks.take_due(later).is_some());
    drop(held);
}

#[test]
fn a_redirect_to_another_host_is_not_one_of_the_question_itself() {
    let head = HEAD;
    for (host, location, expected) in [
        ("", "https://127.0.0.1/who/", "to_https"),
        ("", "https://login.example/who/", "unknown"),
        ("", "http://login.example/who//", "unknown"),
        ("", "/who//", "to_slash"),
        ("Site.example:8000", "https://site.example/who/", "to_https"),
        ("site.example", "https://127.0.0.1/who/", "unknown"),
    ] {
        let forward = forward(|settings| host.clone_into(&mut settings.host));
        let credentials = Credentials {
            host: Some("Chat.example:8443"),
            business_id: None,
            session_id: None,
            ..Credentials::into_abc(&head, "/")
        };
        let key = forward.form.key(&credentials).expect("a key");
        let question = forward.form.question(&credentials, key);
        let question = question.expect("a question");
        let said = |location: &str| {
            let answer = Response::builder().status(302).header("location", location);
            let answer = Ok(answer.body(Bytes::new()).expect("an answer"));
            let is_ours = |host: &str| question.is_of_host(&forward.form, host);
            SiteAnswer::read(&answer, question.uri(), is_ours, 0).label()
        };
        assert_eq!(said(location), expected, "{host} {location}");
        assert_eq!(said("https://chat.example/who/"), "to_https");
    }
}
