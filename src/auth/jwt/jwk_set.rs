//! A JWK set (RFC 7517 §5): the public keys in it that verify tokens.
//!
//! What is for another purpose or of another kind is passed over, as §5 wants it; a set without any usable key is an
//! error. Secrets (`oct`) are passed over too: whoever reads a set of public keys would be able to sign.

use super::algorithm::Algorithm;
use super::files::KEYS_MAX;
use super::key::TokenKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// The members that are read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a set.
///
/// # Errors
/// One sentence: no set, too many keys, a weak one, none that can be used.
pub(super) fn parse(json: &[u8], source: &str) -> Result<Vec<TokenKey>, String> {
    let set: JwkSet =
        serde_json::from_slice(json).map_err(|error| format!("is no JWK set: {error}"))?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("holds more than {KEYS_MAX} keys"));
    }
    let count = set.keys.len();
    let mut keys: Vec<TokenKey> = Vec::new();
    for jwk in set.keys {
        // A key whose members are not even texts is of a kind to come.
        let Ok(jwk) = Jwk::deserialize(jwk) else {
            continue;
        };
        if let Some(key) = usable(&jwk, source)? {
            keys.push(key);
        }
    }
    let mut ids = keys
        .iter()
        .filter_map(|key| Some((key.id.as_ref()?, key.algorithm)));
    let mut seen = Vec::new();
    if let Some((id, _)) = ids.find(|id| {
        let is_known = seen.contains(id);
        seen.push(*id);
        is_known
    }) {
        return Err(format!("holds two keys with the kid {id:?}"));
    }
    match (keys.is_empty(), count) {
        (false, _) => Ok(keys),
        (true, 0) => Err("is empty: holds no key at all".to_owned()),
        (true, _) => Err(format!(
            "holds no key for RS256, ES256 or EdDSA that may verify (of {count} in it)"
        )),
    }
}

/// The key, if it is one that verifies tokens.
fn usable(jwk: &Jwk, source: &str) -> Result<Option<TokenKey>, String> {
    let for_signatures = jwk
        .purpose
        .as_deref()
        .is_none_or(|purpose| purpose == "sig");
    let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
    if !for_signatures || !jwk.key_ops.as_ref().is_none_or(verifies) {
        return Ok(None);
    }
    let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (part(jwk.n.as_ref())?, part(jwk.e.as_ref())?);
            (Algorithm::Rs256, TokenKey::of_rsa(&n, &e, source))
        }
        ("EC", Some("P-256")) => {
            let point = [&[4][..], &part(jwk.x.as_ref())?, &part(jwk.y.as_ref())?].concat();
            (Algorithm::Es256, TokenKey::of_p256(&point, source))
        }
        ("OKP", Some("Ed25519")) => {
            let key = TokenKey::of_ed25519(&part(jwk.x.as_ref())?, source);
            (Algorithm::EdDsa, key)
        }
        _ => return Ok(None),
    };
    // A key that says its algorithm is for that one.
    if jwk
        .alg
        .as_deref()
        .is_some_and(|alg| alg != algorithm.name())
    {
        return Ok(None);
    }
    Ok(Some(key?.named(jwk.kid.as_deref())))
}

fn part(text: Option<&String>) -> Result<Vec<u8>, String> {
    let decoded = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    decoded.ok_or_else(|| "holds a key that is not well formed".to_owned())
}
