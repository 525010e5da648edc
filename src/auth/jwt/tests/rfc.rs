//! The examples of the RFCs.

use super::super::algorithm::Algorithm;
use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// RFC 7515, appendix A: the claims of each example.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// The `exp` in there.
const END: u64 = 1_300_819_380;

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn assert_verified(key: Key, header: &str, signature: &str) {
    let token = format!("{header}.{CLAIMS}.{signature}");
    let files = Files::new();
    let settings = JwtSettings {
        issuer: vec!["joe".to_owned()],
        secret: vec![Secret::new("x".repeat(32))],
        ..JwtSettings::default()
    };
    let mut jwt = Jwt::new(&settings, None).expect("the mode");
    let before = judged(&jwt, &token, END - 1);
    assert!(
        matches!(before, Err(Flaw::NoKey | Flaw::Signature)),
        "{before:?}"
    );
    jwt.keys = vec![key];
    let identity = judged(&jwt, &token, END - 1).expect("the RFC's token");
    assert_eq!(identity.expires_at, Some(END));
    assert_eq!(judged(&jwt, &token, END + 5), Err(Flaw::Expired));
    drop(files);
}

#[test]
fn rfc_7515_a_1_hs256() {
    let secret =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    assert_verified(
        Key::of_secret(Algorithm::Hs256, &decoded(secret), "test"),
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
}

#[test]
fn rfc_7515_a_2_rs256() {
    let modulus = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
        T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTB\
        EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD\
        TW9gb54h4FRWyuXpoQ";
    assert_verified(
        Key::of_rsa(&decoded(modulus), &[1, 0, 1], "test").expect("a key"),
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7\
        t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12\
        jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUP\
        QGe77Rw",
    );
}

#[test]
fn rfc_7515_a_3_es256() {
    let x = decoded("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    let y = decoded("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    assert_verified(
        Key::of_p256(&[&[4][..], &x, &y].concat(), "test").expect("a key"),
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
}

#[test]
fn rfc_8037_a_4_eddsa() {
    // Its payload is no JSON: the signature alone.
    let key = decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let key = Key::of_ed25519(&key, "test").expect("a key");
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let token = Token::read(token, 4096).expect("a token");
    assert_eq!(token.algorithm, Algorithm::EdDsa);
    assert!(key.verifies(token.message.as_bytes(), &token.signature));
    assert!(!key.verifies(b"another message", &token.signature));
}
