//! Signed cookies.

use super::*;
use SessionFlaw::{Content, Expired, Form, Signature, TooLong};
use std::sync::Arc;
use std::time::Duration;

/// When the cookies of the tests are signed: 1,000,000 in base 62.
const TIME: &str = "4C92";
const SIGNED_AT: u64 = 1_000_000;

#[test]
fn cookies_of_both_versions_of_django_say_whose_they_are() {
    let vectors = vectors();
    let now = vectors["now"].as_u64().expect("a time");
    let (own, old) = (text(&vectors["key"]), text(&vectors["old_key"]));
    let mut compressed = 0;
    for version in versions(&vectors) {
        let cookies = SignedCookies::new(&settings(&[own]));
        let with_fallback = SignedCookies::new(&settings(&[own, old]));
        let age = settings(&[]).cookie_age.as_secs();
        for vector in version["signed"].as_array().expect("cookies") {
            let (name, cookie) = (text(&vector["name"]), text(&vector["cookie"]));
            let user = expected(&vector["user"]);
            let found: FoundSession = (user, Some(now + age));
            assert_eq!(cookies.read(cookie, now), Ok(found.clone()), "{name}");
            assert_eq!(cookies.read(cookie, now + age), Ok(found), "{name}");
            assert_eq!(cookies.read(cookie, now + age + 1), Err(Expired), "{name}");
            compressed += u32::from(cookie.starts_with('.'));
        }
        let by_old = text(&version["by_the_old_key"]);
        assert_eq!(cookies.read(by_old, now), Err(Signature));
        let (user, _) = with_fallback.read(by_old, now).expect("a fallback");
        assert_eq!(user, known("1"));
    }
    assert!(compressed >= 4, "{compressed}");
}

