//! How a setting is declared: once, with all there is to know of it.
//!
//! ```text
//! section! {
//!     /// What one subscriber's socket has not taken yet.
//!     ["queue"] Queue {
//!         /// Most deliveries waiting for one subscriber.
//!         capacity: usize = 100, restart, in 1..=CAPACITY_MAX;
//!     }
//! }
//! ```
//!
//! The sentence is the key's meaning, unit and zero included; the type says its kind; then its default, whether a
//! change takes a restart or is taken while the node runs (`live`), whether a route may have a value of its own (`per
//! route`), and the range that is legal for it alone. Of this come
//! the struct with its serde form, its `Default`, the [`Key`](super::key::Key)s that loader and documents go by, and
//! the checks of ranges. Sections inside a section follow its keys, as fields; each is declared by itself. What relates several keys is checked by hand (`validate`).

use super::key::KeyKind;
use super::problem::Findings;
use super::secret::Secret;
use super::units::format_duration;
use std::net::SocketAddr;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

/// A type of values: which kind of key has it.
pub(super) trait Setting {
    const KIND: KeyKind;
}

/// Kinds by type.
macro_rules! kinds {
    ($($type:ty => $kind:expr,)+) => {$(
        impl $crate::config::setting::Setting for $type {
            const KIND: $crate::config::key::KeyKind = $kind;
        }
    )+};
}
pub(super) use kinds;

kinds! {
    usize => KeyKind::Count,
    u32 => KeyKind::Count,
    bool => KeyKind::Switch,
    String => KeyKind::Text,
    Option<String> => KeyKind::Text,
    Option<PathBuf> => KeyKind::Text,
    Duration => KeyKind::Duration,
    SocketAddr => KeyKind::Address,
    Option<SocketAddr> => KeyKind::Address,
    Vec<String> => KeyKind::List,
    Option<Secret> => KeyKind::Secret,
    Vec<Secret> => KeyKind::Secrets,
}

/// A value of which there may be too little or too much; each method says what is wrong, and the fix.
pub(super) trait Ranged: PartialOrd + Sized {
    /// Of less than the least.
    fn too_little(&self, least: &Self) -> (String, String);

    /// Of more than the most.
    fn too_much(&self, most: &Self) -> (String, String);

    /// Checks one key.
    fn check(&self, range: impl RangeBounds<Self>, key: &str, found: &mut Findings) {
        let (least, most) = (range.start_bound(), range.end_bound());
        let (what, fix) = match (least, most) {
            (Bound::Included(least), _) if self < least => self.too_little(least),
            (_, Bound::Included(most)) if self > most => self.too_much(most),
            _ => return,
        };
        found.error(key, what, fix);
    }
}

/// Numbers.
macro_rules! ranged_numbers {
    ($($number:ty),+) => {$(
        impl Ranged for $number {
            fn too_little(&self, least: &Self) -> (String, String) {
                (format!("{self} is too small"), format!("write at least {least}"))
            }

            fn too_much(&self, most: &Self) -> (String, String) {
                (format!("{self} is too large"), format!("write at most {most}"))
            }
        }
    )+};
}

ranged_numbers!(usize, u32);

impl Ranged for Duration {
    fn too_little(&self, least: &Self) -> (String, String) {
        let what = match self.is_zero() {
            true => "must be longer than zero".to_owned(),
            false => format!("{} is too short", format_duration(*self)),
        };
        (
            what,
            format!("write at least \"{}\"", format_duration(*least)),
        )
    }

    fn too_much(&self, most: &Self) -> (String, String) {
        let most = format_duration(*most);
        let fix = format!("check the unit; write at most \"{most}\"");
        (format!("is longer than {most}"), fix)
    }
}

/// Checks keys that share a least value which is none of their own: `why` it is, and what to write `instead`.
pub(super) fn check_least(
    keys: &[(&str, usize)],
    least: usize,
    (why, instead): (&str, &str),
    found: &mut Findings,
) {
    for (key, value) in keys.iter().filter(|(_, value)| *value < least) {
        let what = format!("{value} is too small{why}");
        found.error(*key, what, format!("write at least {least}{instead}"));
    }
}

