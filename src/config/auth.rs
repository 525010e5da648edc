//! `[auth]`: who may come in, and how somebody proves who they are.
//!
//! Files and addresses are named here and opened by `auth`; a token never names one.

use super::django_session::{self, DjangoSessionSettings};
use super::forward::{self, ForwardSettings};
use super::key::KeyKind;
use super::problem::Findings;
use super::secret::Secret;
use super::secrets::check_secrets;
use super::setting::{CAPACITY_MAX, HOUR, choice, choices, kinds, milliseconds, seconds, section};
use super::units;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Files of keys, and secrets: each may be tried for one token.
const KEYS_MAX: usize = 8;
/// A link's signature is HMAC-SHA-256: a shorter key is easier to guess than the signature (RFC 2104 §3).
const LINK_KEY_BYTES: usize = 32;
/// Longest name of a cookie or of a parameter.
const NAME_BYTES_MAX: usize = 64;

section! {
    /// Who may come in.
    ["auth"] AuthSettings {
        /// Ways to prove who one is, the first that finds its kind of credential answering: `jwt`, `link`, `django_session`; `forward` asks the site about everybody; `none` admits everybody else, as somebody anonymous.
        mode: Vec<AuthMode> = vec![AuthMode::None], live;
    }
    /// Tokens (RFC 7519) as `Authorization: Bearer`, as the sub-protocol `supportal.token.<jwt>`, or in a cookie.
    jwt: JwtSettings,
    /// Signed links for mails and sites without accounts: `?link=` as Django's `Signer` makes them.
    link: LinkSettings,
    /// Sessions of a Django site, read here without asking the site.
    django_session: DjangoSessionSettings,
    /// The site that is asked who somebody is, by a request of HTTP for each handshake.
    forward: ForwardSettings,
}

section! {
    /// Tokens (RFC 7519): what verifies them, and what they must say.
    ["auth.jwt"] JwtSettings {
        /// What tokens are signed with by HMAC, as one text or several: the first signs, all verify. Prefer the environment to a file.
        #[serde(deserialize_with = "one_or_more")]
        secret: Vec<Secret> = Vec::new(), live;
        /// The algorithm of `secret`; a token of another one is refused.
        algorithm: HmacAlgorithm = HmacAlgorithm::Hs256, live;
        /// PEM files of public keys, several at once for a change of keys: RSA verifies RS256, P-256 ES256, Ed25519 EdDSA.
        keys: Vec<PathBuf> = Vec::new(), live;
        /// File or https address of a JWK set (RFC 7517); a file is read at the start and at a reload. Unset = none.
        jwks: Option<String> = None, live;
        /// File of PEM certificates of the authorities that the https address of a set is trusted by; unset = the system's.
        jwks_ca_file: Option<PathBuf> = None, live;
        /// How often a set is fetched again, up to a tenth earlier at random; a key that is not in the set has it fetched earlier.
        #[serde(with = "units::duration")]
        jwks_refresh: Duration = seconds(600), live, in seconds(10)..=seconds(24 * 3600);
        /// Shortest time between two fetches, whatever keys tokens name.
        #[serde(with = "units::duration")]
        jwks_interval: Duration = seconds(60), live, in milliseconds(100)..=HOUR;
        /// Longest that a fetch may take.
        #[serde(with = "units::duration")]
        jwks_timeout: Duration = seconds(5), live, in milliseconds(10)..=seconds(60);
        /// How long a set counts that cannot be fetched again: after that none of its keys does, and tokens get 503 until there is a set.
        #[serde(with = "units::duration")]
        jwks_max_age: Duration = seconds(24 * 3600), live, in seconds(10)..=seconds(30 * 24 * 3600);
        /// Who may have issued a token (`iss`); none = anybody with the key.
        #[serde(deserialize_with = "one_or_more")]
        issuer: Vec<String> = Vec::new(), live;
        /// Of a token's audiences (`aud`) one must be here; none = any.
        #[serde(deserialize_with = "one_or_more")]
        audience: Vec<String> = Vec::new(), live;
        /// How far the issuer's clock may be from ours: `exp`, `nbf` and `iat` at the handshake.
        #[serde(with = "units::duration")]
        leeway: Duration = seconds(5), live, in seconds(0)..=seconds(300);
        /// Rooms of a token that does not say which: `none`; `business` = every session of the business that the token names; `any`.
        default_rooms: DefaultRooms = DefaultRooms::None, live;
        /// Name of a cookie with a token in it; unset = none.
        cookie: Option<String> = None, live;
        /// Name of a query parameter with a token in it, such as `token`; it is cut out of every log line. Unset = none.
        query: Option<String> = None, live;
        /// Longest token in bytes.
        token_bytes: usize = 4096, live, in 256..=16384;
        /// Tokens by a public key that were verified and are remembered until they expire; 0 = none.
        cache: usize = 10_000, live, in 0..=CAPACITY_MAX;
    }
}

