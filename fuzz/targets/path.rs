//! The route match. First line: a request's path; the lines after it: routes of a configuration.
//! The strict match agrees with a model of its two rules (decode once, then validate), a room's
//! name is a legal group of Channels, whatever the strict match serves the lenient one serves with
//! the same ids, and no path matches two routes that were accepted together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use supportal::config::{CHAT_PATH, Handler, Route};
use supportal::RoomName;
use supportal::internal::server::{Match, Router, match_django};

/// Business and session, as the contract reads a path.
fn model(path: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = path.split('/').collect();
    let ["", "ws", "chat", business, session, ""] = parts[..] else {
        return None;
    };
    let (business, session) = (unescape(business)?, unescape(session)?);
    let number = business.parse::<u64>().ok()?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = number.to_string() == business
        && business.len() <= 18
        && (1..=64).contains(&session.len())
        && session.chars().all(legal)
        && session != "."
        && session != "..";
    good.then_some((business, session))
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2)?;
        if !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        out.push(u8::from_str_radix(digits, 16).ok()?);
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).ok()
}

fn route(path: &str) -> Route {
    Route::new(path, Handler::Chat)
}

fn check_room(found: &Match) {
    let Some(room) = &found.room else {
        return;
    };
    let name = room.as_str();
    assert!(name.len() < 100, "Channels refuses {name}");
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    assert!(name.bytes().all(legal), "Channels refuses {name}");
    assert_eq!(RoomName::parse(name).as_ref(), Some(room));
}

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let path = lines.next().unwrap_or_default();
    let strict = Router::new(&[route(CHAT_PATH)]).expect("the default route");
    let found = strict.match_path(path);
    let ids = found.as_ref().and_then(|found| {
        let room = found.room.as_ref()?;
        Some((room.business_id().to_owned(), room.session_id().to_owned()))
    });
    assert_eq!(ids, model(path), "{path:?}");
    let django = match_django(path);
    if let Some(found) = &found {
        check_room(found);
        let lenient = django
            .clone()
            .map(|target| (target.business_id, target.session_id));
        assert_eq!(lenient, ids, "{path:?}");
    }
    if let Some(target) = django {
        assert!(target.business_id.chars().all(char::is_numeric));
        assert!(!target.session_id.is_empty() && !target.session_id.contains('/'));
        if let Ok(number) = target.business_id.parse::<u64>() {
            assert_eq!(target.business_number(), Some(u128::from(number)));
        }
    }
    let routes: Vec<Route> = lines.map(route).collect();
    if let Ok(together) = Router::new(&routes) {
        let alone = routes.iter().filter_map(|route| {
            let router = Router::new(std::slice::from_ref(route)).expect("accepted before");
            router.match_path(path)
        });
        let mut alone = alone.collect::<Vec<_>>();
        assert!(alone.len() <= 1, "{path:?} has two routes of {routes:?}");
        alone.iter().for_each(check_room);
        assert_eq!(together.match_path(path), alone.pop());
    }
});