#[test]
fn bad_cookies_are_refused_and_counted_by_their_cause() {
    let cookies = SignedCookies::new(&settings(&[KEY]));
    let good = sign(LOGIN, TIME);
    let (signed, signature) = good.rsplit_once(':').expect("a colon");
    let (data, _) = signed.split_once(':').expect("a colon");
    let read = |cookie: &str| cookies.read(cookie, SIGNED_AT + 300_000);
    assert_eq!(read(&good).expect("good").0, known("7"));
    let zeros = miniz_oxide::deflate::compress_to_vec_zlib(&[b'0'; 100_000], 9);
    let session = |fields: &str| sign(&format!("{{{fields}}}"), TIME);
    let backend = r#""_auth_user_backend":"b""#;
    let user = |user: &str| session(&format!(r#""_auth_user_id":{user},{backend}"#));
    let by_other_salt = {
        let hash = ring::digest::digest(&ring::digest::SHA256, KEY.as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, hash.as_ref());
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}:{}", URL_SAFE_NO_PAD.encode(tag))
    };
    #[rustfmt::skip]
    let bad = [
        ("a key of the database", "k".repeat(32), Form),
        ("colons alone", "::".to_owned(), Signature),
        ("one colon", ":".to_owned(), Form),
        ("no signature", format!("{signed}:"), Signature),
        ("no time", format!("{data}:{signature}"), Form),
        ("padding", format!("{good}="), Form),
        ("ordinary base64", format!("{signed}:++//"), Form),
        ("a space in the signature", format!("{signed}: {signature}"), Form),
        ("a signature cut short", good.chars().take(good.len() - 3).collect(), Signature),
        ("another signature", format!("{signed}:{}", "A".repeat(43)), Signature),
        ("another key", sign_by("another", data, TIME), Signature),
        ("an empty key", sign_by("", data, TIME), Signature),
        ("no salt", by_other_salt, Signature),
        ("another user", good.replacen(data, &URL_SAFE_NO_PAD.encode(LOGIN.replace('7', "8")), 1), Signature),
        ("a later time", good.replacen(TIME, "4C93", 1), Signature),
        ("a compressed one called plain", format!(".{good}"), Signature),
        ("longer than a cookie", "A".repeat(4097), TooLong),
        ("an empty time", sign(LOGIN, ""), Form),
        ("a time that is no number", sign(LOGIN, "4C-2"), Form),
        ("a time of 1970", sign(LOGIN, "0"), Expired),
        ("a time beyond all", sign(LOGIN, &"z".repeat(20)), Form),
        ("data that is no base64", sign_by(KEY, "????", TIME), Form),
        ("data that is no zlib", sign_by(KEY, ".AAAA", TIME), Form),
        ("zlib that ends early", sign_by(KEY, ".eJw", TIME), Form),
        ("zlib of more than may be", sign_by(KEY, &format!(".{}", URL_SAFE_NO_PAD.encode(&zeros)), TIME), TooLong),
        ("a pickle", sign_by(KEY, &URL_SAFE_NO_PAD.encode(b"\x80\x04}."), TIME), Content),
        ("nothing", sign("", TIME), Content),
        ("a list", sign(r#"["7","b"]"#, TIME), Content),
        ("null", sign("null", TIME), Content),
        ("text behind it", sign(&format!("{LOGIN} {{}}"), TIME), Content),
        ("half of it", sign(LOGIN.trim_end_matches('}'), TIME), Content),
        ("a number for a user", user("7"), Content),
        ("an empty user", user("\"\""), Content),
        ("a user with a line break", user(r#""7\n""#), Content),
        ("a long user", user(&format!("\"{}\"", "7".repeat(255))), Content),
        ("two users", session(&format!(r#""_auth_user_id":"7","_auth_user_id":"8",{backend}"#)), Content),
        ("two users, one escaped", session(&format!(r#""_auth_user_id":"7","_auth_user\u005fid":"8",{backend}"#)), Content),
        ("no UTF-8", sign_by(KEY, &URL_SAFE_NO_PAD.encode(b"{\"_auth_user_id\":\"\xff\"}"), TIME), Content),
    ];
    for (what, cookie, flaw) in bad {
        assert_eq!(read(&cookie), Err(flaw), "{what}");
    }
}

#[test]
fn a_session_without_a_user_and_the_backend_that_let_it_in_is_nobodys() {
    let cookies = SignedCookies::new(&settings(&[KEY]));
    for session in [
        "{}",
        r#"{"_auth_user_id":"7"}"#,
        r#"{"_auth_user_id":null,"_auth_user_backend":"b"}"#,
        r#"{"_auth_user_backend":"b"}"#,
        r#"{"a":{"_auth_user_id":"7","_auth_user_backend":"b"}}"#,
    ] {
        let found = cookies.read(&sign(session, TIME), SIGNED_AT);
        assert_eq!(found.expect(session).0, SessionUser::Nobody, "{session}");
    }
}

#[test]
fn the_mode_answers_for_its_cookie_alone() {
    let vectors = vectors();
    let by_vectors = DjangoSessionSettings {
        // The vectors are of one moment, and this is whenever the test runs.
        cookie_age: Duration::from_secs(100 * 366 * 24 * 3600),
        ..settings(&[text(&vectors["key"])])
    };
    let mode = DjangoSession::new(&by_vectors, &Arc::default()).expect("a mode");
    let cookie = text(&vectors["versions"][0]["signed"][0]["cookie"]);
    let signed_at = vectors["now"].as_u64().expect("a time");
    let named = format!("a=b; sessionid={cookie}; c=d");
    let Judgement::Known(identity) = judge(&mode, &[&named]) else {
        panic!("a good cookie");
    };
    assert_eq!(identity.user.as_deref(), Some("1"));
    assert_eq!(identity.role.as_str(), "customer");
    assert!(identity.expires_at.is_some_and(|end| end > signed_at));
    for (cookies, cause) in [
        (&[][..], "(absent)"),
        (&["a=b"][..], "(absent)"),
        (&["sessionid="][..], "(absent)"),
        (&["Sessionid=x"][..], "(absent)"),
        (&["xsessionid=x; sessionidx=y"][..], "(absent)"),
        (&["sessionid=x"][..], "session_form"),
        (&["sessionid=a:b:AA"][..], "session_signature"),
        (
            &["sessionid=a:b:AA; sessionid=a:b:AA"][..],
            "session_unclear",
        ),
        (
            &["sessionid=a:b:AA", "sessionid=a:b:AA"][..],
            "session_unclear",
        ),
        (&["sessionid=\u{e4}:b:AA"][..], "session_signature"),
    ] {
        let found = match judge(&mode, cookies) {
            Judgement::Absent => "(absent)",
            Judgement::Refused(refusal) => refusal.cause,
            judgement => panic!("{judgement:?}"),
        };
        assert_eq!(found, cause, "{cookies:?}");
    }
    let long = format!("sessionid={}", "A".repeat(4096));
    assert!(matches!(judge(&mode, &[&long]), Judgement::Refused(_)));
    let compressed = format!("sessionid=.{}", "A".repeat(1000));
    assert!(matches!(judge(&mode, &[&compressed]), Judgement::Later));
}

#[test]
fn no_key_is_shown() {
    let settings = settings(&[KEY, "another key of the same site"]);
    let mode = DjangoSession::new(&settings, &Arc::default()).expect("a mode");
    let shown = format!("{settings:?} {mode:?}");
    assert!(!shown.contains(KEY) && !shown.contains("another key"));
}