section! {
    /// Signed links: `?link=<business>:<session>:<role>:<expiry>:<signature>`, as Django's `Signer` with the salt `supportal.link` makes them.
    ["auth.link"] LinkSettings {
        /// What links are signed with, as one text or several: the first signs, all verify. Prefer the environment to a file.
        #[serde(deserialize_with = "one_or_more")]
        key: Vec<Secret> = Vec::new(), live;
    }
}

choices! {
    /// A way to prove who one is.
    AuthMode {
        /// Nobody is asked.
        None = "none",
        /// A signed token.
        Jwt = "jwt",
        /// A signed link.
        Link = "link",
        /// A session of a Django site.
        DjangoSession = "django_session",
        /// The site is asked.
        Forward = "forward",
    }
}

impl AuthSettings {
    /// May a browser bring credentials that its user did not choose to bring: cookies? Then a page of another site
    /// must not connect in its user's name.
    #[must_use]
    pub fn reads_cookies(&self) -> bool {
        self.mode.iter().any(|mode| match mode {
            AuthMode::None | AuthMode::Link => false,
            AuthMode::Jwt => self.jwt.cookie.is_some(),
            AuthMode::DjangoSession | AuthMode::Forward => true,
        })
    }

    /// Is there a key that a mode goes by? With one and without its mode no node starts (`auth`); credentials can be signed.
    #[must_use]
    pub fn has_keys(&self, mode: AuthMode) -> bool {
        let jwt = &self.jwt;
        match mode {
            AuthMode::Jwt => !jwt.secret.is_empty() || !jwt.keys.is_empty() || jwt.jwks.is_some(),
            AuthMode::Link => !self.link.key.is_empty(),
            AuthMode::DjangoSession => self.django_session.has_keys(),
            AuthMode::None | AuthMode::Forward => false,
        }
    }
}

choice! {
    /// An HMAC that signs tokens (RFC 7518 §3.2).
    HmacAlgorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
    }
}

choice! {
    /// Rooms of a token that does not say which.
    DefaultRooms {
        /// No room.
        None = "none",
        /// Every session of the business that the token names.
        Business = "business",
        /// Any room.
        Any = "any",
    }
}

kinds! {
    Vec<PathBuf> => KeyKind::List,
}

impl HmacAlgorithm {
    /// The shortest secret in bytes: as long as the hash (RFC 7518 §3.2).
    #[must_use]
    pub fn secret_bytes(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
        }
    }
}

/// One value alone is a list of one.
fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum OneOrMore<T> {
        One(T),
        More(Vec<T>),
    }
    serde::Deserialize::deserialize(deserializer).map(|given| match given {
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    })
}

/// The modes can work, and what they go by is sound as far as no file tells.
pub(super) fn check(auth: &AuthSettings, found: &mut Findings) {
    auth.check_ranges(found);
    check_modes(&auth.mode, found);
    check_secrets(
        "auth.jwt.secret",
        &auth.jwt.secret,
        auth.jwt.algorithm.secret_bytes(),
        found,
    );
    check_secrets("auth.link.key", &auth.link.key, LINK_KEY_BYTES, found);
    check_key_files(&auth.jwt, found);
    check_jwks(&auth.jwt, found);
    check_names(&auth.jwt, found);
    let is_on = |mode| auth.mode.contains(&mode);
    let is_session = is_on(AuthMode::DjangoSession);
    django_session::check(&auth.django_session, is_session, found);
    forward::check(&auth.forward, is_on(AuthMode::Forward), found);
    if is_on(AuthMode::Jwt) && !auth.has_keys(AuthMode::Jwt) {
        let fix = "set SUPPORTAL_AUTH__JWT__SECRET, auth.jwt.keys or auth.jwt.jwks";
        found.error("auth.mode", "jwt has nothing to verify tokens with", fix);
    }
    if is_on(AuthMode::Link) && !auth.has_keys(AuthMode::Link) {
        let fix = "set SUPPORTAL_AUTH__LINK__KEY";
        found.error("auth.mode", "link has nothing to verify links with", fix);
    }
}

