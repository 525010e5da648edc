//! What the command says to a node that does not give it the archive, and what the views say to strangers.

use super::*;

/// The last line of a command that fails.
#[track_caller]
fn refusal(site: &PackageSite, arguments: &[&str]) -> String {
    let output = site.try_manage(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    errors.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn whoever_cannot_be_read_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let without_archive = Gateway::start(&[&format!("api.token={TOKEN}")]);
    let mut site = PackageSite::new(None, &["abc"]).beside(&gateway);
    say(&mut gateway.join("abc"), "hello");
    let address = site.gateway["URL"].clone();
    let rows: [(&str, Value, &str); 5] = [
        (
            "TOKEN",
            Value::Null,
            "set SUPPORTAL_GATEWAY['TOKEN'], or SUPPORTAL_API__TOKEN",
        ),
        (
            "TOKEN",
            "another-token-0123456789".into(),
            "is not the node's api.token",
        ),
        (
            "URL",
            format!("http://{}", without_archive.public()).into(),
            "set archive.mode",
        ),
        ("URL", "http://127.0.0.1:1".into(), "cannot go on"),
        (
            "ULR",
            "http://127.0.0.1:1".into(),
            "SUPPORTAL_GATEWAY has no ULR",
        ),
    ];
    for (key, value, expected) in rows {
        site.gateway = json!({ "TOKEN": TOKEN, "URL": address });
        site.gateway[key] = value;
        let said = refusal(&site, &["supportal_archive", "--once"]);
        assert!(said.contains(expected), "{key}: {said}");
        assert!(!said.contains("another-token"), "{said}");
    }
    site.gateway = json!({ "TOKEN": TOKEN, "URL": address });
    site.manage(&["supportal_archive", "--once"]);
    assert_eq!(said(&site.rows()), [("abc", "USER", "hello")]);
}

#[test]
fn the_archive_of_another_node_is_begun_only_when_that_is_asked_for() {
    let (folder, other_folder) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let gateway = keeping(&folder, &[]);
    let site = PackageSite::new(None, &["abc"]).beside(&gateway);
    say(&mut gateway.join("abc"), "one");
    site.manage(&["supportal_archive", "--once"]);
    let other = keeping(&other_folder, &[]);
    say(&mut other.join("abc"), "two");
    let site = site.beside(&other);
    let refused = refusal(&site, &["supportal_archive", "--once"]);
    assert!(refused.contains("run with --restart"), "{refused}");
    site.manage(&["supportal_archive", "--once", "--restart"]);
    assert_eq!(
        said(&site.rows()),
        [("abc", "USER", "one"), ("abc", "USER", "two")]
    );
}
