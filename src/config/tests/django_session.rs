//! `[auth.django_session]`: what is refused at start, each with its key and its fix, and no secret in the text.

use super::super::{AuthMode, SessionEngine};
use super::{assert_refused, load_environment, load_sets};

const KEY: &str = "auth.django_session.secret_key=0123456789abcdef0123456789abcdef";
const MODE: &str = "auth.mode=django_session";
const CACHE: &str = "auth.django_session.engine=cache";
const REDIS: &str = "auth.django_session.redis=redis://:secret-word@127.0.0.1/1";

/// Settings, and what their refusal says.
#[rustfmt::skip]
const BAD: &[(&[&str], &[&str])] = &[
    (&[MODE], &["auth.mode: django_session has nothing to verify cookies with", "SUPPORTAL_AUTH__DJANGO_SESSION__SECRET_KEY"]),
    (&[MODE, CACHE], &["auth.mode: django_session has no Redis to look for sessions in", "redis://127.0.0.1:6379/1"]),
    (&["auth.django_session.engine=db"], &["auth.django_session.engine: is an engine of which only the site can read sessions", "auth.mode = [\"forward\"]"]),
    (&["auth.django_session.engine=django.contrib.sessions.backends.db"], &["only the site can read sessions", "\"forward\""]),
    (&["auth.django_session.engine=cached_db"], &["only the site can read sessions", "\"forward\""]),
    (&["auth.django_session.engine=django.contrib.sessions.backends.cached_db"], &["only the site can read sessions", "\"forward\""]),
    (&["auth.django_session.engine=file"], &["only the site can read sessions", "\"forward\""]),
    (&["auth.django_session.engine=django.contrib.sessions.backends.file"], &["only the site can read sessions", "\"forward\""]),
    (&["auth.django_session.engine=cookies"], &["auth.django_session.engine: \"cookies\" is not a choice", "\"signed_cookies\", \"cache\""]),
    (&[MODE, KEY, REDIS], &["auth.django_session.redis: is set", "\"signed_cookies\"", "engine = \"cache\""]),
    (&[MODE, CACHE, KEY, REDIS], &["auth.django_session.secret_key: is set", "leave it out"]),
    (&["auth.django_session.secret_key=secret-word"], &["auth.django_session.secret_key: has 11 bytes", "at least 32"]),
    (&[KEY, "auth.django_session.secret_key_fallbacks=[\" secret-word 0123456789abcdef0123456789abcdef\"]"], &["auth.django_session.secret_key_fallbacks: begins or ends with white space"]),
    (&[KEY, "auth.django_session.secret_key_fallbacks=secret-word"], &["auth.django_session.secret_key_fallbacks: has 11 bytes"]),
    (&["auth.django_session.secret_key_fallbacks=0123456789abcdef0123456789abcdef"], &["secret_key_fallbacks: stands without secret_key"]),
    (&["auth.django_session.cookie=\"\""], &["auth.django_session.cookie: \"\" is no name of a cookie", "SESSION_COOKIE_NAME"]),
    (&["auth.django_session.cookie=a=b"], &["auth.django_session.cookie: \"a=b\" is no name of a cookie"]),
    (&["auth.django_session.cookie_age=1209600"], &["auth.django_session.cookie_age", "`1209600` is not a duration"]),
    (&["auth.django_session.cookie_age=367d"], &["auth.django_session.cookie_age: is longer than 366d"]),
    (&["auth.django_session.redis=redis://a,redis://b"], &["auth.django_session.redis: holds 2 addresses", "the first of LOCATION"]),
    (&["auth.django_session.redis=http://me:secret-word@a"], &["auth.django_session.redis[0]"]),
    (&["auth.django_session.key_prefix=\"a\\nb\""], &["auth.django_session.key_prefix: is too long, or holds a control character"]),
    (&["auth.django_session.version=-1"], &["auth.django_session.version"]),
    (&["auth.django_session.session_bytes=100"], &["auth.django_session.session_bytes: 100 is too small", "at least 256"]),
    (&["auth.django_session.concurrency=0"], &["auth.django_session.concurrency: 0 is too small"]),
    (&["auth.django_session.recheck=500ms"], &["auth.django_session.recheck: is too short", "at least \"1s\", or \"0s\" for never"]),
    (&["auth.django_session.timeout=0s"], &["auth.django_session.timeout: must be longer than zero"]),
    (&["auth.django_session.role=admin"], &["auth.django_session.role: \"admin\" is not a choice", "\"customer\", \"agent\", \"backend\""]),
    (&["auth.mode=none,django_session", KEY], &["auth.mode: lists a mode after \"none\""]),
    (&["auth.mode=django-session", KEY], &["\"django-session\" is not a choice", "did you mean \"django_session\"?"]),
    (&["auth.django_session.secert_key=secret-word"], &["unknown key", "did you mean `auth.django_session.secret_key`?"]),
];

#[test]
fn a_bad_setting_of_django_sessions_is_refused_with_its_key_and_fix() {
    for (sets, fragments) in BAD {
        let loaded = load_sets(sets);
        let text = loaded.as_ref().expect_err(sets[0]).to_string();
        assert!(!text.contains("secret-word"), "shows a secret: {text}");
        assert_refused(&sets.join(" "), loaded, fragments);
    }
}

#[test]
fn the_settings_of_the_site_can_be_copied() {
    let key = "django-insecure-#k3y!with%odd&characters=(and)$length";
    let auth = load_environment(&[
        ("SUPPORTAL_AUTH__MODE", "django_session,none"),
        ("SUPPORTAL_AUTH__DJANGO_SESSION__SECRET_KEY", key),
        (
            "SUPPORTAL_AUTH__DJANGO_SESSION__ENGINE",
            "django.contrib.sessions.backends.signed_cookies",
        ),
    ]);
    let auth = auth.expect("the environment").config.auth;
    assert_eq!(auth.mode, [AuthMode::DjangoSession, AuthMode::None]);
    let session = &auth.django_session;
    assert_eq!(session.engine, SessionEngine::SignedCookies);
    assert_eq!(
        session.secret_key.as_ref().map(|key| key.expose()),
        Some(key)
    );
    assert!(auth.reads_cookies());
    let cache = load_sets(&[MODE, CACHE, REDIS, "auth.django_session.key_prefix=site"]);
    let cache = cache.expect("a cache").config.auth.django_session;
    assert_eq!(
        cache.redis[0].to_string(),
        "redis://(hidden)@127.0.0.1:6379/1"
    );
    assert_eq!(cache.engine, SessionEngine::Cache);
}