fn check_modes(modes: &[AuthMode], found: &mut Findings) {
    if modes.is_empty() {
        let fix = "write [\"none\"] to admit everybody";
        return found.error("auth.mode", "is empty", fix);
    }
    let mut words = modes.iter().map(|mode| mode.word());
    let mut seen = BTreeSet::new();
    if let Some(twice) = words.find(|word| !seen.insert(*word)) {
        let what = format!("lists \"{twice}\" twice");
        found.error("auth.mode", what, "write each mode once");
    }
    let before_the_last = modes.split_last().map_or(&[][..], |(_, before)| before);
    for (mode, what, fix) in [
        (
            AuthMode::None,
            "lists a mode after \"none\", which has admitted everybody",
            "write \"none\" last, or leave it out",
        ),
        (
            AuthMode::Forward,
            "lists a mode after \"forward\", which answers for everybody",
            "write \"forward\" last",
        ),
    ] {
        if before_the_last.contains(&mode) {
            found.error("auth.mode", what, fix);
        }
    }
}

fn check_key_files(jwt: &JwtSettings, found: &mut Findings) {
    const KEY: &str = "auth.jwt.keys";
    if jwt.keys.len() > KEYS_MAX {
        let what = format!("holds {} files", jwt.keys.len());
        found.error(KEY, what, format!("write at most {KEYS_MAX}"));
    }
    let mut seen = BTreeSet::new();
    for path in &jwt.keys {
        let text = path.to_string_lossy();
        if text.trim().is_empty() {
            found.error(KEY, "holds an empty path", "write the path of a PEM file");
        } else if text.contains("-----BEGIN") {
            let what = "holds a key itself";
            found.error(KEY, what, "write the path of its PEM file");
        } else if text.contains("://") {
            let what = "holds an address";
            found.error(KEY, what, "write files here, an address in auth.jwt.jwks");
        } else if !seen.insert(path) {
            found.error(KEY, format!("names {text:?} twice"), "write each file once");
        }
    }
}

/// An address is https, without a password in it; everything else is a file.
fn check_jwks(jwt: &JwtSettings, found: &mut Findings) {
    const KEY: &str = "auth.jwt.jwks";
    let is_address = |jwks: &String| jwks.contains("://");
    if jwt.jwks_ca_file.is_some() && !jwt.jwks.as_ref().is_some_and(is_address) {
        let fix = "write an https address as auth.jwt.jwks, or remove it";
        found.warn("auth.jwt.jwks_ca_file", "has no effect without TLS", fix);
    }
    let Some(jwks) = &jwt.jwks else { return };
    if jwks.trim().is_empty() {
        let fix = "write a file or an https address, or leave the key out";
        return found.error(KEY, "is empty", fix);
    }
    let Some((scheme, rest)) = jwks.split_once("://") else {
        return;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("https") {
        let what = format!(
            "{:?} is not https: whoever is on the way could add a key",
            scheme
        );
        found.error(KEY, what, "write an https address, or a file");
    } else if authority.is_empty() || !jwks.bytes().all(|byte| byte.is_ascii_graphic()) {
        let fix = "write it as https://login.example.com/.well-known/jwks.json";
        found.error(KEY, "is not an address", fix);
    } else if authority.contains('@') {
        let what = "has a user or a password in it";
        found.error(KEY, what, "a set of public keys needs none");
    } else if rest.contains('#') {
        found.error(KEY, "has a fragment", "cut off the # and what follows it");
    }
    if jwt.jwks_interval > jwt.jwks_refresh {
        let what = "is longer than auth.jwt.jwks_refresh";
        found.error("auth.jwt.jwks_interval", what, "write a shorter one");
    }
    if jwt.jwks_max_age < jwt.jwks_refresh {
        let what = "is shorter than auth.jwt.jwks_refresh";
        found.error("auth.jwt.jwks_max_age", what, "write a longer one");
    }
}

/// Names that a request can carry, and texts that a token can hold.
fn check_names(jwt: &JwtSettings, found: &mut Findings) {
    let fits = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
    if let Some(name) = &jwt.cookie {
        // RFC 6265 §4.1.1: a token of RFC 9110.
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !fits(name) || !name.bytes().all(is_token) {
            let what = format!("{name:?} is no name of a cookie");
            found.error("auth.jwt.cookie", what, "write a name such as \"token\"");
        }
    }
    if let Some(name) = &jwt.query {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !fits(name) || !name.bytes().all(is_plain) {
            let what = format!("{name:?} is no name of a parameter");
            found.error("auth.jwt.query", what, "write \"token\"");
        } else if name == "link" {
            let what = "\"link\" is the parameter of signed links";
            found.error("auth.jwt.query", what, "write \"token\"");
        }
    }
    for (key, texts) in [
        ("auth.jwt.issuer", &jwt.issuer),
        ("auth.jwt.audience", &jwt.audience),
    ] {
        if texts.iter().any(|text| text.trim().is_empty()) {
            let fix = "write the text as it stands in the tokens, or leave the key out";
            found.error(key, "holds an empty text", fix);
        }
    }
}
