//! Keys in files and sets, and sets at an address.

use super::super::jwk_set;
use super::*;
use crate::http_client::Authorities;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_file_that_is_no_public_key_is_refused_with_what_to_do() {
    let files = Files::new();
    let rsa = text(&VECTORS["keys"]["rsa"]);
    let body = |kind: &str| format!("-----BEGIN {kind}-----\nMIIB\n-----END {kind}-----\n");
    for (name, content, fragment) in [
        ("empty.pem", String::new(), "holds no public key in PEM"),
        (
            "words.pem",
            "secret-word".to_owned(),
            "holds no public key in PEM",
        ),
        (
            "private.pem",
            body("PRIVATE KEY"),
            "openssl pkey -in FILE -pubout",
        ),
        (
            "rsa.pem",
            body("RSA PRIVATE KEY"),
            "openssl pkey -in FILE -pubout",
        ),
        (
            "ec.pem",
            body("EC PRIVATE KEY"),
            "openssl pkey -in FILE -pubout",
        ),
        (
            "mixed.pem",
            rsa.clone() + &body("PRIVATE KEY"),
            "holds a private key",
        ),
        (
            "certificate.pem",
            body("CERTIFICATE"),
            "openssl x509 -in FILE -noout -pubkey",
        ),
        ("crl.pem", body("X509 CRL"), "no public key"),
        ("short.pem", body("PUBLIC KEY"), "not well formed"),
        (
            "cut.pem",
            rsa.replace("-----END PUBLIC KEY-----", ""),
            "not well-formed PEM",
        ),
        ("odd.pem", rsa.replace('A', "*"), "not well-formed PEM"),
        (
            "old.pem",
            body("RSA PUBLIC KEY"),
            "holds an RSA public key of PKCS#1",
        ),
        ("long.pem", "x".repeat(70_000), "longer than 65536 bytes"),
        ("many.pem", rsa.repeat(9), "hold 9 keys; at most 8"),
    ] {
        let settings = JwtSettings {
            keys: vec![files.write(name, &content)],
            ..JwtSettings::default()
        };
        let error = Jwt::new(&settings, None).expect_err(name).to_string();
        assert!(error.starts_with("auth.jwt.keys: "), "{name}: {error}");
        assert!(error.contains(fragment), "{name}: {error}");
        assert!(!error.contains("secret-word"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let files = Files::new();
    for (path, fragment) in [
        (
            files.0.path().join("nowhere.pem"),
            "cannot be read: No such file",
        ),
        (files.0.path().to_owned(), "cannot be read: is no file"),
    ] {
        let settings = JwtSettings {
            keys: vec![path],
            ..JwtSettings::default()
        };
        let error = Jwt::new(&settings, None).expect_err(fragment).to_string();
        assert!(error.contains(fragment), "{error}");
    }
}

#[test]
fn a_set_gives_the_keys_that_verify_and_passes_over_the_rest() {
    let good = VECTORS["jwks"]["keys"].as_array().expect("keys").clone();
    let with = |change: Value| {
        let mut key = good[0].clone();
        for (name, value) in change.as_object().expect("an object") {
            key[name] = value.clone();
        }
        key
    };
    let count = |keys: &[Value]| {
        let json = json!({ "keys": keys }).to_string();
        jwk_set::parse(json.as_bytes(), "test").map(|keys| keys.len())
    };
    assert_eq!(count(&good), Ok(2));
    for passed_over in [
        with(json!({"kid": "x", "use": "enc"})),
        with(json!({"kid": "x", "key_ops": ["sign"]})),
        with(json!({"kid": "x", "alg": "RS512"})),
        with(json!({"kid": "x", "kty": "oct", "k": "c2VjcmV0"})),
        with(json!({"kid": "x", "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"})),
        with(json!({"kid": "x", "kty": "OKP", "crv": "X25519", "x": "AA"})),
        with(json!({"kid": "x", "kty": 1})),
        json!({"kty": "AKP"}),
        json!("a text"),
    ] {
        assert_eq!(
            count(&[good.clone(), vec![passed_over.clone()]].concat()),
            Ok(2),
            "{passed_over}"
        );
        assert!(count(&[passed_over]).is_err());
    }
    for (keys, fragment) in [
        (vec![], "is empty: holds no key at all"),
        (
            vec![json!({"kty": "oct", "k": "c2VjcmV0"})],
            "may verify (of 1 in it)",
        ),
        (vec![with(json!({"n": "AQAB"}))], "2048 to 8192 bits"),
        (vec![with(json!({"n": "=="}))], "not well formed"),
        (vec![with(json!({"e": "AQ"}))], "not well formed"),
        (
            vec![good[0].clone(), good[0].clone()],
            "two keys with the kid \"rsa-1\"",
        ),
        (vec![good[0].clone(); 33], "more than 32 keys"),
        (
            vec![json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"})],
            "on P-256",
        ),
        (
            vec![json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"})],
            "32 bytes",
        ),
    ] {
        let what = count(&keys).expect_err(fragment);
        assert!(what.contains(fragment), "{what}");
    }
    for json in ["", "[]", "{}", "{\"keys\": 1}", "{\"keys\": [}"] {
        let what = jwk_set::parse(json.as_bytes(), "test").expect_err(json);
        assert!(what.contains("is no JWK set"), "{what}");
    }
}

/// An address that gives what it is told to, and counts how often it is asked.
#[derive(Clone, Default)]
pub(super) struct Address(Arc<Mutex<(usize, Option<Bytes>)>>, Arc<AtomicBool>);

impl Address {
    fn fetch(&self, authorities: Authorities) -> Fetch {
        let address = self.clone();
        let ask = move || {
            let mut state = address.0.lock();
            state.0 += 1;
            let answer = state.1.clone().ok_or_else(|| "refused".to_owned());
            let is_stuck = address.1.load(Ordering::Relaxed);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if is_stuck {
                    std::future::pending::<()>().await;
                }
                answer
            }) as _
        };
        Fetch {
            ask: Box::new(ask),
            authorities,
            metrics: Arc::default(),
        }
    }

    pub(super) fn gives(&self, keys: &[&Value]) {
        self.0.lock().1 = Some(json!({ "keys": keys }).to_string().into());
    }

    /// Answers nothing.
    pub(super) fn is_away(&self) {
        self.0.lock().1 = None;
    }

    /// Takes every question from now on and answers none.
    fn is_stuck(&self) {
        self.1.store(true, Ordering::Relaxed);
    }

    pub(super) fn asked(&self) -> usize {
        self.0.lock().0
    }
}

/// A mode with a set at an address, and what it makes of the tokens of the set's two keys.
pub(super) struct Rig {
    pub(super) address: Address,
    pub(super) jwt: Arc<Jwt>,
    pub(super) tokens: [String; 2],
}

impl Rig {
    pub(super) fn new() -> Self {
        let address = Address::default();
        let jwt = Jwt::new(
            &Self::settings(),
            Some(address.fetch(Authorities::default())),
        )
        .expect("the mode");
        let good = VECTORS["good"].as_array().expect("a list");
        let token = |name: &str| {
            let vector = good.iter().find(|vector| vector["name"] == name);
            text(&vector.expect("a vector")["token"])
        };
        let tokens = [token("RS256 of the set"), token("ES256 of the set")];
        Self {
            address,
            jwt: Arc::new(jwt),
            tokens,
        }
    }

    fn settings() -> JwtSettings {
        JwtSettings {
            jwks: Some("https://login.example.com/jwks.json".to_owned()),
            ..JwtSettings::default()
        }
    }

    pub(super) fn has_seen(&self, token: &str) -> bool {
        let generation = self.jwt.fetched().generation;
        let hash = self.jwt.seen.hash_of(token).expect("tokens are remembered");
        self.jwt.seen.find(&hash, now(), generation).is_some()
    }

    /// The mode of settings that were read again.
    pub(super) fn renewed(&self, change: impl FnOnce(&mut JwtSettings)) -> Self {
        self.renewed_believing(Authorities::default(), change)
    }

    /// Likewise, with these authorities vouching for the address.
    pub(super) fn renewed_believing(
        &self,
        authorities: Authorities,
        change: impl FnOnce(&mut JwtSettings),
    ) -> Self {
        let mut settings = Self::settings();
        change(&mut settings);
        let jwt = self
            .jwt
            .renew(&settings, Some(self.address.fetch(authorities)));
        Self {
            address: self.address.clone(),
            jwt: jwt.expect("the mode"),
            tokens: self.tokens.clone(),
        }
    }

    pub(super) async fn ask(&self, number: usize) -> &'static str {
        let token = Token::read(&self.tokens[number], 4096).expect("a token");
        let judgement = self
            .jwt
            .judge_later(&token, self.jwt.seen.hash_of(&self.tokens[number]))
            .await;
        match judgement {
            Judgement::Refused(refusal) if refusal.answer == RefusalAnswer::Unavailable => {
                "(unavailable)"
            }
            judgement => cause(&judgement),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_in_the_set_has_it_fetched_once_in_an_interval() {
    let rig = Rig::new();
    let [rsa, p256] = [&VECTORS["jwks"]["keys"][0], &VECTORS["jwks"]["keys"][1]];
    // Nobody can say yet.
    assert_eq!(rig.ask(0).await, "(unavailable)");
    assert_eq!(
        (rig.ask(1).await, rig.address.asked()),
        ("(unavailable)", 1)
    );
    rig.address.gives(&[rsa]);
    assert_eq!(rig.ask(0).await, "(unavailable)");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!((rig.ask(0).await, rig.address.asked()), ("(known)", 2));
    // The other key is not there, and a crowd of its tokens changes nothing.
    for _ in 0..100 {
        assert_eq!(rig.ask(1).await, "no_key");
    }
    assert_eq!(rig.address.asked(), 2);
    rig.address.gives(&[rsa, p256]);
    tokio::time::advance(Duration::from_secs(60)).await;
    let crowd = [rig.ask(1), rig.ask(1), rig.ask(1)];
    let [one, two, three] = crowd;
    let all = tokio::join!(one, two, three);
    assert_eq!(
        (all, rig.address.asked()),
        (("(known)", "(known)", "(known)"), 3)
    );
    // A key that is there has nothing fetched.
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!((rig.ask(0).await, rig.address.asked()), ("(known)", 3));
}

#[tokio::test(start_paused = true)]
async fn the_last_good_set_stays_and_a_key_that_goes_takes_its_tokens_along() {
    let rig = Rig::new();
    let [rsa, p256] = [&VECTORS["jwks"]["keys"][0], &VECTORS["jwks"]["keys"][1]];
    rig.address.gives(&[rsa, p256]);
    let fresh = tokio::spawn(rig.jwt.keep_fresh().expect("an address"));
    let source = Arc::clone(rig.jwt.source.as_ref().expect("a source"));
    while source.fetched().keys.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((rig.ask(0).await, rig.ask(1).await), ("(known)", "(known)"));
    for bad in [
        None,
        Some(Bytes::from_static(b"{}")),
        Some(vec![b' '; 100_000].into()),
    ] {
        rig.address.0.lock().1 = bad;
        let asked = rig.address.asked();
        while rig.address.asked() < asked + 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(
            (rig.ask(0).await, source.fetched().keys.len()),
            ("(known)", 2)
        );
    }
    let seen = |token: &str| rig.has_seen(token);
    assert!(seen(&rig.tokens[0]) && seen(&rig.tokens[1]));
    rig.address.gives(&[p256]);
    while source.fetched().keys.len() == 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!seen(&rig.tokens[0]) && !seen(&rig.tokens[1]));
    assert_eq!((rig.ask(0).await, rig.ask(1).await), ("no_key", "(known)"));
    drop((rig, source));
    fresh.await.expect("ends with the mode");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_cannot_be_fetched_again_counts_no_longer_than_its_age_may_be() {
    let rig = Rig::new().renewed(|settings| settings.jwks_max_age = Duration::from_secs(3600));
    let [rsa, p256] = [&VECTORS["jwks"]["keys"][0], &VECTORS["jwks"]["keys"][1]];
    let said = |rig: &Rig| rig.jwt.fault().unwrap_or_default();
    assert_eq!(said(&rig), "the JWK set was not fetched yet");
    let begun = tokio::time::Instant::now();
    tokio::spawn(rig.jwt.keep_fresh().expect("an address"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(said(&rig), "the JWK set was never fetched: refused");
    rig.address.0.lock().1 = Some(Bytes::from_static(b"{\"keys\": []}"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let empty = "the JWK set was never fetched: is empty: holds no key at all";
    assert_eq!(said(&rig), empty);
    rig.address.gives(&[rsa, p256]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((rig.ask(0).await, rig.jwt.fault()), ("(known)", None));
    rig.address.is_away();
    tokio::time::sleep_until(begun + Duration::from_secs(3600)).await;
    let again = "the JWK set cannot be fetched again: refused";
    assert_eq!((rig.ask(0).await, &*said(&rig)), ("(known)", again));
    assert!(rig.has_seen(&rig.tokens[0]));
    // Whoever was let in by one of its keys proves it again, and cannot.
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!rig.has_seen(&rig.tokens[0]));
    let old = "the JWK set is too old and cannot be fetched again: refused";
    assert_eq!((rig.ask(0).await, &*said(&rig)), ("(unavailable)", old));
    rig.address.gives(&[rsa]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((rig.ask(0).await, rig.jwt.fault()), ("(known)", None));
    assert_eq!(rig.ask(1).await, "no_key");
}

#[tokio::test(start_paused = true)]
async fn a_set_is_too_old_at_its_age_though_the_fetch_of_the_next_is_not_over() {
    let rig = Rig::new().renewed(|settings| settings.jwks_max_age = Duration::from_secs(700));
    rig.address.gives(&[&VECTORS["jwks"]["keys"][0]]);
    tokio::spawn(rig.jwt.keep_fresh().expect("an address"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.ask(0).await, "(known)");
    rig.address.is_stuck();
    tokio::time::sleep(Duration::from_secs(690)).await;
    assert_eq!(rig.address.asked(), 2);
    assert!(rig.has_seen(&rig.tokens[0]));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!rig.has_seen(&rig.tokens[0]));
    assert!(rig.jwt.fetched().keys.is_empty());
    let old = "the JWK set is too old";
    assert_eq!(rig.jwt.fault().as_deref(), Some(old));
}

#[tokio::test(start_paused = true)]
async fn a_set_is_fetched_again_in_time_though_the_interval_is_as_long() {
    let rig = Rig::new().renewed(|settings| {
        settings.jwks_interval = Duration::from_secs(600);
        settings.jwks_max_age = Duration::from_secs(601);
    });
    rig.address.gives(&[&VECTORS["jwks"]["keys"][0]]);
    tokio::spawn(rig.jwt.keep_fresh().expect("an address"));
    for fetches in 1..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.address.asked(), fetches);
        assert_eq!(rig.jwt.fetched().keys.len(), 1);
        tokio::time::sleep(Duration::from_millis(599_100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_an_answer_that_is_no_set_is_short() {
    let rig = Rig::new();
    let word = "\u{e9}".repeat(30_000);
    rig.address.0.lock().1 = Some(json!(word).to_string().into());
    assert_eq!(rig.ask(0).await, "(unavailable)");
    let said = rig.jwt.fault().expect("a fault");
    assert!(
        said.contains("is no JWK set: ") && said.len() < 300,
        "{said}"
    );
}
