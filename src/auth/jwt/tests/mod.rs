//! Tokens of other people's making (PyJWT, RFC 7515, RFC 8037), good and bad, and where they are found.

mod carriers;
mod properties;
mod renewal;
mod rfc;
mod sets;

use super::*;
use crate::broker::RoomScope;
use crate::config::Secret;
use crate::transport::handshake::RequestHead;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::TempDir;

/// As tests/auth/record_vectors.py writes it.
static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../../tests/auth/vectors.json");
    serde_json::from_str(text).expect("vectors.json")
});

/// Some files of keys, for as long as this lives.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The settings that the vectors are made for.
fn settings(files: &Files) -> JwtSettings {
    let keys = VECTORS["keys"].as_object().expect("keys");
    let path = |(name, pem): (&String, &Value)| files.write(&format!("{name}.pem"), &text(pem));
    let jwks = files.write("jwks.json", &VECTORS["jwks"].to_string());
    JwtSettings {
        secret: vec![Secret::new(text(&VECTORS["secret"]))],
        keys: keys.iter().map(path).collect(),
        jwks: Some(jwks.to_string_lossy().into_owned()),
        issuer: vec![text(&VECTORS["issuer"])],
        audience: vec!["another".to_owned(), text(&VECTORS["audience"])],
        ..JwtSettings::default()
    }
}

fn now() -> u64 {
    VECTORS["now"].as_u64().expect("a time")
}

/// What a mode makes of a token at a time, with all its keys.
fn judged(jwt: &Jwt, token: &str, now: u64) -> Result<Identity, Flaw> {
    let token = Token::read(token, jwt.token_bytes)?;
    jwt.judge(&token, jwt.keys.iter(), now)
}

/// An identity in the words of the vectors.
fn shown(identity: &Identity) -> String {
    let rooms = match &identity.rooms {
        RoomScope::Any => "any".to_owned(),
        RoomScope::Of(rooms) if rooms.is_empty() => "none".to_owned(),
        RoomScope::Of(rooms) => {
            let of = |id: &Option<Box<str>>| id.as_deref().unwrap_or("*").to_owned();
            let rooms = rooms.iter();
            let rooms = rooms.map(|room| [of(&room.business_id), of(&room.session_id)].join("/"));
            rooms.collect::<Vec<_>>().join(" ")
        }
    };
    let user = identity.user.as_deref().unwrap_or("-");
    format!("{user} {} {rooms}", identity.role.as_str())
}

/// Asks a mode with these fields of a handshake, at once and then later.
fn ask(jwt: &Jwt, target: &str, fields: &[(&str, &str)]) -> [Judgement; 2] {
    let head = RequestHead {
        method: "GET",
        is_http_11: true,
        fields: fields
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect(),
    };
    let credentials = Credentials::into_abc(&head, target);
    let at_once = jwt.at_once(&credentials);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    [at_once, runtime.block_on(jwt.in_full(&credentials))]
}

fn cause(judgement: &Judgement) -> &'static str {
    match judgement {
        Judgement::Absent => "(absent)",
        Judgement::Known(_) => "(known)",
        Judgement::Later => "(later)",
        Judgement::Refused(refusal) => {
            assert_eq!(refusal.answer, RefusalAnswer::Unauthorized);
            refusal.cause
        }
    }
}

#[test]
fn good_tokens_of_another_maker_say_who_somebody_is() {
    let files = Files::new();
    let jwt = Jwt::new(&settings(&files), None).expect("the mode");
    let good = VECTORS["good"].as_array().expect("a list");
    for vector in good {
        let identity = judged(&jwt, &text(&vector["token"]), now());
        let identity = identity.unwrap_or_else(|flaw| panic!("{}: {flaw}", vector["name"]));
        assert_eq!(
            shown(&identity),
            text(&vector["identity"]),
            "{}",
            vector["name"]
        );
        assert!(identity.expires_at.is_some_and(|end| end > now()));
    }
    assert!(good.len() >= 25);
}

#[test]
fn bad_tokens_are_refused_with_one_answer_and_counted_by_their_cause() {
    let files = Files::new();
    let jwt = Jwt::new(&settings(&files), None).expect("the mode");
    let bad = VECTORS["bad"].as_array().expect("a list");
    for vector in bad {
        let token = match text(&vector["token"]) {
            huge if huge == "A*1000000" => "A".repeat(1_000_000),
            token => token,
        };
        let (name, expected) = (&vector["name"], text(&vector["cause"]));
        let flaw = judged(&jwt, &token, now()).expect_err(&expected);
        assert_eq!(flaw.label(), expected, "{name}: {flaw}");
        // By way of a handshake, where the time is the system's.
        let bearer = format!("Bearer {token}");
        let [at_once, later] = ask(&jwt, "/", &[("authorization", &bearer)]);
        assert_eq!(cause(&later), expected, "{name}");
        let at_once = cause(&at_once);
        assert!(
            at_once == expected || at_once == "(later)",
            "{name}: {at_once}"
        );
    }
    assert!(bad.len() >= 120);
}

