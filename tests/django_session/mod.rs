//! `auth.mode = ["django_session"]`: sessions of a real Django site, read without asking the site.

use crate::support::{Blow, Client, Django, Frame, Gateway, Redis};
use serde_json::json;
use std::time::Duration;

const PATH: &str = "/ws/chat/1/abc/";
const KEY: &str = "a-key-of-the-tests-own-site-of-more-than-fifty-characters";
const OTHER_KEY: &str = "an-earlier-key-of-the-tests-own-site-of-fifty-characters";

/// A site of this engine, or with the Redis of its cache.
#[track_caller]
fn start(arguments: &[&str]) -> Django {
    Django::start("django_session/site.py", arguments)
}

/// Logs somebody in; the session's cookie.
#[track_caller]
fn login(site: &mut Django, user: &str) -> String {
    let answer = site.order(&json!({ "do": "login", "user": user }));
    answer[0].as_str().expect("a cookie").to_owned()
}

/// What somebody's cookie is who has a session and has not logged in.
#[track_caller]
fn visit(site: &mut Django) -> String {
    let answer = site.order(&json!({ "do": "visit" }));
    answer.as_str().expect("a cookie").to_owned()
}

#[track_caller]
fn node(settings: &[&str]) -> Gateway {
    let mut all = vec!["auth.mode=django_session", "origin.allowed=*"];
    all.extend(settings);
    Gateway::start(&all)
}

/// Opens the chat as a browser with this session.
fn open(gateway: &Gateway, session: &str) -> Result<Client, u16> {
    let cookies = format!("csrftoken=x; sessionid={session}");
    gateway
        .try_connect_with(PATH, &[("Cookie", &cookies)])
        .map_err(|refusal| refusal.status)
}

fn status(gateway: &Gateway, session: &str) -> u16 {
    open(gateway, session).map_or_else(|status| status, |client| client.upgrade.status)
}

#[track_caller]
fn refused(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metric(&format!(
        "supportal_auth_refused_total{{cause=\"{cause}\"}}"
    ))
}

