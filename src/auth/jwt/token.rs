//! A token taken apart (RFC 7515 §3.1), nothing of it believed yet.

use super::algorithm::Algorithm;
use super::flaw::Flaw;
use super::object;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Members of a header; those registered are eleven.
const MEMBERS_MAX: usize = 32;
/// Longest `kid` in bytes.
const KEY_ID_BYTES_MAX: usize = 256;
/// Longest signature that any key makes: RSA of 8,192 bits.
const SIGNATURE_BYTES_MAX: usize = 1024;

/// A token in its parts.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    /// What is signed: header and claims as they were sent.
    pub(super) message: &'a str,
    /// Claims in base64url.
    claims: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: Algorithm,
    /// Which of the keys of the settings signed it, as the token says.
    pub(super) key_id: Option<String>,
}

impl<'a> Token<'a> {
    /// Takes a token apart and judges its header.
    ///
    /// # Errors
    /// What is wrong with its form or header.
    pub(super) fn read(text: &'a str, bytes_max: usize) -> Result<Self, Flaw> {
        // Before anything is decoded: what is too long costs nothing.
        if text.len() > bytes_max {
            return Err(Flaw::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Flaw::Form)?;
        let (header, claims) = message.split_once('.').ok_or(Flaw::Form)?;
        if header.is_empty() || claims.is_empty() || claims.contains('.') {
            return Err(Flaw::Form);
        }
        let (algorithm, key_id) = judge_header(&decode(header)?)?;
        let signature = decode(signature)?;
        if !(1..=SIGNATURE_BYTES_MAX).contains(&signature.len()) {
            return Err(Flaw::Form);
        }
        Ok(Self {
            message,
            claims,
            signature,
            algorithm,
            key_id,
        })
    }

    /// The claims as JSON, to be read once the signature is verified.
    pub(super) fn claims(&self) -> Result<Vec<u8>, Flaw> {
        decode(self.claims)
    }
}

/// Without padding, without a stray bit at the end: one text for one value (RFC 7515 §2).
fn decode(part: &str) -> Result<Vec<u8>, Flaw> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_malformed| Flaw::Form)
}

/// The algorithm and `kid` of a header that asks for nothing else.
fn judge_header(json: &[u8]) -> Result<(Algorithm, Option<String>), Flaw> {
    const KNOWN: [&str; 12] = [
        "alg", "kid", "typ", "crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5u", "x5c",
    ];
    let members = object::read(json, KNOWN, MEMBERS_MAX).map_err(|_malformed| Flaw::Header)?;
    let [
        algorithm,
        key_id,
        typ,
        crit,
        b64,
        zip,
        enc,
        cty,
        own_key @ ..,
    ] = members;
    if own_key.iter().any(Option::is_some) {
        return Err(Flaw::OwnKey);
    }
    // `crit` names what a reader must understand: nothing that may stand there is understood here (RFC 7515 §4.1.11).
    // `cty` is a token inside a token.
    if [crit, b64, zip, enc, cty].iter().any(Option::is_some) {
        return Err(Flaw::Extension);
    }
    if typ.is_some_and(|typ| !is_jwt(&typ)) {
        return Err(Flaw::Type);
    }
    let algorithm = match &algorithm {
        Some(Value::String(name)) => Algorithm::of_name(name).ok_or(Flaw::Algorithm)?,
        _ => return Err(Flaw::Algorithm),
    };
    let key_id = match key_id {
        None => None,
        Some(Value::String(id)) if id.len() <= KEY_ID_BYTES_MAX => Some(id),
        Some(_) => return Err(Flaw::KeyId),
    };
    Ok((algorithm, key_id))
}

/// `JWT`, or an access token (RFC 9068); a logout or DPoP token is no token to come in by (RFC 8725 §3.11).
fn is_jwt(typ: &Value) -> bool {
    let Value::String(typ) = typ else {
        return false;
    };
    let prefix = "application/";
    let name = match typ.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => typ.get(prefix.len()..),
        _ => Some(typ.as_str()),
    };
    name.is_some_and(|name| name.eq_ignore_ascii_case("JWT") || name.eq_ignore_ascii_case("at+jwt"))
}
