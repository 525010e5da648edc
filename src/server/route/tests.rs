//! Good and bad paths under both dialects.

use super::{Match, Router, Target, match_django};
use crate::config::{CHAT_PATH, Config, Handler, Route};
use crate::name::RoomName;
use proptest::prelude::*;

fn route(path: &str, handler: Handler) -> Route {
    Route::new(path, handler)
}

fn router() -> Router {
    let routes = [
        route(CHAT_PATH, Handler::Chat),
        route("/echo", Handler::Echo),
    ];
    Router::new(&routes).expect("legal routes")
}

#[test]
fn good_paths_lead_to_their_room() {
    let long = format!("/ws/chat/{}/{}/", "9".repeat(18), "s".repeat(64));
    let escaped = format!("/ws/chat/1/{}/", "%61".repeat(64));
    for (path, room) in [
        ("/ws/chat/1/abc/", "chat_1_abc".to_owned()),
        ("/ws/chat/0/a/", "chat_0_a".to_owned()),
        ("//ws/chat/1/abc/", "chat_1_abc".to_owned()),
        ("////ws/chat/1/abc/", "chat_1_abc".to_owned()),
        ("/ws/chat/42/session-123/", "chat_42_session-123".to_owned()),
        ("/ws/chat/1/A.b_c-D/", "chat_1_A.b_c-D".to_owned()),
        ("/ws/chat/1/.../", "chat_1_...".to_owned()),
        ("/ws/chat/1/..a/", "chat_1_..a".to_owned()),
        ("/ws/chat/%31/a/", "chat_1_a".to_owned()),
        ("/ws/chat/1/%61%62/", "chat_1_ab".to_owned()),
        ("/ws/chat/1/a%2Db%2d/", "chat_1_a-b-".to_owned()),
        ("/ws/chat/1/%5F%2E/", "chat_1__.".to_owned()),
        (&long, format!("chat_{}_{}", "9".repeat(18), "s".repeat(64))),
        (&escaped, format!("chat_1_{}", "a".repeat(64))),
    ] {
        let found = router().match_path(path);
        let found = found.unwrap_or_else(|| panic!("{path} leads nowhere"));
        assert_eq!(found.target, Target::BuiltIn(Handler::Chat));
        assert_eq!(found.room.as_ref().map(RoomName::as_str), Some(&*room));
    }
}

