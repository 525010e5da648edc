//! `[auth]`: what is refused at start, each with its key and its fix, and no secret in the text.

use super::super::{AuthMode, DefaultRooms, HmacAlgorithm};
use super::{assert_refused, load_environment, load_file, load_sets};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Settings, and what their refusal says.
const BAD: &[(&[&str], &[&str])] = &[
    (&["auth.mode=[]"], &["auth.mode: is empty", "[\"none\"]"]),
    (&["auth.mode="], &["auth.mode: is empty"]),
    (
        &["auth.mode=linc"],
        &[
            "auth.mode: \"linc\" is not a choice",
            "did you mean \"link\"?",
        ],
    ),
    (
        &["auth.mode=JWT"],
        &["auth.mode: \"JWT\" is not a choice", "one of \"none\""],
    ),
    (&["auth.mode=[1]"], &["auth.mode: 1 is not a choice"]),
    (
        &["auth.mode=true"],
        &["auth.mode: true is not a list of texts"],
    ),
    (
        &["auth.mode=jwt"],
        &[
            "jwt has nothing to verify tokens with",
            "SUPPORTAL_AUTH__JWT__SECRET",
        ],
    ),
    (
        &["auth.mode=link"],
        &[
            "link has nothing to verify links with",
            "SUPPORTAL_AUTH__LINK__KEY",
        ],
    ),
    (
        &["auth.mode=none,none"],
        &["auth.mode: lists \"none\" twice"],
    ),
    (
        &["auth.mode=none,jwt", "auth.jwt.keys=a.pem"],
        &["auth.mode: lists a mode after \"none\"", "\"none\" last"],
    ),
    (&["auth.jwt.secret="], &["auth.jwt.secret: is empty"]),
    (
        &["auth.jwt.secret=[\"\"]"],
        &["auth.jwt.secret: is empty", "at least 32"],
    ),
    (
        &["auth.jwt.secret=secret-word"],
        &[
            "auth.jwt.secret: has 11 bytes, which is too short",
            "at least 32 random bytes",
        ],
    ),
    (
        &["auth.jwt.secret=0123456789abcdef0123456789secre"],
        &["has 31 bytes", "openssl rand -base64 32"],
    ),
    (
        &[
            "auth.jwt.algorithm=HS384",
            "auth.jwt.secret=0123456789abcdef0123456789-secret-word",
        ],
        &["auth.jwt.secret: has 38 bytes", "at least 48"],
    ),
    (
        &[
            "auth.jwt.algorithm=HS512",
            "auth.jwt.secret=0123456789abcdef0123456789-secret-word",
        ],
        &["auth.jwt.secret: has 38 bytes", "at least 64"],
    ),
    (
        &["auth.jwt.secret=[\" secret-word 0123456789abcdef0123456789abcdef\"]"],
        &["auth.jwt.secret: begins or ends with white space"],
    ),
    (
        &["auth.jwt.secret=-----BEGIN PUBLIC KEY----- secret-word"],
        &["auth.jwt.secret: is a key in PEM", "auth.jwt.keys"],
    ),
    (
        &["auth.jwt.secret=[1]"],
        &["auth.jwt.secret: is not a list of texts"],
    ),
    (
        &["auth.jwt.algorithm=none"],
        &[
            "auth.jwt.algorithm: \"none\" is not a choice",
            "\"HS256\", \"HS384\", \"HS512\"",
        ],
    ),
    (
        &["auth.jwt.algorithm=RS256"],
        &["auth.jwt.algorithm: \"RS256\" is not a choice"],
    ),
    (
        &["auth.jwt.algorithm=hs256"],
        &["auth.jwt.algorithm: \"hs256\" is not a choice", "HS256"],
    ),
    (
        &["auth.jwt.keys=[\"\"]"],
        &["auth.jwt.keys: holds an empty path"],
    ),
    (
        &["auth.jwt.keys=a.pem,a.pem"],
        &["auth.jwt.keys: names \"a.pem\" twice"],
    ),
    (
        &["auth.jwt.keys=https://a.example/key.pem"],
        &["auth.jwt.keys: holds an address", "auth.jwt.jwks"],
    ),
    (
        &["auth.jwt.keys=-----BEGIN PUBLIC KEY-----"],
        &["auth.jwt.keys: holds a key itself", "path of its PEM file"],
    ),
    (
        &["auth.jwt.keys=1,2,3,4,5,6,7,8,9"],
        &["auth.jwt.keys: holds 9 files", "at most 8"],
    ),
    (&["auth.jwt.jwks=\"\""], &["auth.jwt.jwks: is empty"]),
    (
        &["auth.jwt.jwks=http://a.example/jwks.json"],
        &["auth.jwt.jwks: \"http\" is not https"],
    ),
    (
        &["auth.jwt.jwks=file:///etc/jwks.json"],
        &["auth.jwt.jwks: \"file\" is not https", "or a file"],
    ),
    (
        &["auth.jwt.jwks=https://"],
        &["auth.jwt.jwks: is not an address"],
    ),
    (
        &["auth.jwt.jwks=https://a.example/a b"],
        &["auth.jwt.jwks: is not an address"],
    ),
    (
        &["auth.jwt.jwks=https://me:secret-word@a.example/jwks"],
        &["auth.jwt.jwks: has a user or a password in it"],
    ),
    (
        &["auth.jwt.jwks=https://a.example/jwks#1"],
        &["auth.jwt.jwks: has a fragment"],
    ),
    (
        &["auth.jwt.jwks_refresh=1s"],
        &["auth.jwt.jwks_refresh: 1s is too short", "\"10s\""],
    ),
    (
        &[
            "auth.jwt.jwks=https://a.example/",
            "auth.jwt.jwks_interval=1h",
        ],
        &["auth.jwt.jwks_interval: is longer than auth.jwt.jwks_refresh"],
    ),
    (
        &[
            "auth.jwt.jwks=https://a.example/",
            "auth.jwt.jwks_max_age=5m",
        ],
        &["auth.jwt.jwks_max_age: is shorter than auth.jwt.jwks_refresh"],
    ),
    (
        &["auth.jwt.jwks_timeout=2m"],
        &["auth.jwt.jwks_timeout: is longer than 60s"],
    ),
    (
        &["auth.jwt.leeway=6m"],
        &["auth.jwt.leeway: is longer than 5m"],
    ),
    (
        &["auth.jwt.leeway=5"],
        &["auth.jwt.leeway", "`5` is not a duration"],
    ),
    (
        &["auth.jwt.default_rooms=all"],
        &["auth.jwt.default_rooms: \"all\" is not a choice", "\"any\""],
    ),
    (
        &["auth.jwt.cookie=a b"],
        &["auth.jwt.cookie: \"a b\" is no name of a cookie"],
    ),
    (
        &["auth.jwt.cookie=\"\""],
        &["auth.jwt.cookie: \"\" is no name of a cookie"],
    ),
    (
        &["auth.jwt.query=a=b"],
        &["auth.jwt.query: \"a=b\" is no name of a parameter"],
    ),
    (
        &["auth.jwt.query=link"],
        &["auth.jwt.query: \"link\" is the parameter of signed links"],
    ),
    (
        &["auth.jwt.issuer=[\"\"]"],
        &["auth.jwt.issuer: holds an empty text"],
    ),
    (
        &["auth.jwt.audience=[\"a\", \" \"]"],
        &["auth.jwt.audience: holds an empty text"],
    ),
    (
        &["auth.jwt.token_bytes=100"],
        &["auth.jwt.token_bytes: 100 is too small", "at least 256"],
    ),
    (
        &["auth.jwt.token_bytes=100000"],
        &["auth.jwt.token_bytes: 100000 is too large", "at most 16384"],
    ),
    (
        &["auth.jwt.cache=2000000"],
        &["auth.jwt.cache: 2000000 is too large"],
    ),
    (
        &["auth.link.key=secret-word"],
        &["auth.link.key: has 11 bytes", "at least 32"],
    ),
    (
        &["auth.jwt.secert=secret-word"],
        &[
            "auth.jwt.secert: unknown key",
            "did you mean `auth.jwt.secret`?",
        ],
    ),
];

