//! Which names the `core` layer takes, as `BaseChannelLayer` of `channels` 4.3 judges them.

use regex::Regex;
use std::sync::LazyLock;

/// Names are shorter than this, in characters.
const NAME_CHARS: usize = 100;

// `\d` and letters are Unicode's in Python too; its `$` also accepts one newline at the end.
static GROUP: LazyLock<Regex> = LazyLock::new(|| rule(r"\A[a-zA-Z\d\-_.]+\n?\z"));
static CHANNEL: LazyLock<Regex> =
    LazyLock::new(|| rule(r"\A[a-zA-Z\d\-_.]+(![\p{L}\p{N}_\-.]*)?\n?\z"));

fn rule(expression: &str) -> Regex {
    Regex::new(expression).expect("invariant: a constant expression that a test compiles")
}

/// Would the `core` layer take this as a group's name? Layer `pubsub` takes anything.
pub(in crate::channels) fn is_group_name(name: &str) -> bool {
    is_short(name) && GROUP.is_match(name)
}

/// Would the `core` layer take this as a channel's name?
pub(in crate::channels) fn is_channel_name(name: &str) -> bool {
    is_short(name) && CHANNEL.is_match(name)
}

fn is_short(name: &str) -> bool {
    name.len() < NAME_CHARS || name.chars().count() < NAME_CHARS
}
