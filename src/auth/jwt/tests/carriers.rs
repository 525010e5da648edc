//! Where a token is found, and where it is not.

use super::*;

/// A target, fields of a handshake, and what is made of them.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// What each place with a token in it looks like.
struct Places {
    jwt: Jwt,
    good: String,
    _files: Files,
}

impl Places {
    fn new() -> Self {
        let files = Files::new();
        let mut settings = settings(&files);
        settings.cookie = Some("auth".to_owned());
        settings.query = Some("token".to_owned());
        Self {
            jwt: Jwt::new(&settings, None).expect("the mode"),
            good: text(&VECTORS["good"][0]["token"]),
            _files: files,
        }
    }

    #[track_caller]
    fn assert_all(&self, rows: &[Row<'_>]) {
        for (target, fields, expected) in rows {
            let [at_once, _] = ask(&self.jwt, target, fields);
            assert_eq!(cause(&at_once), *expected, "{target} {fields:?}");
        }
    }
}

#[test]
fn a_token_is_found_in_a_field_or_a_sub_protocol() {
    let places = Places::new();
    let good = &places.good;
    let bearer = format!("Bearer {good}");
    let lower = format!("bearer  {good} ");
    let offer = format!("supportal.v1, supportal.token.{good}");
    let (known, absent) = ("(known)", "(absent)");
    places.assert_all(&[
        ("/", &[], absent),
        ("/", &[("Authorization", &bearer)], known),
        ("/", &[("authorization", &lower)], known),
        ("/", &[("authorization", "Basic YTpi")], absent),
        ("/", &[("authorization", "Bearerx")], absent),
        ("/", &[("authorization", "Bearer")], "form"),
        ("/", &[("authorization", "Bearer ")], "form"),
        ("/", &[("authorization", "Bearer a b")], "form"),
        (
            "/",
            &[("authorization", &bearer), ("authorization", &bearer)],
            "unclear",
        ),
        (
            "/",
            &[("authorization", "Basic YTpi"), ("authorization", &bearer)],
            "unclear",
        ),
        ("/", &[("sec-websocket-protocol", &offer)], known),
        (
            "/",
            &[
                ("sec-websocket-protocol", "supportal.v1"),
                ("sec-websocket-protocol", &offer),
            ],
            known,
        ),
        ("/", &[("sec-websocket-protocol", "supportal.v1")], absent),
        (
            "/",
            &[("sec-websocket-protocol", "supportal.token.")],
            "form",
        ),
        (
            "/",
            &[("sec-websocket-protocol", "Supportal.token.x")],
            absent,
        ),
        (
            "/",
            &[
                ("sec-websocket-protocol", &offer),
                ("sec-websocket-protocol", &offer),
            ],
            "unclear",
        ),
    ]);
}

#[test]
fn a_token_is_found_in_a_cookie_or_the_query_behind_these() {
    let places = Places::new();
    let good = &places.good;
    let offer = format!("supportal.v1, supportal.token.{good}");
    let cookie = format!("a=1; auth={good};b=2");
    let quoted = format!("auth=\"{good}\"");
    let query = format!("/ws/chat/1/abc/?x=1&token={good}");
    let (known, absent) = ("(known)", "(absent)");
    places.assert_all(&[
        ("/", &[("cookie", &cookie)], known),
        ("/", &[("cookie", &quoted)], known),
        ("/", &[("cookie", "a=1"), ("cookie", &cookie)], known),
        ("/", &[("cookie", "xauth=1; authx=2; auth")], absent),
        ("/", &[("cookie", "auth=")], "form"),
        ("/", &[("cookie", &cookie), ("cookie", &cookie)], "unclear"),
        (&query, &[], known),
        ("/?token=", &[], "form"),
        ("/?token", &[], "form"),
        ("/?Token=x", &[], absent),
        ("/?token=x&token=y", &[], "unclear"),
        // The first place with a token answers, also if that is no good.
        (&query, &[("authorization", "Bearer x")], "form"),
        (&query, &[("cookie", "auth=x")], "form"),
        ("/?token=x", &[("cookie", &cookie)], known),
        (
            "/?token=x",
            &[
                ("authorization", "Basic x"),
                ("sec-websocket-protocol", &offer),
            ],
            known,
        ),
    ]);
}

#[test]
fn neither_cookie_nor_query_is_looked_at_unless_the_settings_name_them() {
    let files = Files::new();
    let jwt = Jwt::new(&settings(&files), None).expect("the mode");
    let good = text(&VECTORS["good"][0]["token"]);
    let cookie = format!("token={good}");
    let target = format!("/?token={good}");
    let [at_once, _] = ask(&jwt, &target, &[("cookie", &cookie)]);
    assert_eq!(cause(&at_once), "(absent)");
}

#[test]
fn bytes_that_are_no_text_are_no_token() {
    let files = Files::new();
    let jwt = Jwt::new(&settings(&files), None).expect("the mode");
    let head = RequestHead {
        method: "GET",
        is_http_11: true,
        fields: vec![("authorization", b"Bearer \xff.\xff.\xff")],
    };
    let credentials = Credentials {
        head: &head,
        target: "/",
        client: std::net::Ipv4Addr::LOCALHOST.into(),
        is_https: false,
        host: None,
        business_id: None,
        session_id: None,
    };
    assert_eq!(cause(&jwt.at_once(&credentials)), "unclear");
}
