//! Fernet tokens: AES-128-CBC and HMAC-SHA-256 around the body of a message.
//!
//! Token = base64url( 0x80, time in seconds as u64, initial vector of 16 bytes, ciphertext,
//! HMAC-SHA-256 of all before ). The two keys are halves of the SHA-256 of the configured text.
//! Source: the Fernet specification; `cryptography.fernet` and `channels_redis/serializers.py`.

use std::fmt;

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, InnerIvInit, KeyInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::fault::Poison;
use crate::config::Secret;

const VERSION: u8 = 0x80;
/// Version, time and initial vector.
const HEAD_BYTES: usize = 1 + 8 + 16;
const MAC_BYTES: usize = 32;
const BLOCK_BYTES: usize = 16;
/// A token may be this far ahead of our clock (`_MAX_CLOCK_SKEW`).
const SKEW_SECS: u64 = 60;

/// The keys of a site: the first encrypts, all are tried.
#[derive(Clone)]
pub struct Keyring {
    first: FernetKey,
    others: Vec<FernetKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys (hidden)", self.others.len() + 1)
    }
}

#[derive(Clone)]
struct FernetKey {
    mac: Hmac<Sha256>,
    cipher: Aes128,
}

impl FernetKey {
    fn derive(secret: &Secret) -> Self {
        let digest: [u8; 32] = Sha256::digest(secret.expose()).into();
        let (signing, encryption) = digest.split_at(16);
        Self {
            mac: <Hmac<Sha256> as Mac>::new_from_slice(signing)
                .expect("invariant: HMAC takes a key of any length"),
            cipher: Aes128::new_from_slice(encryption)
                .expect("invariant: half of a SHA-256 is an AES-128 key"),
        }
    }

    /// A token before its base64.
    fn token(&self, body: &[u8], now: u64, initial: [u8; 16]) -> Vec<u8> {
        let mut token = Vec::with_capacity(HEAD_BYTES + body.len() + BLOCK_BYTES + MAC_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&now.to_be_bytes());
        token.extend_from_slice(&initial);
        token.extend_from_slice(body);
        token.resize(token.len() + BLOCK_BYTES - body.len() % BLOCK_BYTES, 0);
        if let Some(text) = token.get_mut(HEAD_BYTES..) {
            cbc::Encryptor::inner_iv_init(self.cipher.clone(), &initial.into())
                .encrypt_padded_mut::<Pkcs7>(text, body.len())
                .expect("invariant: a whole block of padding fits");
        }
        let mut mac = self.mac.clone();
        mac.update(&token);
        token.extend_from_slice(&mac.finalize().into_bytes());
        token
    }
}

impl Keyring {
    /// The keys of `symmetric_encryption_keys`, nothing if there are none.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Option<Self> {
        let mut keys = secrets.iter().map(FernetKey::derive);
        Some(Self {
            first: keys.next()?,
            others: keys.collect(),
        })
    }

    /// Appends the token of `body` made at `now`, in Unix seconds. `initial` must be fresh random
    /// bytes each time.
    pub fn encrypt(&self, body: &[u8], now: u64, initial: [u8; 16], out: &mut Vec<u8>) {
        let token = self.first.token(body, now, initial);
        out.extend_from_slice(URL_SAFE.encode(token).as_bytes());
    }

    /// The body of a token, decrypted in `scratch`. `time` is how old it may be and the time now, both
    /// in seconds; without it a token of any time is accepted.
    ///
    /// # Errors
    /// [`Poison::Token`] if none of the keys made it, [`Poison::Stale`] if its time is refused.
    pub fn decrypt<'s>(
        &self,
        token: &[u8],
        time: Option<(u64, u64)>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<&'s [u8], Poison> {
        scratch.clear();
        URL_SAFE
            .decode_vec(token, scratch)
            .map_err(|_not_shown| Poison::Token)?;
        let signed_bytes = scratch.len().checked_sub(MAC_BYTES).ok_or(Poison::Token)?;
        let (signed, mac) = scratch.split_at_mut(signed_bytes);
        let key = self.key_of(signed, mac).ok_or(Poison::Token)?;
        let (head, text) = signed
            .split_first_chunk_mut::<HEAD_BYTES>()
            .ok_or(Poison::Token)?;
        let (version, made, initial) = parts(head);
        if version != VERSION {
            return Err(Poison::Token);
        }
        if let Some((ttl, now)) = time
            && (made.saturating_add(ttl) < now || now.saturating_add(SKEW_SECS) < made)
        {
            return Err(Poison::Stale);
        }
        cbc::Decryptor::inner_iv_init(key.cipher.clone(), &initial.into())
            .decrypt_padded_mut::<Pkcs7>(text)
            .map_err(|_not_shown| Poison::Token)
    }

    /// The key that signed this, compared in constant time.
    fn key_of(&self, signed: &[u8], mac: &[u8]) -> Option<&FernetKey> {
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        keys.find(|key| {
            let mut own = key.mac.clone();
            own.update(signed);
            own.verify_slice(mac).is_ok()
        })
    }
}

