//! Where a token is found, and where it is not.

use super::*;

#[test]
fn a_token_is_found_in_its_places_in_their_order() {
    let files = Files::new();
    let mut settings = settings(&files);
    settings.cookie = Some("auth".to_owned());
    settings.query = Some("token".to_owned());
    let jwt = Jwt::new(&settings, None).expect("the mode");
    let good = text(&VECTORS["good"][0]["token"]);
    let bearer = format!("Bearer {good}");
    let lower = format!("bearer  {good} ");
    let offer = format!("supportal.v1, supportal.token.{good}");
    let cookie = format!("a=1; auth={good};b=2");
    let quoted = format!("auth=\"{good}\"");
    let query = format!("/ws/chat/1/abc/?x=1&token={good}");
    let (known, absent) = ("(known)", "(absent)");
    let rows: &[(&str, &[(&str, &str)], &str)] = &[
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
    ];
    for (target, fields, expected) in rows {
        let [at_once, _] = ask(&jwt, target, fields);
        assert_eq!(cause(&at_once), *expected, "{target} {fields:?}");
    }
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
        business_id: None,
        session_id: None,
    };
    assert_eq!(cause(&jwt.at_once(&credentials)), "unclear");
}