/// The shortest wait that is no slip.
pub(super) const SHORT: Duration = milliseconds(10);
/// The longest wait for another node or Redis.
pub(super) const HOUR: Duration = seconds(3600);
/// The longest wait in a server; a longer one is a slip in the unit.
pub(super) const DAY: Duration = seconds(24 * 3600);
/// Deadlines and waits: above zero, and no longer than anybody means.
pub(super) const WAIT: RangeInclusive<Duration> = SHORT..=DAY;
/// Entries of a queue, mailbox or outbox; above this it is bounded by its bytes alone.
pub(super) const CAPACITY_MAX: usize = 1 << 20;
/// Sizes end up in 32-bit lengths and in sums of them.
pub(super) const BYTES_MAX: usize = 1 << 30;

/// A time of so many seconds.
pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A time of so many milliseconds.
pub(super) const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// When a new value counts, in the words of a declaration.
macro_rules! change {
    (live) => {
        $crate::config::key::Applies::Live
    };
    (restart) => {
        $crate::config::key::Applies::Restart
    };
}
pub(super) use change;

/// May a route have a value of its own, in the words of a declaration?
macro_rules! per_route {
    () => {
        false
    };
    (route) => {
        true
    };
}
pub(super) use per_route;

/// Declares a section; see the module.
macro_rules! section {
    (
        #[doc = $sentence:literal]
        [$section:literal] $type:ident {$(
            #[doc = $doc:literal]
            $(#[$serde:meta])*
            $name:ident: $field:ty = $default:expr, $change:ident $(per $route:ident)? $(, in $range:expr)?;
        )+}
        $(
            #[doc = $inner_doc:literal]
            $inner:ident: $inner_type:ty,
        )*
    ) => {
        #[doc = $sentence]
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $type {$(
            #[doc = $doc]
            $(#[$serde])*
            pub $name: $field,
        )+
        $(
            #[doc = $inner_doc]
            pub $inner: $inner_type,
        )*}

        impl Default for $type {
            fn default() -> Self {
                Self { $($name: $default,)+ $($inner: Default::default(),)* }
            }
        }

        impl $type {
            /// This section and its keys, as documents list them.
            pub(super) const SECTION: $crate::config::key::SectionKeys = $crate::config::key::SectionKeys {
                name: $section,
                doc: $sentence.trim_ascii(),
                keys: &[$($crate::config::key::Key {
                    path: concat!($section, ".", stringify!($name)),
                    kind: <$field as $crate::config::setting::Setting>::KIND,
                    change: $crate::config::setting::change!($change),
                    per_route: $crate::config::setting::per_route!($($route)?),
                    doc: $doc.trim_ascii(),
                },)+],
            };

            /// Takes the values of `next` that may change while a node runs, and notes every key whose value differs.
            pub(super) fn take_live(&mut self, next: &Self, changes: &mut $crate::config::changes::Changes) {
                $(if self.$name != next.$name {
                    let key = concat!($section, ".", stringify!($name));
                    if changes.note(key, $crate::config::setting::change!($change)) {
                        self.$name = next.$name.clone();
                    }
                })+
                $(self.$inner.take_live(&next.$inner, changes);)*
            }

            /// Checks each key against its own range.
            pub(super) fn check_ranges(&self, _found: &mut $crate::config::problem::Findings) {
                $($(
                    let key = concat!($section, ".", stringify!($name));
                    $crate::config::setting::Ranged::check(&self.$name, $range, key, _found);
                )?)+
                $(self.$inner.check_ranges(_found);)*
            }
        }
    };
}
pub(super) use section;

/// Declares an enum whose words may be written as a value.
macro_rules! choice {
    (
        $(#[$note:meta])*
        $type:ident {$(
            $(#[$variant_note:meta])*
            $variant:ident = $word:literal,
        )+}
    ) => {
        $(#[$note])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $type {$(
            $(#[$variant_note])*
            #[serde(rename = $word)]
            $variant,
        )+}

        $crate::config::setting::kinds! {
            $type => $crate::config::key::KeyKind::Choice(&[$($word),+]),
        }
    };
}
pub(super) use choice;

/// As [`choice`], where several may be written as a list.
macro_rules! choices {
    (
        $(#[$note:meta])*
        $type:ident {$(
            $(#[$variant_note:meta])*
            $variant:ident = $word:literal,
        )+}
    ) => {
        $crate::config::setting::choice! {
            $(#[$note])*
            $type {$(
                $(#[$variant_note])*
                $variant = $word,
            )+}
        }

        impl $type {
            /// The word for it in the settings.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {$(
                    Self::$variant => $word,
                )+}
            }
        }

        $crate::config::setting::kinds! {
            Vec<$type> => $crate::config::key::KeyKind::Choices(&[$($word),+]),
        }
    };
}
pub(super) use choices;