/// Paths that no strict route serves.
const BAD_PATHS: [&str; 111] = [
    "",
    "/",
    "//",
    "*",
    "ws/chat/1/a/",
    "/ws",
    "/ws/",
    "/ws/chat",
    "/ws/chat/",
    "/ws/chat/1",
    "/ws/chat/1/",
    "/ws/chat/1//",
    "/ws/chat//a/",
    "/ws/chat///",
    "/ws/chat/1/a",
    "/ws/chat/1/a//",
    "/ws/chat/1/a/b/",
    "/ws/chat/1/a/b",
    "/ws//chat/1/a/",
    "//ws//chat/1/a/",
    "/%2Fws/chat/1/a/",
    "/./ws/chat/1/a/",
    "/ws/chat//1/a/",
    "/ws/chat/1//a/",
    "/WS/chat/1/a/",
    "/ws/Chat/1/a/",
    "/ws/chat/1/a/ ",
    " /ws/chat/1/a/",
    "/ws/chat/1/a/\n",
    "/ws/chat/1/a/%0a",
    "/ws/chat/1/a/%0A",
    "/ws/chat/1/a%0a/",
    "/ws/chat/1/a\n/",
    "/ws/chat/1%0a/a/",
    "/ws/chat/1/a%2F",
    "/ws/chat/1/a%2f/",
    "/ws/chat/1/a%2Fb/",
    "/ws/chat/1%2Fa/",
    "/ws%2Fchat/1/a/",
    "/%77s/chat/1/a/",
    "/ws/%63hat/1/a/",
    "/ws/chat/1/%00/",
    "/ws/chat/1/a%00/",
    "/ws/chat/1/a%00b/",
    "/ws/chat/%00/a/",
    "/ws/chat/1/%25/",
    "/ws/chat/1/%252e/",
    "/ws/chat/1/%252e%252e/",
    "/ws/chat/1/a%252Fb/",
    "/ws/chat/1/%2561/",
    "/ws/chat/1/%/",
    "/ws/chat/1/a%/",
    "/ws/chat/1/%6/",
    "/ws/chat/1/%g1/",
    "/ws/chat/1/%6g/",
    "/ws/chat/1/%+1/",
    "/ws/chat/1/%%61/",
    "/ws/chat/1/%u0061/",
    "/ws/chat/1/./",
    "/ws/chat/1/../",
    "/ws/chat/1/%2e/",
    "/ws/chat/1/%2E%2e/",
    "/ws/chat/1/.%2e/",
    "/ws/chat/../chat/1/a/",
    "/ws/./chat/1/a/",
    "/ws/chat/1/../2/a/",
    "/ws/chat/1/*/",
    "/ws/chat/1/%2A/",
    "/ws/chat/*/a/",
    "/ws/chat/1/[a-z]/",
    "/ws/chat/1/%5Ba-z%5D/",
    "/ws/chat/1/a?b/",
    "/ws/chat/1/a%3Fb/",
    "/ws/chat/1/a/?",
    "/ws/chat/1/a#b/",
    "/ws/chat/1/a%23/",
    "/ws/chat/1/a:b/",
    "/ws/chat/1/a;b/",
    "/ws/chat/1/a,b/",
    "/ws/chat/1/a@b/",
    "/ws/chat/1/a!b/",
    "/ws/chat/1/a~b/",
    "/ws/chat/1/a+b/",
    "/ws/chat/1/a b/",
    "/ws/chat/1/a%20b/",
    "/ws/chat/1/a\\b/",
    "/ws/chat/1/a%5Cb/",
    "/ws/chat/1/{session_id}/",
    "/ws/chat/{business_id}/a/",
    "/ws/chat/1/'or'1'='1/",
    "/ws/chat/1/<script>/",
    "/ws/chat/1/\u{e9}/",
    "/ws/chat/1/%C3%A9/",
    "/ws/chat/1/%E9/",
    "/ws/chat/1/%FF/",
    "/ws/chat/1/%C0%AF/",
    "/ws/chat/1/\u{ff41}/",
    "/ws/chat/\u{661}/a/",
    "/ws/chat/%D9%A1/a/",
    "/ws/chat/\u{ff11}/a/",
    "/ws/chat/01/a/",
    "/ws/chat/00/a/",
    "/ws/chat/%30%31/a/",
    "/ws/chat/-1/a/",
    "/ws/chat/+1/a/",
    "/ws/chat/1.0/a/",
    "/ws/chat/1e3/a/",
    "/ws/chat/0x1/a/",
    "/ws/chat/a/a/",
    "/ws/chat/1234567890123456789/a/",
    "/ws/chat/1/sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss/",
];

#[test]
fn bad_paths_lead_nowhere() {
    let router = router();
    for path in BAD_PATHS {
        assert_eq!(router.match_path(path), None, "{path:?}");
    }
    for length in [65, 192, 193, 5000] {
        let path = format!("/ws/chat/1/{}/", "a".repeat(length));
        assert_eq!(router.match_path(&path), None, "{length}");
        let path = format!("/ws/chat/1/{}/", "%61".repeat(length));
        assert_eq!(router.match_path(&path), None, "{length} escaped");
        let path = format!("/ws/chat/{}/a/", "1".repeat(length));
        assert_eq!(router.match_path(&path), None, "{length} digits");
    }
}

