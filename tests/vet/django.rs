//! The manual's view in a real Django site.

use super::{result, text};
use crate::manual::section;
use crate::support::{Django, Gateway, user};
use crate::webhook::SECRET;
use std::ffi::OsStr;

/// How long a view of the manual may be, without empty lines.
const LINES_MAX: usize = 15;

#[test]
fn the_manual_s_view_vets_what_is_signed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, view) = section("vet view");
    let view = view.trim_start_matches("```python").trim_end_matches("```");
    let lines = view.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= LINES_MAX, "{lines} lines");
    std::fs::write(folder.path().join("vet_view.py"), view).expect("the view");
    let arguments = [
        folder.path().as_os_str(),
        OsStr::new(SECRET),
        OsStr::new("vet"),
    ];
    let mut django = Django::start("webhook/django_site.py", &arguments);
    let port: u16 = django.line().parse().expect("a port");
    let url = format!("vet.url=http://127.0.0.1:{port}/supportal/vet/");
    let start = |secret: &str| {
        let secret = format!("vet.secret={secret}");
        let host = "vet.host=site.example";
        let settings = ["chat.vet=webhook", &*url, &*secret, host, "vet.timeout=60s"];
        Gateway::start(&settings)
    };
    let node = start(SECRET);
    let mut client = node.join("abc");
    for (said, expected) in [
        ("Gr\u{fc}\u{df}e", "Gr\u{fc}\u{df}e"),
        ("My password is 1234", "Please send no passwords"),
    ] {
        client.send_text(&user(said));
        assert_eq!(text(&mut client), expected);
    }
    assert_eq!((result(&node, "passed"), result(&node, "refused")), (1, 1));
    let stranger = start("another-secret-0123456789");
    let mut client = stranger.join("abc");
    client.send_text(&user("My password is 1234"));
    text(&mut client);
    assert_eq!(result(&stranger, "client_error"), 1);
}
