//! Signing a token, for `supportal token`: by the first secret of the settings, or a private key in a file.

use super::algorithm::Algorithm;
use super::files::{self, KeyFault};
use crate::broker::UserRole;
use crate::config::JwtSettings;
use crate::config::pem::{PemKind, lack};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, signature};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::Path;

/// What signs.
enum SigningKey {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Signs tokens.
pub struct TokenSigner {
    algorithm: Algorithm,
    material: SigningKey,
    random: SystemRandom,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What a token or link is for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The business, or `*`.
    pub business_id: Option<String>,
    /// The session, the beginning of some with a star behind it, or `*`.
    pub session_id: Option<String>,
    /// The user's name.
    pub user: Option<String>,
    /// What the user is to the business.
    pub role: UserRole,
    /// When it ends, in Unix seconds.
    pub expires_at: u64,
}

impl Grant {
    /// Are the ids of a kind that lets anybody in anywhere?
    ///
    /// # Errors
    /// The flag that is wrong, and what it should be.
    pub fn check(&self) -> Result<(), &'static str> {
        let business_id = self.business_id.as_deref();
        if business_id.is_some_and(|id| !super::is_business_pattern(id)) {
            return Err("--business is no business id: write digits without leading zeros, or *");
        }
        let session_id = self.session_id.as_deref();
        if session_id.is_some_and(|id| !super::is_session_pattern(id)) {
            return Err(
                "--session is no session id: write 1 to 64 of A-Z a-z 0-9 . _ -, or a beginning with * behind it",
            );
        }
        Ok(())
    }
}

impl TokenSigner {
    /// By the first of `auth.jwt.secret`; `None` if there is none.
    #[must_use]
    pub fn of_settings(settings: &JwtSettings) -> Option<Self> {
        let secret = settings.secret.first()?.expose().as_bytes();
        let algorithm = Algorithm::from(settings.algorithm);
        let hash = match algorithm {
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        Some(Self::new(
            algorithm,
            SigningKey::Hmac(hmac::Key::new(hash, secret)),
        ))
    }

    /// By the private key of a PEM file: RSA, P-256 or Ed25519.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn of_file(path: &Path) -> Result<Self, KeyFault> {
        const KEY: &str = "--key";
        let fault = |what: &str| KeyFault::new(KEY, &path.display().to_string(), what);
        let pem = files::read(KEY, path)?;
        let der = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_none| fault(&lack(&pem, PemKind::PrivateKey)))?;
        let random = SystemRandom::new();
        let pkcs8 = match &der {
            PrivateKeyDer::Pkcs8(der) => der.secret_pkcs8_der(),
            PrivateKeyDer::Pkcs1(der) => {
                let pair = RsaKeyPair::from_der(der.secret_pkcs1_der());
                let pair =
                    pair.map_err(|error| fault(&format!("holds no usable RSA key: {error}")))?;
                return Ok(Self::new(Algorithm::Rs256, SigningKey::Rsa(Box::new(pair))));
            }
            _ => {
                return Err(fault(
                    "holds a key in an older form; write it anew: openssl pkcs8 -topk8 -nocrypt -in FILE",
                ));
            }
        };
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            return Ok(Self::new(
                Algorithm::EdDsa,
                SigningKey::Ed25519(Box::new(pair)),
            ));
        }
        let p256 = &ECDSA_P256_SHA256_FIXED_SIGNING;
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(p256, pkcs8, &random) {
            return Ok(Self::new(
                Algorithm::Es256,
                SigningKey::P256(Box::new(pair)),
            ));
        }
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_other| {
            fault("holds a private key that is neither RSA of 2048 bits or more nor on P-256 nor Ed25519")
        })?;
        Ok(Self::new(Algorithm::Rs256, SigningKey::Rsa(Box::new(pair))))
    }

    fn new(algorithm: Algorithm, material: SigningKey) -> Self {
        Self {
            algorithm,
            material,
            random: SystemRandom::new(),
        }
    }

    /// A token that says this, with the first issuer and audience of the settings.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn sign(
        &self,
        grant: &Grant,
        settings: &JwtSettings,
        now: u64,
    ) -> Result<String, ring::error::Unspecified> {
        let mut claims = Map::new();
        let texts = [
            ("iss", settings.issuer.first()),
            ("aud", settings.audience.first()),
            ("sub", grant.user.as_ref()),
            ("business_id", grant.business_id.as_ref()),
            ("session_id", grant.session_id.as_ref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                claims.insert(name.to_owned(), Value::from(text.clone()));
            }
        }
        claims.insert("role".to_owned(), Value::from(grant.role.as_str()));
        claims.insert("iat".to_owned(), Value::from(now));
        claims.insert("exp".to_owned(), Value::from(grant.expires_at));
        self.sign_json(&Value::Object(claims).to_string())
    }

    /// A token with these claims.
    pub(super) fn sign_json(&self, claims: &str) -> Result<String, ring::error::Unspecified> {
        let header = json!({"alg": self.algorithm.name(), "typ": "JWT"}).to_string();
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    pub(super) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        let of = |signature: signature::Signature| signature.as_ref().to_vec();
        Ok(match &self.material {
            SigningKey::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            SigningKey::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)?;
                signature
            }
            SigningKey::P256(pair) => of(pair.sign(&self.random, message)?),
            SigningKey::Ed25519(pair) => of(pair.sign(message)),
        })
    }
}
