//! Tokens of every algorithm, more than a measurement brings, so that each is new to the server; and the public keys it knows.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use ring::{error::Unspecified, hmac};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What HS256 signs with.
pub(super) const SECRET: &str = "a-secret-of-the-load-test-for-HS256";
/// In a file: three seconds at more than what a server of one core lets in, or 20 s at 5,000 a second.
const COUNT: usize = 100_000;
/// The same of what takes longest to sign: of 14 s at 5,000 a second.
const COUNT_RS256: usize = 70_000;
/// In the file of those that a warm-up has brought before.
const COUNT_SEEN: usize = 500;
/// Seconds until they end.
const LIFE: i64 = 86_400;

/// The file's name, the algorithm's, and openssl's flags for a key of it.
const FILES: [(&str, &str, &str); 5] = [
    ("hs256", "HS256", ""),
    ("rs256", "RS256", "RSA -pkeyopt rsa_keygen_bits:2048"),
    ("es256", "ES256", "EC -pkeyopt ec_paramgen_curve:P-256"),
    ("eddsa", "EdDSA", "ED25519"),
    ("seen", "ES256", "EC -pkeyopt ec_paramgen_curve:P-256"),
];

/// Signs the two parts of a token.
type Signer = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Unspecified>>;

/// Makes the files that are `wanted`: of each the tokens, and beside them the public key as `NAME.pem`.
/// Errors: No openssl, or no place.
pub(super) fn make(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
    for (name, algorithm, key) in FILES.iter().filter(|(name, ..)| wanted(name)) {
        let count = match *name {
            "rs256" => COUNT_RS256,
            "seen" => COUNT_SEEN,
            _ => COUNT,
        };
        let wrong = |what: &dyn std::fmt::Display| format!("tokens {name}: {what}");
        let private = match key.is_empty() {
            true => Vec::new(),
            false => key_pair(folder, name, key).map_err(|why| wrong(&why))?,
        };
        let sign = signer(algorithm, &private).map_err(|why| wrong(&why))?;
        let text = tokens(algorithm, &sign, count).map_err(|why| wrong(&why))?;
        fs::write(folder.join(name), text).map_err(|why| wrong(&why))?;
    }
    Ok(())
}

/// A new private key as PKCS #8.
fn key_pair(folder: &Path, name: &str, key: &str) -> Result<Vec<u8>, String> {
    let line = format!(
        // genpkey's own DER is not PKCS #8 for every kind of key.
        "openssl genpkey -algorithm {key} | openssl pkcs8 -topk8 -nocrypt -outform DER -out {name}.key && \
         openssl pkey -inform DER -in {name}.key -pubout -out {name}.pem"
    );
    let mut shell = crate::server::shell(&line, None);
    let output = shell.current_dir(folder).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    fs::read(folder.join(format!("{name}.key"))).map_err(|error| error.to_string())
}

fn signer(algorithm: &str, private: &[u8]) -> Result<Signer, String> {
    let (random, wrong) = (SystemRandom::new(), |why: ring::error::KeyRejected| {
        why.to_string()
    });
    Ok(match algorithm {
        "RS256" => {
            let key = RsaKeyPair::from_pkcs8(private).map_err(wrong)?;
            Box::new(move |text| {
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &random, text, &mut signed)?;
                Ok(signed)
            })
        }
        "ES256" => {
            let form = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_pkcs8(form, private, &random).map_err(wrong)?;
            Box::new(move |text| Ok(key.sign(&random, text)?.as_ref().to_vec()))
        }
        "EdDSA" => {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).map_err(wrong)?;
            Box::new(move |text| Ok(key.sign(text).as_ref().to_vec()))
        }
        _ => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            Box::new(move |text| Ok(hmac::sign(&key, text).as_ref().to_vec()))
        }
    })
}

/// So many lines, each a token of another user for every session of business 1.
fn tokens(algorithm: &str, sign: &Signer, count: usize) -> Result<String, Unspecified> {
    let encoded = |text: String| URL_SAFE_NO_PAD.encode(text);
    let head = encoded(format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
    let end = jiff::Timestamp::now().as_second() + LIFE;
    let mut text = String::new();
    for user in 0..count {
        let claims = encoded(format!(
            r#"{{"sub":"user-{user}","role":"customer","business_id":"1","session_id":"*","exp":{end}}}"#
        ));
        let token = format!("{head}.{claims}");
        let signed = URL_SAFE_NO_PAD.encode(sign(token.as_bytes())?);
        // A string takes whatever is written.
        writeln!(text, "{token}.{signed}").map_err(|_| Unspecified)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_another_and_signed_by_the_secret() {
        let text = tokens("HS256", &signer("HS256", &[]).unwrap(), 3).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let all: std::collections::BTreeSet<&str> = text.lines().collect();
        assert_eq!(all.len(), 3);
        for token in all {
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
        }
    }
}
