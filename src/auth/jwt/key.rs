//! A key of the settings, bound to one algorithm.

use super::algorithm::Algorithm;
use super::der;
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use std::fmt;

/// Sizes of RSA in bits: NIST SP 800-131A's least, and what ring verifies at most.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// `rsaEncryption` with its NULL (RFC 3279 §2.3.1).
const RSA_ENCRYPTION: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// `id-ecPublicKey` on `prime256v1` (RFC 5480 §2.1).
const EC_P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];
/// `id-Ed25519` (RFC 8410 §3).
const ED25519_ID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// What verifies.
enum KeyMaterial {
    Hmac(hmac::Key),
    Rsa {
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
    /// A point of P-256, not compressed: 65 bytes.
    P256(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

/// A key, the one algorithm that it is for, its name if it has one, and where it came from.
pub(crate) struct TokenKey {
    pub(super) algorithm: Algorithm,
    pub(super) id: Option<Box<str>>,
    /// A setting or a file, for the operator.
    pub(super) source: Box<str>,
    material: KeyMaterial,
}

/// Nothing of the key itself.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl TokenKey {
    /// A secret; `algorithm` is an HMAC.
    pub(super) fn of_secret(algorithm: Algorithm, secret: &[u8], source: &str) -> Self {
        let hash = match algorithm {
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        Self::new(
            algorithm,
            KeyMaterial::Hmac(hmac::Key::new(hash, secret)),
            source,
        )
    }

    /// A public key in SubjectPublicKeyInfo, which says its algorithm.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn of_public_key_info(der: &[u8], source: &str) -> Result<Self, &'static str> {
        let broken = "holds a public key that is not well formed";
        let (algorithm, key) = der::public_key_info(der).ok_or(broken)?;
        match algorithm {
            RSA_ENCRYPTION => {
                let (modulus, exponent) = der::rsa_parts(key).ok_or(broken)?;
                Self::of_rsa(modulus, exponent, source)
            }
            EC_P256 => Self::of_p256(key, source),
            ED25519_ID => Self::of_ed25519(key, source),
            _ => Err("holds a public key that is neither RSA nor on P-256 nor Ed25519"),
        }
    }

    /// An RSA key by its parts, big-endian without leading zeros.
    pub(super) fn of_rsa(
        modulus: &[u8],
        exponent: &[u8],
        source: &str,
    ) -> Result<Self, &'static str> {
        let leading = modulus
            .first()
            .map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = (modulus.len() * 8).saturating_sub(leading);
        if !RSA_BITS.contains(&bits) {
            return Err("holds an RSA key that has not 2048 to 8192 bits");
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        // ring: 3 to 2^33 - 1.
        if !is_odd(modulus) || !is_odd(exponent) || exponent.len() > 5 || exponent == [1] {
            return Err("holds an RSA key that is not well formed");
        }
        let material = KeyMaterial::Rsa {
            modulus: modulus.into(),
            exponent: exponent.into(),
        };
        Ok(Self::new(Algorithm::Rs256, material, source))
    }

    /// A point of P-256, not compressed.
    pub(super) fn of_p256(point: &[u8], source: &str) -> Result<Self, &'static str> {
        if point.len() != 65 || point.first() != Some(&4) {
            return Err("holds a key on P-256 that is not well formed, or compressed");
        }
        Ok(Self::new(
            Algorithm::Es256,
            KeyMaterial::P256(point.into()),
            source,
        ))
    }

    /// The 32 bytes of Ed25519.
    pub(super) fn of_ed25519(key: &[u8], source: &str) -> Result<Self, &'static str> {
        if key.len() != 32 {
            return Err("holds a key of Ed25519 that has not 32 bytes");
        }
        Ok(Self::new(
            Algorithm::EdDsa,
            KeyMaterial::Ed25519(key.into()),
            source,
        ))
    }

    fn new(algorithm: Algorithm, material: KeyMaterial, source: &str) -> Self {
        Self {
            algorithm,
            id: None,
            source: source.into(),
            material,
        }
    }

    /// Is this the same public key, by the same name?
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same_material = match (&self.material, &other.material) {
            (
                KeyMaterial::Rsa { modulus, exponent },
                KeyMaterial::Rsa {
                    modulus: other_modulus,
                    exponent: other_exponent,
                },
            ) => modulus == other_modulus && exponent == other_exponent,
            (KeyMaterial::P256(one), KeyMaterial::P256(other))
            | (KeyMaterial::Ed25519(one), KeyMaterial::Ed25519(other)) => one == other,
            _ => false,
        };
        is_same_material && self.id == other.id
    }

    /// With the name that tokens call it by.
    pub(super) fn named(self, id: Option<&str>) -> Self {
        Self {
            id: id.map(Into::into),
            ..self
        }
    }

    /// Has this key made this signature? A secret is compared in constant time (ring).
    ///
    /// A signature of a public key takes 45 to 130 µs. Whoever else wants this thread's core comes first: where a worker
    /// shares it, a flood of tokens would otherwise hold the worker's clients for the scheduler's slice, some 3 ms.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        if !matches!(self.material, KeyMaterial::Hmac(_)) {
            std::thread::yield_now();
        }
        match &self.material {
            KeyMaterial::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            KeyMaterial::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                    .is_ok()
            }
            KeyMaterial::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            KeyMaterial::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key)
                .verify(message, signature)
                .is_ok(),
        }
    }
}