#[test]
fn a_signed_cookie_of_django_lets_in_and_one_that_was_tampered_with_does_not() {
    let mut site = start(&["signed_cookies", KEY]);
    let (ann, visitor) = (login(&mut site, "ann"), visit(&mut site));
    let old = login(&mut start(&["signed_cookies", OTHER_KEY]), "ann");
    let key = format!("auth.django_session.secret_key={KEY}");
    let gateway = node(&[&key, "log.level=trace"]);
    let mut client = open(&gateway, &ann).expect("a user");
    client.skip_welcome();
    client.send_text(&crate::support::user("hello"));
    assert_eq!(client.receive_json()["message"], "hello");
    let (signed, signature) = ann.rsplit_once(':').expect("a signature");
    let (first, rest) = signature.split_at(1);
    let tampered = format!("{signed}:{}{rest}", if first == "A" { "B" } else { "A" });
    let other_data = format!(".{}", ann.trim_start_matches('.').replacen('e', "f", 1));
    for session in [
        &tampered,
        &other_data,
        &visitor,
        &old,
        "x",
        "a:b:c",
        "../../etc/passwd",
    ] {
        assert_eq!(status(&gateway, session), 401, "{session}");
    }
    assert_eq!(status(&gateway, &ann), 101);
    assert!(refused(&gateway, "session_signature") >= 3.0);
    assert_eq!(refused(&gateway, "none"), 1.0);
    // An earlier key still verifies where it is listed; whoever has not logged in is nobody.
    let fallback = format!("auth.django_session.secret_key_fallbacks={OTHER_KEY}");
    let both = node(&[&key, &fallback, "auth.mode=django_session,none"]);
    for session in [&ann, &old, &visitor] {
        assert_eq!(status(&both, session), 101, "{session}");
    }
    assert_eq!(status(&both, &tampered), 401);
    assert_eq!(both.connect(PATH).upgrade.status, 101);
    let log = gateway.log();
    for secret in [&*ann, &*old, KEY] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn who_came_in_by_a_signed_cookie_is_closed_when_the_cookie_ends() {
    let mut site = start(&["signed_cookies", KEY]);
    let key = format!("auth.django_session.secret_key={KEY}");
    let gateway = node(&[&key, "auth.django_session.cookie_age=3s"]);
    let ann = login(&mut site, "ann");
    let mut client = open(&gateway, &ann).expect("a user");
    client.skip_welcome();
    assert_eq!(client.expect_close().0, 4501);
    // The second of the end itself still counts, as at Django.
    crate::support::wait::until("the cookie to end", crate::support::PATIENCE, || {
        status(&gateway, &ann) == 401
    });
    assert!(refused(&gateway, "session_expired") >= 1.0);
}

#[test]
fn a_page_of_another_site_does_not_connect_with_its_visitors_session() {
    let mut site = start(&["signed_cookies", KEY]);
    let session = format!("sessionid={}", login(&mut site, "ann"));
    let key = format!("auth.django_session.secret_key={KEY}");
    let gateway = Gateway::start(&["auth.mode=django_session", &key]);
    let own = format!("http://{}", gateway.public());
    for (origin, expected) in [(&*own, 101), ("https://evil.example", 403)] {
        let fields = [("Cookie", &*session), ("Origin", origin)];
        let found = match gateway.try_connect_with(PATH, &fields) {
            Ok(client) => client.upgrade.status,
            Err(refusal) => refusal.status,
        };
        assert_eq!(found, expected, "{origin}");
    }
}

#[test]
fn a_session_in_the_caches_redis_lets_in_until_its_user_logs_out() {
    let mut redis = Redis::start(&[]);
    let url = format!("{}/2", redis.url());
    let mut site = start(&["cache", KEY, &url]);
    let (ann, bob, visitor) = (
        login(&mut site, "ann"),
        login(&mut site, "bob"),
        visit(&mut site),
    );
    let address = format!("auth.django_session.redis={url}");
    let cache = [
        "auth.django_session.engine=cache",
        "auth.django_session.key_prefix=site",
    ];
    let gateway = node(&[
        &address,
        cache[0],
        cache[1],
        "auth.django_session.cache=0s",
        "auth.django_session.cache_refused=0s",
        "auth.django_session.timeout=30s",
        "auth.django_session.role=agent",
    ]);
    for session in [&ann, &bob] {
        let mut client = open(&gateway, session).expect("a user");
        client.skip_welcome();
    }
    let unknown = "0123456789abcdefghijklmnopqrstuv";
    for session in [
        &visitor,
        unknown,
        "x",
        &ann.to_uppercase(),
        &format!("{ann}*"),
    ] {
        assert_eq!(status(&gateway, session), 401, "{session}");
    }
    site.order(&json!({ "do": "logout", "user": "ann" }));
    assert_eq!((status(&gateway, &ann), status(&gateway, &bob)), (401, 101));
    assert_eq!(refused(&gateway, "session_unknown"), 2.0);
    // Something else than a session, where one should be.
    let key = format!("site:1:django.contrib.sessions.cache{unknown}");
    let mut conversation = redis.connect();
    conversation.command(&["SELECT", "2"]);
    for value in ["\u{80}\u{4}cos\nsystem\n.", "[]", "x", &"{".repeat(20_000)] {
        conversation.command(&["SET", &key, value]);
        assert_eq!(status(&gateway, unknown), 401, "{value}");
    }
    assert!(refused(&gateway, "session_content") >= 3.0);
    assert!(refused(&gateway, "session_too_long") >= 1.0);
    let log = gateway.log();
    assert!(!log.contains(&ann) && !log.contains(&bob), "{log}");
    drop(conversation);
    redis.blow(Blow::Kill);
    assert_eq!(status(&gateway, &bob), 503);
    gateway.wait_log("sessions cannot be looked for in the site's Redis", 1);
    // No session at all takes no Redis.
    assert_eq!(gateway.try_connect(PATH).expect_err("nobody").status, 401);
    redis.launch();
    crate::support::wait::until(
        "the node to find its Redis",
        crate::support::PATIENCE,
        || status(&gateway, &bob) == 401,
    );
}

#[track_caller]
fn closed(client: &mut Client) -> Option<Frame> {
    client.receive_within(Duration::from_secs(30))
}

#[track_caller]
fn speaks(client: &mut Client) {
    client.send_text(&crate::support::user("still here"));
    assert_eq!(client.receive_json()["message"], "still here");
}

#[test]
fn who_logs_out_while_connected_is_closed_with_4503_and_others_are_not() {
    let mut redis = Redis::start(&[]);
    let url = format!("{}/2", redis.url());
    let mut site = start(&["cache", KEY, &url]);
    let (ann, bob) = (login(&mut site, "ann"), login(&mut site, "bob"));
    let address = format!("auth.django_session.redis={url}");
    let gateway = node(&[
        &address,
        "auth.django_session.engine=cache",
        "auth.django_session.key_prefix=site",
        "auth.django_session.timeout=30s",
        "auth.django_session.cache=1h",
        "auth.django_session.recheck=1s",
    ]);
    let mut clients = [&ann, &ann, &bob].map(|session| {
        let mut client = open(&gateway, session).expect("a user");
        client.skip_welcome();
        client
    });
    let [gone, too, stays] = &mut clients;
    // A session that cannot be read says of nobody that they have gone, and a Redis that is away does not either.
    let key = format!("site:1:django.contrib.sessions.cache{bob}");
    let mut conversation = redis.connect();
    conversation.command(&["SELECT", "2"]);
    conversation.command(&["SET", &key, "[]"]);
    drop(conversation);
    site.order(&json!({ "do": "logout", "user": "ann" }));
    let not_allowed = Some(Frame::Close(Some((4503, "not allowed".to_owned()))));
    for client in [gone, too] {
        assert_eq!(closed(client), not_allowed);
    }
    // Nor does anybody come in by what was remembered, though that is for an hour.
    assert_eq!(status(&gateway, &ann), 401);
    redis.blow(Blow::Kill);
    gateway.wait_log("sessions cannot be looked for in the site's Redis", 1);
    speaks(stays);
    // By now there is no session at all.
    redis.launch();
    assert_eq!(closed(stays), not_allowed);
    let log = gateway.log();
    assert!(!log.contains(&ann) && !log.contains(&bob), "{log}");
}

#[test]
fn sessions_are_looked_for_by_the_settings_of_now_and_remembered_where_these_are_the_same() {
    let (mut old, new) = (Redis::start(&[]), Redis::start(&[]));
    let mut site = start(&["cache", KEY, &old.url()]);
    let ann = login(&mut site, "ann");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("supportal.toml");
    let write = |redis: &Redis, more: &str| {
        let session = format!(
            "[auth.django_session]\nengine = \"cache\"\nkey_prefix = \"site\"\nredis = [{:?}]\n\
             timeout = \"30s\"\ncache = \"1h\"\nrecheck = \"1s\"\n",
            redis.url()
        );
        let text = format!(
            "[origin]\nallowed = [\"*\"]\n[auth]\nmode = [\"django_session\"]\n{session}{more}"
        );
        std::fs::write(&file, text).expect("the file");
    };
    write(&old, "");
    let gateway = Gateway::start_with_arguments(&[], &["--config", &file.display().to_string()]);
    let reload = || {
        let request = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = crate::support::http::exchange(gateway.admin_address(), request);
        assert_eq!(answer.expect("an answer").status, 200);
    };
    let mut client = open(&gateway, &ann).expect("a user");
    client.skip_welcome();
    let lookups = || {
        let reply = old.command(&["INFO", "commandstats"]);
        let said = reply.text();
        let count = said.split("cmdstat_getrange:calls=").nth(1).unwrap_or("0");
        let count = count.split(',').next().unwrap_or_default();
        count.parse::<u64>().expect("a number")
    };
    crate::support::wait::until("a recheck", Duration::from_secs(30), || lookups() >= 2);
    // What is remembered is so after a reload of the same settings: Redis need not be there.
    old.blow(Blow::Kill);
    write(&old, "[limits]\nheaders = 90\n");
    reload();
    let mut again = open(&gateway, &ann).expect("a user");
    again.skip_welcome();
    drop(again);
    speaks(&mut client);
    // The site has moved its sessions, and this one has not come along.
    write(&new, "");
    reload();
    let not_allowed = Some(Frame::Close(Some((4503, "not allowed".to_owned()))));
    assert_eq!(closed(&mut client), not_allowed);
    assert_eq!(status(&gateway, &ann), 401);
}

#[test]
fn a_redis_that_stands_still_is_waited_for_no_longer_than_the_timeout_says() {
    let mut redis = Redis::start(&[]);
    let address = format!("auth.django_session.redis={}", redis.url());
    let gateway = node(&[
        &address,
        "auth.django_session.engine=cache",
        "auth.django_session.timeout=300ms",
    ]);
    let unknown = "0123456789abcdefghijklmnopqrstuv";
    assert_eq!(status(&gateway, unknown), 401);
    redis.blow(Blow::Stop);
    assert_eq!(status(&gateway, &unknown.replace('0', "1")), 503);
    assert_eq!(refused(&gateway, "session_store"), 1.0);
    redis.blow(Blow::Continue);
    crate::support::wait::until(
        "the node to find its Redis",
        crate::support::PATIENCE,
        || status(&gateway, &unknown.replace('0', "2")) == 401,
    );
}