#[test]
fn literal_routes_match_exactly() {
    let echo = Match {
        target: Target::BuiltIn(Handler::Echo),
        settings: 0,
        room: None,
        parameters: Vec::new(),
    };
    for path in ["/echo", "//echo", "/////echo"] {
        assert_eq!(router().match_path(path), Some(echo.clone()), "{path}");
    }
    for path in [
        "/echo/", "/Echo", "/ech%6f", "/echo//", "/echo?x", "/echo/..",
    ] {
        assert_eq!(router().match_path(path), None, "{path}");
    }
    let root = Router::new(&[route("/", Handler::Echo)]).expect("legal");
    assert_eq!(root.match_path("/"), Some(echo.clone()));
    assert_eq!(root.match_path("//"), Some(echo));
    assert_eq!(root.match_path(""), None);
}

#[test]
fn the_default_routes_and_other_shapes_are_legal() {
    Router::new(&Config::default().routes_or_default()).expect("the guide's route");
    let routes = [
        route("/{session_id}/of/{business_id}", Handler::Chat),
        route("/{session_id}/at/{business_id}", Handler::Chat),
        route("/chat/{business_id}/{session_id}", Handler::Chat),
        route("/chat/{business_id}/{session_id}/", Handler::Chat),
        route("/e.c-h_o~/", Handler::Echo),
    ];
    let router = Router::new(&routes).expect("distinct");
    let found = router.match_path("/abc/of/7").and_then(|found| found.room);
    assert_eq!(found, RoomName::chat("7", "abc"));
}

#[test]
fn bad_routes_are_refused_with_the_path_and_the_fix() {
    for (path, handler, fix) in [
        ("", Handler::Echo, "does not begin with `/`"),
        ("echo", Handler::Echo, "does not begin with `/`"),
        ("//echo", Handler::Echo, "double slash"),
        ("/a//b", Handler::Echo, "double slash"),
        ("/a/./b", Handler::Echo, "resolve"),
        ("/a/..", Handler::Echo, "resolve"),
        ("/a%20b", Handler::Echo, "use letters"),
        ("/a b", Handler::Echo, "use letters"),
        ("/caf\u{e9}", Handler::Echo, "use letters"),
        ("/a?b", Handler::Echo, "use letters"),
        (
            "/x{business_id}/{session_id}",
            Handler::Chat,
            "whole segments",
        ),
        ("/{room}", Handler::Echo, "whole segments"),
        ("/{room:}", Handler::Relay, "whole segments"),
        ("/{room:float}", Handler::Relay, "whole segments"),
        ("/{:int}", Handler::Relay, "whole segments"),
        ("/{Room:int}", Handler::Relay, "whole segments"),
        ("/x{room:int}", Handler::Relay, "whole segments"),
        ("/{a:int}/{a:uuid}", Handler::Relay, "twice"),
        ("/a.b/{a:int}", Handler::Relay, "named after the path"),
        ("/{", Handler::Echo, "whole segments"),
        ("/chat", Handler::Chat, "has no room"),
        ("/chat/{business_id}", Handler::Chat, "has no room"),
        ("/chat/{session_id}", Handler::Echo, "name both"),
        ("/{session_id}/{session_id}", Handler::Chat, "twice"),
    ] {
        let refusal = Router::new(&[route(path, handler)]).expect_err(path);
        assert!(refusal.contains(fix), "{refusal}");
        assert!(refusal.contains(&format!("{path:?}")), "{refusal}");
    }
}

#[test]
fn routes_that_match_the_same_path_are_refused() {
    for (one, two) in [
        ("/echo", "/echo"),
        (CHAT_PATH, "/ws/chat/{session_id}/{business_id}/"),
        (
            "/a/1/{business_id}/{session_id}",
            "/a/{business_id}/{session_id}/x1",
        ),
    ] {
        let handler = if one.contains('{') {
            Handler::Chat
        } else {
            Handler::Echo
        };
        let refusal = Router::new(&[route(one, handler), route(two, handler)]).expect_err(one);
        assert!(refusal.contains("same paths"), "{refusal}");
    }
    let routes = [
        route(CHAT_PATH, Handler::Chat),
        route("/ws/chat/echo/", Handler::Echo),
        route("/ws/{business_id}/{session_id}/x/", Handler::Chat),
    ];
    Router::new(&routes).expect("chat is no business id");
}

