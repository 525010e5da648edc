//! `[auth.forward]`: what is refused at start, each with every word that the operator reads.

use super::load_sets;

/// Settings, and all that their refusal says.
#[rustfmt::skip]
const BAD: &[(&[&str], &[&str])] = &[
    (&["auth.forward.url=http://127.0.0.1:8001/who/"], &[r#"auth.forward.url: is set, and auth.mode does not list "forward"; add the mode, or leave the address out"#]),
    (&["auth.mode=forward"], &[r#"auth.mode: forward has no site to ask; write auth.forward.url = "http://127.0.0.1:8001/supportal/who/""#]),
    (&[r#"auth.forward.url="""#], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=127.0.0.1:8001/who/"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=ftp://site/who/"], &[r#"auth.forward.url: is neither http nor https; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=HTTP://site/who/"], &[r#"auth.forward.url: is neither http nor https; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=unix:/run/site.sock"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http:///who/"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://site:99999/who/"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://site:/who/"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://[::1/who/"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://[site]/who/"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://me:secret-word@site/who/"], &["auth.forward.url: has a user or a password in it; remove it: what is sent with a question is auth.forward.headers"]),
    (&["auth.forward.url=http://site/who/#top"], &["auth.forward.url: has a fragment; cut off the # and what follows it"]),
    (&["auth.forward.url=http://site/a b"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&[r#"auth.forward.url=http://site/\r\nX: y"#], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://sité/who/"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=7"], &[r#"auth.forward.url: is not an address; write it as "http://127.0.0.1:8001/supportal/who/""#]),
    (&["auth.forward.url=http://127.0.0.1:8001/who/", "auth.mode=forward", "auth.forward.host=http://site"], &[r#"auth.forward.host: "http://site" is no host; write a name such as "example.com""#]),
    (&["auth.forward.host=a b"], &[r#"auth.forward.host: "a b" is no host; write a name such as "example.com""#]),
    (&["auth.forward.host=site:port"], &[r#"auth.forward.host: "site:port" is no host; write a name such as "example.com""#]),
    (&[r#"auth.forward.headers=[""]"#], &[r#"auth.forward.headers: "" is no name of a field; write names such as "cookie""#]),
    (&[r#"auth.forward.headers=["a b"]"#], &[r#"auth.forward.headers: "a b" is no name of a field; write names such as "cookie""#]),
    (&[r#"auth.forward.headers=["x:y"]"#], &[r#"auth.forward.headers: "x:y" is no name of a field; write names such as "cookie""#]),
    (&["auth.forward.headers=cookie,Cookie"], &[r#"auth.forward.headers: lists "Cookie" twice; write each field once"#]),
    (&["auth.forward.headers=host"], &[r#"auth.forward.headers: "host" cannot go along; remove it: the question says what it says there itself"#]),
    (&["auth.forward.headers=Upgrade"], &[r#"auth.forward.headers: "Upgrade" cannot go along; remove it: the question says what it says there itself"#]),
    (&["auth.forward.headers=X-Forwarded-For"], &[r#"auth.forward.headers: "X-Forwarded-For" cannot go along; remove it: the question says what it says there itself"#]),
    (&["auth.forward.headers=x-supportal-user"], &[r#"auth.forward.headers: "x-supportal-user" cannot go along; remove it: the question says what it says there itself"#]),
    (&["auth.forward.headers=proxy-authorization"], &[r#"auth.forward.headers: "proxy-authorization" cannot go along; remove it: the question says what it says there itself"#]),
    (&["auth.forward.headers=x-0,x-1,x-2,x-3,x-4,x-5,x-6,x-7,x-8,x-9,x-10,x-11,x-12,x-13,x-14,x-15,x-16,x-17,x-18,x-19,x-20,x-21,x-22,x-23,x-24,x-25,x-26,x-27,x-28,x-29,x-30,x-31,x-32"], &["auth.forward.headers: lists 33 fields; write at most 32"]),
    (&[r#"auth.forward.cookies=[""]"#], &[r#"auth.forward.cookies: "" is no name of a cookie; write a name such as "sessionid""#]),
    (&[r#"auth.forward.cookies=["a=b"]"#], &[r#"auth.forward.cookies: "a=b" is no name of a cookie; write a name such as "sessionid""#]),
    (&[r#"auth.forward.cookies=["a;b"]"#], &[r#"auth.forward.cookies: "a;b" is no name of a cookie; write a name such as "sessionid""#]),
    (&["auth.forward.timeout=0s"], &[r#"auth.forward.timeout: must be longer than zero; write at least "10ms""#]),
    (&["auth.forward.timeout=5m"], &[r#"auth.forward.timeout: is longer than 60s; check the unit; write at most "60s""#]),
    (&["auth.forward.timeout=3"], &[r#"auth.forward.timeout: `3` is not a duration: write a number and a unit, such as "60s" (units: ms s m h d)"#]),
    (&["auth.forward.on_error=allow"], &[r#"auth.forward.on_error: "allow" is not a choice; write one of "refuse", "admit""#]),
    (&["auth.forward.on_error=Admit"], &[r#"auth.forward.on_error: "Admit" is not a choice; did you mean "admit"? (one of "refuse", "admit")"#]),
    (&["auth.forward.cache=2h"], &[r#"auth.forward.cache: is longer than 1h; check the unit; write at most "1h""#]),
    (&["auth.forward.cache_refused=2h"], &[r#"auth.forward.cache_refused: is longer than 1h; check the unit; write at most "1h""#]),
    (&["auth.forward.cache_entries=2000000"], &["auth.forward.cache_entries: 2000000 is too large; write at most 1048576"]),
    (&["auth.forward.cache_entries=-1"], &["auth.forward.cache_entries: -1 is not a whole number of at least 0; write a bare number, such as cache_entries = 10000"]),
    (&["auth.forward.concurrency=0"], &["auth.forward.concurrency: 0 is too small; write at least 1"]),
    (&["auth.forward.concurrency=2000"], &["auth.forward.concurrency: 2000 is too large; write at most 1024"]),
    (&["auth.forward.concurrency_per_ip=0"], &["auth.forward.concurrency_per_ip: 0 is too small; write at least 1"]),
    (&["auth.forward.concurrency_per_ip=2000"], &["auth.forward.concurrency_per_ip: 2000 is too large; write at most 1024"]),
    (&["auth.forward.question_bytes=100"], &["auth.forward.question_bytes: 100 is too small; write at least 256"]),
    (&["auth.forward.question_bytes=100000"], &["auth.forward.question_bytes: 100000 is too large; write at most 65536"]),
    (&["auth.forward.answer_bytes=100"], &["auth.forward.answer_bytes: 100 is too small; write at least 256"]),
    (&["auth.forward.answer_bytes=2000000"], &["auth.forward.answer_bytes: 2000000 is too large; write at most 1048576"]),
    (&["auth.forward.recheck=500ms"], &[r#"auth.forward.recheck: is too short; write at least "1s", or "0s" for never"#]),
    (&["auth.forward.recheck=2h"], &[r#"auth.forward.recheck: is longer than 1h; check the unit; write at most "1h""#]),
    (&["auth.forward.urls=http://a/"], &["auth.forward.urls: unknown key; did you mean `bridge.urls`?"]),
    (&["auth.mode=forward,none", "auth.forward.url=http://127.0.0.1:8001/who/"], &[r#"auth.mode: lists a mode after "forward", which answers for everybody; write "forward" last"#]),
    (&["auth.mode=forward,forward", "auth.forward.url=http://127.0.0.1:8001/who/"], &[r#"auth.mode: lists "forward" twice; write each mode once"#, r#"auth.mode: lists a mode after "forward", which answers for everybody; write "forward" last"#]),
    (&["auth.mode=forwards", "auth.forward.url=http://127.0.0.1:8001/who/"], &[r#"auth.mode: "forwards" is not a choice; did you mean "forward"? (one of "none", "jwt", "link", "django_session", "forward")"#, r#"auth.forward.url: is set, and auth.mode does not list "forward"; add the mode, or leave the address out"#]),
];

#[test]
fn a_bad_setting_of_the_site_that_is_asked_is_refused_in_these_words() {
    let mut faults = Vec::new();
    for (sets, expected) in BAD {
        let refused = load_sets(sets).expect_err(sets[0]);
        let said = refused.problems().iter().map(ToString::to_string);
        let said: Vec<String> = said.collect();
        let expected = expected.iter().map(|what| format!("--set: {what}"));
        let expected: Vec<String> = expected.collect();
        if said != expected {
            faults.push(format!("{sets:?}: {said:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(BAD.len() >= 40);
}