#[test]
fn the_leeway_is_for_clocks_and_ends_with_it() {
    let files = Files::new();
    let mut settings = settings(&files);
    let signer = TokenSigner::of_settings(&settings).expect("a secret");
    let grant = Grant {
        business_id: Some("1".to_owned()),
        session_id: Some("abc".to_owned()),
        user: None,
        role: crate::broker::UserRole::Customer,
        expires_at: 1000,
    };
    let token = signer.sign(&grant, &settings, 900).expect("a token");
    let jwt = Jwt::new(&settings, None).expect("the mode");
    for (now, end) in [
        (895, Ok(Some(1000))),
        (894, Err(Flaw::Issued)),
        (999, Ok(Some(1000))),
        (1000, Ok(Some(1005))),
        (1004, Ok(Some(1005))),
        (1005, Err(Flaw::Expired)),
    ] {
        let judged = judged(&jwt, &token, now).map(|identity| identity.expires_at);
        assert_eq!(judged, end, "at {now}");
    }
    settings.leeway = std::time::Duration::ZERO;
    let jwt = Jwt::new(&settings, None).expect("the mode");
    assert_eq!(judged(&jwt, &token, 1000), Err(Flaw::Expired));
    assert_eq!(judged(&jwt, &token, 899), Err(Flaw::Issued));
}

#[test]
fn rooms_that_a_token_does_not_name_are_those_of_the_settings() {
    let files = Files::new();
    let mut settings = settings(&files);
    let token = |name: &str| {
        let good = VECTORS["good"].as_array().expect("a list");
        let vector = good.iter().find(|vector| vector["name"] == name);
        text(&vector.expect("a vector")["token"])
    };
    use crate::config::DefaultRooms::{Any, Business, None};
    for (default_rooms, name, rooms) in [
        (None, "no session", "none"),
        (Business, "no session", "1/*"),
        (Any, "no session", "1/*"),
        (Business, "no business", "none"),
        (Any, "no business", "*/abc"),
        (Business, "no rooms", "none"),
        (Any, "no rooms", "any"),
        (Any, "hs256", "1/abc"),
    ] {
        settings.default_rooms = default_rooms;
        let jwt = Jwt::new(&settings, Option::None).expect("the mode");
        let identity = judged(&jwt, &token(name), now()).expect("a good token");
        assert_eq!(shown(&identity), format!("ann agent {rooms}"), "{name}");
    }
}

#[test]
fn hmac_is_judged_at_once_and_a_public_key_later_and_then_at_once_again() {
    let files = Files::new();
    let jwt = Jwt::new(&settings(&files), None).expect("the mode");
    for vector in VECTORS["good"].as_array().expect("a list") {
        let name = text(&vector["name"]);
        let bearer = format!("Bearer {}", text(&vector["token"]));
        if ["within the leeway", "expired within the leeway"].contains(&name.as_str())
            || name.contains("past")
        {
            continue; // Of another time than the system's.
        }
        let is_public = name.contains(" of a file") || name.contains(" of the set");
        let [at_once, later] = ask(&jwt, "/", &[("authorization", &bearer)]);
        assert_eq!(cause(&at_once) == "(later)", is_public, "{name}");
        assert_eq!(cause(&later), "(known)", "{name}");
        let [again, _] = ask(&jwt, "/", &[("authorization", &bearer)]);
        assert_eq!(cause(&again), "(known)", "{name}");
    }
}

#[test]
fn without_a_cache_every_token_of_a_public_key_is_judged_anew() {
    let files = Files::new();
    let mut settings = settings(&files);
    settings.cache = 0;
    let jwt = Jwt::new(&settings, None).expect("the mode");
    let good = VECTORS["good"].as_array().expect("a list");
    let es256 = good
        .iter()
        .find(|vector| vector["name"] == "ES256 of a file");
    let bearer = format!("Bearer {}", text(&es256.expect("a vector")["token"]));
    for _ in 0..2 {
        let [at_once, later] = ask(&jwt, "/", &[("authorization", &bearer)]);
        assert_eq!([cause(&at_once), cause(&later)], ["(later)", "(known)"]);
    }
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let files = Files::new();
    let settings = settings(&files);
    let jwt = Jwt::new(&settings, None).expect("the mode");
    let signer = TokenSigner::of_settings(&settings);
    let all = format!("{settings:?} {jwt:?} {signer:?}");
    assert!(!all.contains(&text(&VECTORS["secret"])), "{all}");
}
