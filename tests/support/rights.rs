//! What `check --redis` prints of the rights it needs, given to a user of Redis.

use super::redis::{Redis, Reply};

/// The rights under this title in what the check prints.
#[track_caller]
pub(crate) fn rights(output: &str, title: &str) -> Vec<String> {
    let title = format!("{title} (ACL): ");
    let line = output
        .lines()
        .find_map(|line| line.trim().strip_prefix(&title));
    let line = line.unwrap_or_else(|| panic!("no {title} in {output}"));
    line.split(' ').map(str::to_owned).collect()
}

/// Makes the user `chat` of these servers one with exactly these rights, its password `secret`.
#[track_caller]
pub(crate) fn grant(servers: &[&Redis], rights: &[String]) {
    let mut words = vec!["ACL", "SETUSER", "chat", "reset", "on", ">secret"];
    words.extend(rights.iter().map(String::as_str));
    for redis in servers {
        assert_eq!(redis.command(&words).text(), "OK", "{words:?}");
        redis.command(&["ACL", "LOG", "RESET"]);
    }
}

/// Nothing was denied.
#[track_caller]
pub(crate) fn assert_no_denial(servers: &[&Redis]) {
    for redis in servers {
        assert_eq!(redis.command(&["ACL", "LOG"]), Reply::Array(Vec::new()));
    }
}

/// Takes each of the rights away in turn: `check`, which says whether all is well and why, must notice.
#[track_caller]
pub(crate) fn assert_each_is_needed(
    servers: &[&Redis],
    rights: &[String],
    what: &str,
    check: impl Fn() -> (bool, String),
) {
    for missing in rights {
        let others = rights.iter().filter(|one| *one != missing);
        grant(servers, &others.cloned().collect::<Vec<_>>());
        let (is_good, text) = check();
        // Everything may be had without some, and then it is said.
        let is_noticed = !is_good || text.contains("done without");
        // "reset" has done it already.
        assert!(
            is_noticed || missing == "resetchannels",
            "{what} without {missing}: {text}"
        );
    }
}