/// Version, time and initial vector.
fn parts(head: &[u8; HEAD_BYTES]) -> (u8, u64, [u8; 16]) {
    let [version, rest @ ..] = head;
    let (time, initial) = rest.split_at(8);
    (
        *version,
        u64::from_be_bytes(time.try_into().unwrap_or_default()),
        initial.try_into().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD8s3SyhIVId4OA2IKnKvwrIGV8zfPrUAM2Jk5xDEiWcbzs4CGIK_ucU4jFLvyecyVQ==";
    const MADE: u64 = 1_700_000_000;
    const BODY: &[u8] = &[0x81, 0xa4, 0x74, 0x79, 0x70, 0x65, 0xa1, 0x78];

    fn keyring(keys: &[&str]) -> Keyring {
        let secrets: Vec<Secret> = keys.iter().map(|key| Secret::new(*key)).collect();
        Keyring::new(&secrets).expect("keys")
    }

    fn encrypt(keys: &[&str], body: &[u8], now: u64) -> String {
        let mut out = Vec::new();
        let initial = std::array::from_fn(|index| u8::try_from(index).unwrap_or_default());
        keyring(keys).encrypt(body, now, initial, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    fn decrypt(keys: &[&str], token: &str, time: Option<(u64, u64)>) -> Result<Vec<u8>, Poison> {
        let mut scratch = b"left over".to_vec();
        keyring(keys)
            .decrypt(token.as_bytes(), time, &mut scratch)
            .map(<[u8]>::to_vec)
    }

    #[test]
    fn the_recorded_token_is_made_and_read() {
        assert_eq!(encrypt(&["secret-one"], BODY, MADE), TOKEN);
        assert_eq!(decrypt(&["secret-one"], TOKEN, None), Ok(BODY.to_vec()));
    }

    #[test]
    fn the_first_key_encrypts_and_all_are_tried() {
        let token = encrypt(&["new", "secret-one"], BODY, MADE);
        assert_eq!(decrypt(&["new"], &token, None), Ok(BODY.to_vec()));
        let both = ["new", "secret-one"];
        assert_eq!(decrypt(&both, TOKEN, None), Ok(BODY.to_vec()));
        assert_eq!(decrypt(&["new"], TOKEN, None), Err(Poison::Token));
    }

    #[test]
    fn time_counts_only_with_a_limit() {
        let case = |now| decrypt(&["secret-one"], TOKEN, Some((70, now))).map(drop);
        assert_eq!(case(MADE + 70), Ok(()));
        assert_eq!(case(MADE + 71), Err(Poison::Stale));
        assert_eq!(case(MADE - 60), Ok(()));
        assert_eq!(case(MADE - 61), Err(Poison::Stale));
        let last = encrypt(&["k"], BODY, u64::MAX);
        assert_eq!(decrypt(&["k"], &last, None), Ok(BODY.to_vec()));
        assert_eq!(decrypt(&["k"], &last, Some((70, 5))), Err(Poison::Stale));
        assert!(decrypt(&["k"], &last, Some((70, u64::MAX))).is_ok());
    }

    #[test]
    fn a_signed_token_of_another_make_is_refused() {
        let sign = |text: &[u8]| {
            let mut mac = keyring(&["k"]).first.mac;
            mac.update(text);
            let mut token = text.to_vec();
            token.extend_from_slice(&mac.finalize().into_bytes());
            URL_SAFE.encode(token)
        };
        for signed in [
            &[][..],
            &[VERSION],
            &[0x81; 41],
            &[VERSION; 25],
            &[VERSION; 42],
            &[VERSION; 41],
        ] {
            assert_eq!(
                decrypt(&["k"], &sign(signed), None),
                Err(Poison::Token),
                "{}",
                signed.len()
            );
        }
    }

    #[test]
    fn no_key_is_shown() {
        let keyring = keyring(&["secret-one", "secret-two"]);
        assert_eq!(format!("{keyring:?}"), "2 keys (hidden)");
        assert!(Keyring::new(&[]).is_none());
    }

    proptest! {
        #[test]
        fn any_body_comes_back_and_no_bit_can_be_changed(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            place in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let token = encrypt(&["k"], &body, MADE);
            prop_assert_eq!(decrypt(&["k"], &token, None), Ok(body));
            let mut raw = URL_SAFE.decode(&token).expect("base64");
            let place = place.index(raw.len());
            raw[place] ^= 1 << bit;
            let changed = URL_SAFE.encode(raw);
            prop_assert_eq!(decrypt(&["k"], &changed, None), Err(Poison::Token));
        }

        #[test]
        fn arbitrary_bytes_are_no_token(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut scratch = Vec::new();
            prop_assert_eq!(keyring(&["k"]).decrypt(&bytes, None, &mut scratch), Err(Poison::Token));
            let text = URL_SAFE.encode(&bytes);
            prop_assert_eq!(decrypt(&["k"], &text, None), Err(Poison::Token));
        }
    }
}
