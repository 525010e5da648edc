//! The manual's view in a real Django site, with real users and sessions.

use super::PATH;
use crate::manual::section;
use crate::support::{Client, Django, Frame, Gateway};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::time::Duration;
use tempfile::TempDir;

/// How long Python and a debug build may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A site with the manual's view.
struct ViewSite {
    django: Django,
    port: u16,
    _folder: TempDir,
}

impl ViewSite {
    #[track_caller]
    fn start() -> Self {
        Self::start_with(&[])
    }

    #[track_caller]
    fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, view) = section("view");
        let view = view.trim_start_matches("```python").trim_end_matches("```");
        std::fs::write(folder.path().join("chat_view.py"), view).expect("the view");
        let mut all = vec![folder.path().as_os_str()];
        all.extend(arguments.iter().map(OsStr::new));
        let mut django = Django::start("forward/django_site.py", &all);
        let port = django.line().parse().expect("a port");
        Self {
            django,
            port,
            _folder: folder,
        }
    }

    #[track_caller]
    fn order(&mut self, order: &Value) -> Value {
        self.django.order(order)
    }

    /// Logs somebody in; the browser's cookies.
    #[track_caller]
    fn login(&mut self, user: &str) -> String {
        let key = self.order(&json!({ "do": "login", "user": user }));
        format!("csrftoken=x; sessionid={}", key.as_str().expect("a key"))
    }

    #[track_caller]
    fn gateway(&self, settings: &[&str]) -> Gateway {
        let url = format!(
            "auth.forward.url=http://127.0.0.1:{}/supportal/who/",
            self.port
        );
        let mut all = vec![
            "auth.mode=forward",
            "origin.allowed=*",
            "auth.forward.host=site.example",
            "auth.forward.cookies=[\"sessionid\"]",
            "auth.forward.timeout=30s",
            &url,
        ];
        all.extend(settings);
        Gateway::start(&all)
    }
}

/// Opens a session as a browser with these cookies.
fn open(gateway: &Gateway, session: &str, cookies: &str) -> Result<Client, u16> {
    gateway
        .try_connect_with(&format!("{PATH}{session}/"), &[("Cookie", cookies)])
        .map_err(|refusal| refusal.status)
}

#[test]
fn users_of_a_django_site_come_into_its_sessions_and_nobody_else_does() {
    let mut site = ViewSite::start();
    site.order(&json!({ "do": "open_session", "session": "abc" }));
    let (ann, bob) = (site.login("ann"), site.login("bob"));
    let gateway = site.gateway(&["auth.forward.cache=0s", "auth.forward.cache_refused=0s"]);
    for cookies in [&ann, &bob] {
        let mut client = open(&gateway, "abc", cookies).expect("a user");
        client.skip_welcome();
    }
    for (session, cookies, status) in [
        ("abc", "", 401),
        ("abc", "sessionid=", 401),
        ("abc", "sessionid=0123456789abcdef0123456789abcdef", 401),
        ("abc", "sessionid=../../etc/passwd", 401),
        ("abc", "other=1", 401),
        ("def", &ann, 403),
    ] {
        let refused = open(&gateway, session, cookies).map(drop);
        assert_eq!(refused, Err(status), "{session} {cookies}");
    }
    site.order(&json!({ "do": "logout", "user": "ann" }));
    site.order(&json!({ "do": "deactivate", "user": "bob" }));
    for cookies in [&ann, &bob] {
        assert_eq!(open(&gateway, "abc", cookies).map(drop), Err(401));
    }
    let log = gateway.log();
    for cookies in [&ann, &bob] {
        let key = cookies.split_once("sessionid=").expect("a key").1;
        assert!(!log.contains(key), "{log}");
    }
}

#[test]
fn who_logs_out_or_whose_session_is_deleted_while_connected_is_closed_with_4503() {
    let mut site = ViewSite::start();
    for session in ["abc", "def"] {
        site.order(&json!({ "do": "open_session", "session": session }));
    }
    let (ann, bob) = (site.login("ann"), site.login("bob"));
    let gateway = site.gateway(&["auth.forward.recheck=1s"]);
    let mut clients = [("abc", &ann), ("abc", &bob), ("def", &bob)].map(|(session, cookies)| {
        let mut client = open(&gateway, session, cookies).expect("a user");
        client.skip_welcome();
        client
    });
    let not_allowed = Some(Frame::Close(Some((4503, "not allowed".to_owned()))));
    let [logged_out, stays, deleted] = &mut clients;
    site.order(&json!({ "do": "logout", "user": "ann" }));
    assert_eq!(logged_out.receive_within(PATIENCE), not_allowed);
    site.order(&json!({ "do": "delete_session", "session": "def" }));
    assert_eq!(deleted.receive_within(PATIENCE), not_allowed);
    stays.send_text(&crate::support::user("still here"));
    assert_eq!(stays.receive_json()["message"], "still here");
}

#[test]
fn a_host_that_django_does_not_serve_lets_nobody_in_and_the_log_says_why() {
    let mut site = ViewSite::start();
    site.order(&json!({ "do": "open_session", "session": "abc" }));
    let ann = site.login("ann");
    let gateway = site.gateway(&["auth.forward.host=other.example"]);
    assert_eq!(open(&gateway, "abc", &ann).map(drop), Err(503));
    let log = gateway.wait_log("the site's answer is not understood", 1);
    let url = format!("\"url\":\"http://127.0.0.1:{}/supportal/who/\"", site.port);
    assert!(log.contains(&url), "{log}");
}

#[test]
fn a_site_that_redirects_to_https_is_asked_as_who_came_by_it_and_the_log_says_so_of_others() {
    let mut site = ViewSite::start_with(&["https"]);
    site.order(&json!({ "do": "open_session", "session": "abc" }));
    let ann = site.login("ann");
    let gateway = site.gateway(&[
        "proxy.trusted=127.0.0.1",
        "proxy.header=x-forwarded-for",
        "proxy.believe=for,proto",
        "auth.forward.cache=0s",
    ]);
    assert_eq!(open(&gateway, "abc", &ann).map(drop), Err(503));
    gateway.wait_log("the site redirects the question to https", 1);
    let fields = [
        ("Cookie", ann.as_str()),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
    ];
    let client = gateway.try_connect_with(&format!("{PATH}abc/"), &fields);
    assert_eq!(client.expect("a user").upgrade.status, 101);
}
