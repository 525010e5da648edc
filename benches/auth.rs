//! What finding out who somebody is costs a handshake, by algorithm.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use supportal::config::{AuthMode, AuthSettings, Secret};
use supportal::internal::auth::{Authenticator, Credentials, Learnt, Modes};
use supportal::internal::transport::handshake::RequestHead;

/// Tokens and keys of another maker, as the tests have them.
const VECTORS: &str = include_str!("../tests/auth/vectors.json");

fn text(value: &serde_json::Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The settings that the tokens are made for, with so many remembered.
fn authenticator(vectors: &serde_json::Value, cache: usize) -> (Authenticator, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = AuthSettings {
        mode: vec![AuthMode::Jwt, AuthMode::Link],
        ..AuthSettings::default()
    };
    for (name, pem) in vectors["keys"].as_object().expect("keys") {
        let path = folder.path().join(name);
        std::fs::write(&path, text(pem)).expect("a file");
        settings.jwt.keys.push(path);
    }
    settings.jwt.secret = vec![Secret::new(text(&vectors["secret"]))];
    settings.jwt.issuer = vec![text(&vectors["issuer"])];
    settings.jwt.audience = vec![text(&vectors["audience"])];
    settings.jwt.cache = cache;
    settings.link.key = vec![Secret::new(text(&vectors["link_key"]))];
    let modes = Modes::new(&settings, None, &Learnt::default()).expect("the modes");
    (modes.authenticator, folder)
}

fn token(vectors: &serde_json::Value, name: &str) -> String {
    let mut good = vectors["good"].as_array().expect("a list").iter();
    let vector = good.find(|vector| vector["name"] == name);
    text(&vector.expect("a vector")["token"])
}

/// A handshake with this value of `Authorization`, as the modes see it.
fn with_credentials<R>(bearer: &str, judge: impl FnOnce(&Credentials<'_>) -> R) -> R {
    let head = RequestHead {
        method: "GET",
        is_http_11: true,
        fields: vec![("authorization", bearer.as_bytes())],
    };
    judge(&Credentials {
        head: &head,
        target: "/ws/chat/1/abc/",
        client: Ipv4Addr::LOCALHOST.into(),
        is_https: false,
        host: None,
        business_id: Some("1"),
        session_id: Some("abc"),
    })
}

/// Runs `judge` with a handshake for each kind of token.
fn each(criterion: &mut Criterion, group: &str, cache: usize, names: &[&str], later: bool) {
    let vectors = serde_json::from_str(VECTORS).expect("vectors.json");
    let (authenticator, _folder) = authenticator(&vectors, cache);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let mut group = criterion.benchmark_group(group);
    for name in names {
        let bearer = format!("Bearer {}", token(&vectors, name));
        with_credentials(&bearer, |credentials| {
            let known = runtime.block_on(authenticator.verify(credentials));
            assert!(known.is_ok_and(|known| known.is_some()), "{name}");
            group.bench_function(*name, |bencher| {
                bencher.iter(|| {
                    if later {
                        let known = runtime.block_on(authenticator.verify(black_box(credentials)));
                        black_box(known.is_ok())
                    } else {
                        let known = authenticator.verify_at_once(black_box(credentials));
                        black_box(known.is_ok_and(|known| known.is_some()))
                    }
                });
            });
        });
    }
    group.finish();
}

const PUBLIC: [&str; 3] = ["RS256 of a file", "ES256 of a file", "EdDSA of a file"];

/// The signature alone, by the library: what [`first`] is compared with.
fn library(criterion: &mut Criterion) {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("vectors.json");
    let mut group = criterion.benchmark_group("auth/library alone");
    // What is left of a SubjectPublicKeyInfo without its head is the key as the library takes it.
    let kinds: [(&str, &str, usize, &dyn VerificationAlgorithm); 3] = [
        (PUBLIC[0], "rsa", 24, &RSA_PKCS1_2048_8192_SHA256),
        (PUBLIC[1], "p256", 26, &ECDSA_P256_SHA256_FIXED),
        (PUBLIC[2], "ed25519", 12, &ED25519),
    ];
    for (name, file, head, algorithm) in kinds {
        let pem = text(vectors.pointer(&format!("/keys/{file}")).expect("a key"));
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).expect("a key");
        let key = UnparsedPublicKey::new(algorithm, der.as_ref().split_at(head).1);
        let token = token(&vectors, name);
        let (message, signature) = token.rsplit_once('.').expect("a signature");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        key.verify(message.as_bytes(), &signature).expect("good");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(key.verify(black_box(message.as_bytes()), &signature)));
        });
    }
    group.finish();
}

fn at_once(criterion: &mut Criterion) {
    each(criterion, "auth/at once", 100, &["hs256"], false);
}

fn first(criterion: &mut Criterion) {
    each(criterion, "auth/first time", 0, &PUBLIC, true);
}

fn again(criterion: &mut Criterion) {
    each(criterion, "auth/seen before", 100, &PUBLIC, false);
}

/// Signatures that are wrong here or there: what a refusal takes does not tell how much of one was right. And what one takes
/// that is by no key that is known, or is not there.
fn refused(criterion: &mut Criterion) {
    let vectors = serde_json::from_str(VECTORS).expect("vectors.json");
    let (authenticator, _folder) = authenticator(&vectors, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let mut group = criterion.benchmark_group("auth/refused");
    for name in ["hs256", PUBLIC[0], PUBLIC[1], PUBLIC[2]] {
        let token = token(&vectors, name);
        let (message, signature) = token.rsplit_once('.').expect("a signature");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        for (place, at) in [("first byte", 0), ("last byte", signature.len() - 1)] {
            let mut wrong = signature.clone();
            *wrong.get_mut(at).expect("a byte") ^= 1;
            let bearer = format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(&wrong));
            with_credentials(&bearer, |credentials| {
                group.bench_function(format!("{name}, {place}"), |bencher| {
                    bencher.iter(|| {
                        let known = runtime.block_on(authenticator.verify(black_box(credentials)));
                        known.expect_err("a wrong signature")
                    });
                });
            });
        }
    }
    let (header, rest) = (
        "{\"alg\":\"HS256\",\"kid\":\"of nobody\"}",
        token(&vectors, "hs256"),
    );
    let (_, rest) = rest.split_once('.').expect("a header");
    let unknown = format!("Bearer {}.{rest}", URL_SAFE_NO_PAD.encode(header));
    let malformed = "Bearer x".to_owned();
    for (name, bearer) in [("unknown key", unknown), ("no token", malformed)] {
        with_credentials(&bearer, |credentials| {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let known = runtime.block_on(authenticator.verify(black_box(credentials)));
                    known.expect_err("nobody")
                });
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = at_once, library, first, again, refused
}
criterion_main!(benches);
