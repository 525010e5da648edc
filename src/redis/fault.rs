//! Whose fault is it when Redis answers with an error?
//!
//! Redis 7 says `READONLY You can't write … script: f…, on @user_script:9.`; Redis 6.2 wraps what a
//! script ran into: `ERR Error running script (call to f_…): @user_script:9: @user_script: 9:
//! -READONLY You can't write …`. So the code counts wherever it stands.

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisFault {
    /// Redis as a whole, for now: what was refused is kept, and tried again.
    Redis,
    /// Our rights: somebody must change them.
    Rights,
    /// One room's keys: somebody else's, or broken.
    Room,
}

/// Codes about Redis as a whole, from its own source and that of Sentinel and Cluster.
const OF_REDIS: [&str; 19] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "EXECABORT",
    "INPROG",
    "IOERR",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOMASTERLINK",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
    "UNKILLABLE",
];

/// Codes about who we are.
const OF_RIGHTS: [&str; 4] = ["DENIED", "NOAUTH", "NOPERM", "WRONGPASS"];

/// Codes about a room's keys; the last one is of our own functions.
const OF_ROOM: [&str; 4] = ["BUSYGROUP", "NOGROUP", "WRONGTYPE", "FOREIGN"];

/// What the first code in an error is about.
fn known(details: &str) -> Option<RedisFault> {
    let mut codes = details
        .split(|character: char| character.is_whitespace() || character == ':')
        .map(|word| word.trim_start_matches('-'));
    // The first that is one: what follows a code is prose.
    codes.find_map(|word| {
        let is_one_of = |codes: &[&str]| codes.contains(&word);
        if is_one_of(&OF_ROOM) {
            Some(RedisFault::Room)
        } else if is_one_of(&OF_RIGHTS) {
            Some(RedisFault::Rights)
        } else {
            is_one_of(&OF_REDIS).then_some(RedisFault::Redis)
        }
    })
}

/// Are these the words of Redis itself? The client library has some of its own for a command that it may have sent.
pub(crate) fn is_of_redis(details: &str) -> bool {
    details.starts_with("ERR ") || known(details).is_some()
}

/// Does a key hold what is none of ours, by a code of Redis or of our functions?
pub(crate) fn is_of_room(details: &str) -> bool {
    known(details) == Some(RedisFault::Room)
}

/// Judges an error by the words of Redis.
pub(crate) fn judge(details: &str) -> RedisFault {
    known(details).unwrap_or_else(|| {
        let prose = details.to_ascii_lowercase();
        if prose.contains("max number of clients") {
            RedisFault::Redis
        } else if details.starts_with("ERR ") {
            // What a function says of the keys it was given; others may go on.
            RedisFault::Room
        } else {
            RedisFault::Redis
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code and text of Redis 7, and whose fault it is. Each is tried as every version says it.
    const ERRORS: &[(&str, RedisFault)] = &[
        (
            "READONLY You can't write against a read only replica.",
            RedisFault::Redis,
        ),
        (
            "LOADING Redis is loading the dataset in memory",
            RedisFault::Redis,
        ),
        (
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            RedisFault::Redis,
        ),
        ("CLUSTERDOWN The cluster is down", RedisFault::Redis),
        ("CLUSTERDOWN Hash slot not served", RedisFault::Redis),
        ("MOVED 3999 127.0.0.1:6381", RedisFault::Redis),
        ("ASK 3999 127.0.0.1:6381", RedisFault::Redis),
        (
            "TRYAGAIN Multiple keys request during rehashing of slot",
            RedisFault::Redis,
        ),
        (
            "CROSSSLOT Keys in request don't hash to the same slot",
            RedisFault::Redis,
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'.",
            RedisFault::Redis,
        ),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            RedisFault::Redis,
        ),
        (
            "MISCONF Errors writing to the AOF file: No space left on device",
            RedisFault::Redis,
        ),
        (
            "NOSCRIPT No matching script. Please use EVAL.",
            RedisFault::Redis,
        ),
        (
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            RedisFault::Redis,
        ),
        (
            "NOREPLICAS Not enough good replicas to write.",
            RedisFault::Redis,
        ),
        (
            "EXECABORT Transaction discarded because of previous errors.",
            RedisFault::Redis,
        ),
        (
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            RedisFault::Redis,
        ),
        ("ERR max number of clients reached", RedisFault::Redis),
        (
            "NOPERM this user has no permissions to run the 'xadd' command",
            RedisFault::Rights,
        ),
        ("NOPERM No permissions to access a key", RedisFault::Rights),
        ("NOAUTH Authentication required.", RedisFault::Rights),
        (
            "WRONGPASS invalid username-password pair or user is disabled.",
            RedisFault::Rights,
        ),
        (
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            RedisFault::Room,
        ),
        ("FOREIGN entry 1-1 is none of a gateway", RedisFault::Room),
        (
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
            RedisFault::Room,
        ),
        (
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            RedisFault::Room,
        ),
        (
            "ERR value is not an integer or out of range",
            RedisFault::Room,
        ),
        ("ERR syntax error", RedisFault::Room),
        // Of an old Redis, or of one where it is renamed: the session's canary has failed before.
        (
            "ERR unknown command 'XADD', with args beginning with: 's'",
            RedisFault::Room,
        ),
        // No code of Redis: of something in between.
        ("UNAVAILABLE no healthy upstream", RedisFault::Redis),
        ("", RedisFault::Redis),
    ];

    #[test]
    fn the_code_counts_wherever_it_stands() {
        let sha = "7f3c1b0c2a4e6f8091a2b3c4d5e6f708192a3b4c";
        for (text, fault) in ERRORS {
            let mut said = vec![(*text).to_owned()];
            let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
            if !text.is_empty() && code != "UNAVAILABLE" {
                said.extend([
                    // 7.0 and later, out of a function.
                    format!("{text} script: {sha}, on @user_script:31."),
                    // 6.0 and 6.2, and 5.0.
                    format!("ERR Error running script (call to f_{sha}): @user_script:31: @user_script: 31: -{text}"),
                    format!("ERR Error running script (call to f_{sha}): @user_script:31: {text}"),
                    format!("ERR Error running script (call to f_{sha}): @user_script:31:{code} {rest}"),
                ]);
            }
            for said in said {
                assert_eq!(judge(&said), *fault, "{said}");
            }
        }
    }

    #[test]
    fn words_of_the_client_library_are_none_of_redis() {
        for text in [
            "Too many failed write attempts.",
            "Connection closed unexpectedly.",
            "Failed to route command.",
            "",
        ] {
            assert!(!is_of_redis(text), "{text}");
        }
        for (text, _) in ERRORS {
            let is_code = !text.is_empty() && !text.starts_with("UNAVAILABLE");
            assert_eq!(is_of_redis(text), is_code, "{text}");
        }
    }

    #[test]
    fn a_word_of_prose_or_within_a_word_is_no_code() {
        for (text, fault) in [
            (
                "ERR BUSYGROUP Consumer Group name already exists",
                RedisFault::Room,
            ),
            (
                "ERR user_script:31: attempt to compare nil with number",
                RedisFault::Room,
            ),
            (
                "ERR readonly is no code and neither is moved or busy",
                RedisFault::Room,
            ),
            ("WRONGTYPE not READONLY", RedisFault::Room),
        ] {
            assert_eq!(judge(text), fault, "{text}");
        }
    }
}