#[test]
fn typed_parts_match_their_type_and_name_the_room() {
    let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let routes = [
        route("/b/{id:int}/", Handler::Relay),
        route("/b/{id:uuid}/", Handler::Relay),
        route("/n/{name:slug}", Handler::Relay),
        route("/c/{business_id}/{session_id}", Handler::Relay),
    ];
    let own = [("/own/{id:int}/{name:slug}/", 0)].into_iter();
    let router = Router::with(&routes, own).expect("distinct");
    for (path, room) in [
        ("/b/7/", "route_b.7."),
        ("/b/%37/", "route_b.7."),
        (&format!("/b/{uuid}/"), &format!("route_b.{uuid}.")),
        ("/n/a_B-9", "route_n.a_B-9"),
        ("/c/1/abc", "route_c.1.abc"),
        ("/own/3/x/", "route_own.3.x."),
    ] {
        let found = router.match_path(path).and_then(|found| found.room);
        assert_eq!(found.as_ref().map(RoomName::as_str), Some(room), "{path}");
    }
    let found = router.match_path("/own/3/x/").expect("a route");
    assert_eq!(found.target, Target::Own(0));
    let parameters =
        [("id", "3"), ("name", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found.parameters, parameters);
    assert!(!format!("{found:?}").contains("\"x\""), "{found:?}");
    for path in [
        "/b/07/",
        "/b/x/",
        "/b//",
        "/b/1234567890123456789/",
        "/n/a.b",
        "/n/",
        "/n/a%2Fb",
        "/c/1/a.b",
        "/own/x/3/",
    ] {
        assert_eq!(router.match_path(path), None, "{path}");
    }
}

#[test]
fn typed_routes_that_match_the_same_path_are_refused_with_both_templates() {
    for (one, two) in [
        ("/{a:int}", "/{b:int}"),
        ("/{a:int}", "/{b:slug}"),
        ("/{a:slug}", "/{b:uuid}"),
        ("/{a:slug}", "/echo"),
        ("/{a:int}", "/7"),
    ] {
        let routes = [route(one, Handler::Relay), route(two, Handler::Relay)];
        let refusal = Router::new(&routes).expect_err(one);
        assert!(refusal.contains("same paths"), "{refusal}");
        assert!(refusal.contains(one) && refusal.contains(two), "{refusal}");
    }
    let refusal = Router::with(&[route("/echo", Handler::Echo)], [("/echo", 0)].into_iter());
    assert!(refusal.is_err_and(|refusal| refusal.contains("same paths")));
    let apart = ["/{a:int}", "/{b:uuid}", "/x/{a:int}"].map(|path| route(path, Handler::Relay));
    Router::new(&apart).expect("no text is both");
}

#[test]
fn django_takes_what_the_package_takes() {
    let long = "L".repeat(92);
    let digits = "9".repeat(1000);
    for (path, business_id, session_id) in [
        ("/ws/chat/1/session-123/", "1", "session-123"),
        ("//ws/chat/1/session-123/", "1", "session-123"),
        ("ws/chat/1/a/", "1", "a"),
        ("/ws/chat/01/a/", "01", "a"),
        ("/ws/chat/0/a/", "0", "a"),
        ("/ws/chat/1/a%252Fb/", "1", "a%2Fb"),
        ("/ws/chat/1/nl%0A1/", "1", "nl\n1"),
        ("/ws/chat/1/a%00/", "1", "a\0"),
        ("/ws/chat/1/semi;x=1/", "1", "semi;x=1"),
        ("/ws/chat/1/sess%201/", "1", "sess 1"),
        ("/ws/chat/1/sess%C3%A3o/", "1", "sess\u{e3}o"),
        ("/ws/chat/1/sess:1/", "1", "sess:1"),
        ("/ws/chat/1/sess@1/", "1", "sess@1"),
        ("/ws/chat/1/%FF/", "1", "\u{fffd}"),
        ("/ws/chat/1/%C3/", "1", "\u{fffd}"),
        ("/ws/chat/1/%E2%82x/", "1", "\u{fffd}x"),
        ("/ws/chat/1/%ED%A0%80/", "1", "\u{fffd}\u{fffd}\u{fffd}"),
        ("/ws/chat/1/100%/", "1", "100%"),
        ("/ws/chat/1/%zz/", "1", "%zz"),
        ("/ws/chat/1/a+b/", "1", "a+b"),
        ("/ws/chat/1/../", "1", ".."),
        ("/ws/chat/1/%3F/", "1", "?"),
        ("/ws%2Fchat/1/a%2F", "1", "a"),
        ("/%77s/chat/1/a/", "1", "a"),
        ("/ws/chat/%D9%A1/a/", "\u{661}", "a"),
        ("/ws/chat/\u{661}\u{662}/a/", "\u{661}\u{662}", "a"),
        ("/ws/chat/%EF%BC%91%31/a/", "\u{ff11}1", "a"),
        (&format!("/ws/chat/1/{long}/"), "1", &long),
        (&format!("/ws/chat/{digits}/a/"), &digits, "a"),
    ] {
        let target = match_django(path).unwrap_or_else(|| panic!("{path} leads nowhere"));
        assert_eq!(
            (&*target.business_id, &*target.session_id),
            (business_id, session_id)
        );
    }
}

#[test]
fn django_refuses_what_the_package_has_no_route_for() {
    for path in [
        "",
        "/",
        "/ws/chat/1/session-123",
        "/WS/chat/1/session-123/",
        "/ws/chat//1/session-123/",
        "/ws/chat/1//",
        "/ws/chat/1/",
        "/ws/chat//a/",
        "/ws/chat/-1/a/",
        "/ws/chat/a/a/",
        "/ws/chat/1/a/b/",
        "/ws/chat/1/a%2Fb/",
        "/ws/chat/1/a/%0A",
        "/ws/chat/1/a/\n",
        "/ws/chat/1%20/a/",
        "/ws/chat/\u{b2}/a/",
        "/ws/chat/\u{2160}/a/",
        "/ws/chat/\u{4e00}/a/",
        "/ws/chat/%FF/a/",
        "/ws/chat/1_0/a/",
        "/x/ws/chat/1/a/",
    ] {
        assert_eq!(match_django(path), None, "{path:?}");
    }
}

#[test]
fn django_numbers_are_the_value_of_their_digits() {
    let number = |id: &str| {
        let target = match_django(&format!("/ws/chat/{id}/a/")).expect("digits");
        target.business_number()
    };
    assert_eq!(number("0"), Some(0));
    assert_eq!(number("007"), Some(7));
    assert_eq!(number("\u{661}\u{662}"), Some(12));
    assert_eq!(number("\u{ff19}9\u{1d7ff}"), Some(999));
    assert_eq!(number("9223372036854775808"), Some(1 << 63));
    assert_eq!(number(&u128::MAX.to_string()), Some(u128::MAX));
    assert_eq!(number("340282366920938463463374607431768211456"), None);
    assert_eq!(number(&"9".repeat(5000)), None);
    assert_eq!(number(&format!("{}1", "0".repeat(5000))), Some(1));
}

proptest! {
    #[test]
    fn a_match_always_names_a_legal_room(path in "/ws/chat/[0-9%a-f./]{1,8}/[%0-9a-zA-Z./é*]{0,20}/") {
        if let Some(room) = router().match_path(&path).and_then(|found| found.room) {
            prop_assert_eq!(RoomName::chat(room.business_id(), room.session_id()), Some(room));
        }
    }

    #[test]
    fn arbitrary_paths_never_panic(path in ".{0,60}", tail in "(%[0-9A-F]{0,2}|/|.){0,20}") {
        let path = format!("{path}/ws/chat/1/{tail}");
        let _strict = router().match_path(&path);
        let _lenient = match_django(&path);
    }
}
