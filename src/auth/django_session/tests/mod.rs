//! Sessions of real Django, and what is none.

mod cached;
mod signed;

use super::DjangoSession;
use super::session::{FoundSession, SessionFlaw, SessionUser};
use super::signed::{SignedCookies, key};
use crate::auth::{AuthMode, Credentials, Judgement};
use crate::config::{DjangoSessionSettings, Secret};
use crate::transport::handshake::RequestHead;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::Value;

/// A key of the tests' own site.
const KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
/// A session of somebody who has logged in.
const LOGIN: &str = r#"{"_auth_user_id":"7","_auth_user_backend":"b","_auth_user_hash":"h"}"#;

fn vectors() -> Value {
    let text = include_str!("../../../../tests/auth/sessions.json");
    serde_json::from_str(text).expect("sessions.json")
}

/// What each version of Django has written; both that the manual names are there.
fn versions(vectors: &Value) -> &Vec<Value> {
    let versions = vectors["versions"].as_array().expect("versions");
    for start in ["4.2.", "5."] {
        let is_made = |entry: &&Value| text(&entry["version"]).starts_with(start);
        assert!(versions.iter().any(|entry| is_made(&entry)), "{start}");
    }
    versions
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn settings(keys: &[&str]) -> DjangoSessionSettings {
    let mut secrets = keys.iter().map(|key| Secret::new(*key));
    DjangoSessionSettings {
        secret_key: secrets.next(),
        secret_key_fallbacks: secrets.collect(),
        ..DjangoSessionSettings::default()
    }
}

fn known(user: &str) -> SessionUser {
    SessionUser::Known(user.into())
}

/// The user of a vector: a text, or null for nobody.
fn expected(user: &Value) -> SessionUser {
    user.as_str().map_or(SessionUser::Nobody, known)
}

/// A cookie with these contents as Django writes them, signed by a key of the tests.
fn sign_by(secret: &str, data: &str, time: &str) -> String {
    let signed = format!("{data}:{time}");
    let signature = hmac::sign(&key(secret), signed.as_bytes());
    format!("{signed}:{}", URL_SAFE_NO_PAD.encode(signature))
}

fn sign(session: &str, time: &str) -> String {
    sign_by(KEY, &URL_SAFE_NO_PAD.encode(session), time)
}

/// What the mode makes at once of a handshake with these `Cookie` fields.
fn judge(mode: &DjangoSession, cookies: &[&str]) -> Judgement {
    let head = RequestHead {
        method: "GET",
        is_http_11: true,
        fields: cookies
            .iter()
            .map(|cookie| ("Cookie", cookie.as_bytes()))
            .collect(),
    };
    mode.at_once(&Credentials::into_abc(&head, "/"))
}
