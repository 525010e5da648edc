//! Settings that are read again: what was fetched and verified stays where they are the same.

use super::sets::Rig;
use super::*;
use crate::http_client::Authorities;
use std::time::Duration;

fn keys() -> [&'static Value; 2] {
    let set = &VECTORS["jwks"]["keys"];
    [&set[0], &set[1]]
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_the_same_are_the_same_mode() {
    let rig = Rig::new();
    rig.address.gives(&keys());
    assert_eq!(rig.ask(0).await, "(known)");
    let renewed = rig.renewed(|_same| {});
    assert!(Arc::ptr_eq(&renewed.jwt, &rig.jwt));
}

#[tokio::test(start_paused = true)]
async fn the_set_of_the_same_address_is_known_on_and_that_of_another_is_not() {
    let rig = Rig::new();
    rig.address.gives(&keys());
    assert_eq!(rig.ask(0).await, "(known)");
    // The address is away as the settings are read again.
    rig.address.is_away();
    let of_pace = rig.renewed(|settings| settings.jwks_refresh = Duration::from_secs(60));
    let of_rules = rig.renewed(|settings| settings.leeway = Duration::ZERO);
    let elsewhere = rig.renewed(|settings| {
        settings.jwks = Some("https://elsewhere.example.com/jwks.json".to_owned());
    });
    for renewed in [&of_pace, &of_rules, &elsewhere] {
        assert!(!Arc::ptr_eq(&renewed.jwt, &rig.jwt));
    }
    // Rules that have changed judge each token anew.
    let seen = [&of_pace, &of_rules, &elsewhere].map(|rig| rig.has_seen(&rig.tokens[0]));
    assert_eq!(seen, [true, false, false]);
    assert_eq!(of_pace.ask(1).await, "(known)");
    assert_eq!(of_rules.ask(1).await, "(known)");
    assert_eq!(elsewhere.ask(1).await, "(unavailable)");
    // Nor is the address asked sooner because of settings.
    assert_eq!(rig.address.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_other_authorities_have_vouched_for_are_not_known_on() {
    let rig = Rig::new();
    rig.address.gives(&keys());
    assert_eq!(rig.ask(0).await, "(known)");
    rig.address.is_away();
    let others = Authorities([7; 32]);
    let renewed = rig.renewed_believing(others, |_same| {});
    assert!(!renewed.has_seen(&rig.tokens[0]));
    assert_eq!(renewed.ask(0).await, "(unavailable)");
    // Nor do these write where the ones before read: settings may still be refused.
    assert_eq!((rig.ask(0).await, rig.jwt.fault()), ("(known)", None));
    let again = renewed.renewed_believing(others, |_same| {});
    assert!(Arc::ptr_eq(&again.jwt, &renewed.jwt));
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_not_taken_ask_nobody() {
    let rig = Rig::new();
    rig.address.gives(&keys());
    assert_eq!(rig.ask(0).await, "(known)");
    let refused = rig.renewed(|settings| settings.leeway = Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.address.asked(), 1);
    let begun = refused.jwt.keep_fresh();
    assert!(begun.is_some() && refused.jwt.keep_fresh().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_goes_after_a_renewal_takes_its_tokens_along() {
    let rig = Rig::new();
    let [rsa, p256] = keys();
    rig.address.gives(&[rsa, p256]);
    assert_eq!(rig.ask(0).await, "(known)");
    let renewed = rig.renewed(|settings| settings.jwks_interval = Duration::from_millis(100));
    rig.address.gives(&[p256]);
    tokio::time::advance(Duration::from_secs(1)).await;
    let source = renewed.jwt.source.as_ref().expect("a source");
    source.fetch_early().await;
    assert!(!renewed.has_seen(&rig.tokens[0]) && !rig.has_seen(&rig.tokens[0]));
    assert_eq!(renewed.ask(0).await, "no_key");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_whose_asker_goes_away_is_the_one_of_its_interval() {
    let rig = Rig::new();
    rig.address.gives(&keys());
    for _client in 0..10 {
        let gone = tokio::time::timeout(Duration::from_millis(1), rig.ask(0));
        assert!(gone.await.is_err());
    }
    assert_eq!((rig.ask(0).await, rig.address.asked()), ("(known)", 1));
}

#[test]
fn a_file_whose_key_was_exchanged_is_another_mode_and_one_that_was_only_read_again_is_not() {
    let files = Files::new();
    let mut settings = settings(&files);
    settings.jwks = None;
    let jwt = Arc::new(Jwt::new(&settings, None).expect("the mode"));
    let renewed = |settings: &JwtSettings| jwt.renew(settings, None).expect("the mode");
    assert!(Arc::ptr_eq(&renewed(&settings), &jwt));
    let identity = Arc::new(Identity::default());
    let hash = jwt.seen.hash_of("a token").expect("tokens are remembered");
    jwt.seen.remember(hash, &identity, 0);
    let has_seen = |jwt: &Jwt| jwt.seen.find(&hash, 1, 0).is_some();
    // A secret verifies nothing that is remembered.
    let mut further = settings.clone();
    further.secret.push(Secret::new("s".repeat(40)));
    let with_secret = renewed(&further);
    assert!(!Arc::ptr_eq(&with_secret, &jwt) && has_seen(&with_secret));
    let changes: [fn(&mut JwtSettings); 5] = [
        |settings| settings.issuer.clear(),
        |settings| settings.audience.clear(),
        |settings| settings.default_rooms = crate::config::DefaultRooms::Any,
        |settings| settings.cache = 7,
        |settings| drop(settings.keys.pop()),
    ];
    for change in changes {
        let mut changed = settings.clone();
        change(&mut changed);
        assert!(!has_seen(&renewed(&changed)), "{changed:?}");
    }
    files.write("rsa.pem", &text(&VECTORS["keys"]["p256"]));
    let exchanged = renewed(&settings);
    assert!(!Arc::ptr_eq(&exchanged, &jwt) && !has_seen(&exchanged));
}
