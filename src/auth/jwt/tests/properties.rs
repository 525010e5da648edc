//! What holds for every token.

use super::*;
use crate::broker::UserRole;
use proptest::prelude::*;

fn roles() -> impl Strategy<Value = UserRole> {
    prop::sample::select(UserRole::ALL.to_vec())
}

fn mode() -> (JwtSettings, Jwt) {
    let settings = JwtSettings {
        secret: vec![Secret::new("0123456789abcdef0123456789abcdef")],
        audience: vec!["supportal".to_owned()],
        ..JwtSettings::default()
    };
    let jwt = Jwt::new(&settings, None).expect("the mode");
    (settings, jwt)
}

proptest! {
    #[test]
    fn what_is_signed_is_what_is_read(
        business in "[1-9][0-9]{0,17}",
        session in "[A-Za-z0-9._-]{1,64}",
        user in "\\PC{1,60}",
        role in roles(),
        life in 1_u64..1_000_000,
    ) {
        let (settings, jwt) = mode();
        let grant = Grant {
            business_id: Some(business.clone()),
            session_id: Some(session.clone()),
            user: Some(user.clone()),
            role,
            expires_at: 1_000_000 + life,
        };
        let signer = TokenSigner::of_settings(&settings).expect("a secret");
        let token = signer.sign(&grant, &settings, 1_000_000).expect("a token");
        let identity = judged(&jwt, &token, 1_000_000).expect("a good token");
        prop_assert_eq!(shown(&identity), format!("{user} {} {business}/{session}", role.as_str()));
        prop_assert_eq!(identity.expires_at, Some(1_000_000 + life));
        prop_assert!(identity.rooms.admits(Some(&business), Some(&session)));
    }

    #[test]
    fn no_change_of_a_byte_is_let_in(place in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
        let (settings, jwt) = mode();
        let grant = Grant {
            business_id: Some("1".to_owned()),
            session_id: Some("abc".to_owned()),
            user: Some("ann".to_owned()),
            role: UserRole::Customer,
            expires_at: 2000,
        };
        let signer = TokenSigner::of_settings(&settings).expect("a secret");
        let token = signer.sign(&grant, &settings, 1000).expect("a token");
        let mut changed = token.clone().into_bytes();
        let place = place.index(changed.len());
        changed[place] = byte;
        let changed = String::from_utf8(changed).expect("ASCII");
        prop_assert_eq!(judged(&jwt, &changed, 1000).is_ok(), changed == token);
    }

    #[test]
    fn no_text_is_let_in_and_none_panics(text in "\\PC{0,200}", parts in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
        let (_, jwt) = mode();
        prop_assert!(judged(&jwt, &text, 0).is_err());
        prop_assert!(judged(&jwt, &parts, 0).is_err());
    }

    #[test]
    fn no_signed_claims_panic(json in "\\{(\"(exp|sub|aud|role|business_id|session_id|nbf)\":(1|-1|1e99|\"a\"|\\[1,\"b\\*\"\\]|null|\\{\\}),?){0,5}\\}?") {
        let (settings, jwt) = mode();
        let signer = TokenSigner::of_settings(&settings).expect("a secret");
        let token = signer.sign_json(&json).expect("a token");
        // None names an audience and an end that is near.
        prop_assert!(judged(&jwt, &token, 1000).is_err());
    }

    #[test]
    fn no_bytes_of_a_file_or_set_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Key::of_public_key_info(&bytes, "test").is_err());
        prop_assert!(jwk_set::parse(&bytes, "test").is_err());
    }
}