#[test]
fn a_bad_setting_of_who_may_come_in_is_refused_with_its_key_and_fix() {
    for (sets, fragments) in BAD {
        let loaded = load_sets(sets);
        let text = loaded.as_ref().expect_err(sets[0]).to_string();
        assert!(!text.contains("secret-word"), "shows a secret: {text}");
        assert_refused(&sets.join(" "), loaded, fragments);
    }
    assert!(BAD.len() >= 40);
}

#[test]
fn a_secret_may_be_one_text_or_several_and_a_mode_one_word_or_several() {
    let file =
        format!("[auth]\nmode = [\"jwt\"]\n[auth.jwt]\nsecret = \"{SECRET}\"\nissuer = \"a\"");
    let auth = load_file(&file).expect("a text").config.auth;
    assert_eq!(auth.mode, [AuthMode::Jwt]);
    assert_eq!(auth.jwt.secret.len(), 1);
    assert_eq!(auth.jwt.issuer, ["a"]);
    let file = format!(
        "[auth]\nmode = [\"jwt\", \"link\", \"none\"]\n[auth.jwt]\nsecret = [\"{SECRET}\", \"{SECRET}1\"]\n\
         algorithm = \"HS256\"\n[auth.link]\nkey = \"{SECRET}\""
    );
    let auth = load_file(&file).expect("a list").config.auth;
    assert_eq!(auth.mode, [AuthMode::Jwt, AuthMode::Link, AuthMode::None]);
    assert_eq!(auth.jwt.secret.len(), 2);
    assert_eq!(auth.jwt.algorithm, HmacAlgorithm::Hs256);
    let auth = load_environment(&[
        ("SUPPORTAL_AUTH__MODE", "jwt,none"),
        ("SUPPORTAL_AUTH__JWT__SECRET", SECRET),
        ("SUPPORTAL_AUTH__JWT__AUDIENCE", ""),
        ("SUPPORTAL_AUTH__JWT__COOKIE", " "),
    ]);
    let auth = auth.expect("the environment").config.auth;
    assert_eq!(auth.mode, [AuthMode::Jwt, AuthMode::None]);
    assert_eq!(auth.jwt.secret[0].expose(), SECRET);
    // Empty in the environment is "not given".
    assert!(auth.jwt.audience.is_empty() && auth.jwt.cookie.is_none());
    assert_eq!(auth.jwt.default_rooms, DefaultRooms::None);
}
