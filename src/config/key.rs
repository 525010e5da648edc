//! What is declared of a setting: loader, documents and `supportal config` read it.

/// What a key's value is, in the words of its error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A whole number of at least zero.
    Count,
    /// A number of at least zero that may have a fraction.
    Decimal,
    /// `true` or `false`.
    Switch,
    /// Text.
    Text,
    /// Text that is never printed.
    Secret,
    /// Text such as `"60s"`.
    Duration,
    /// A number of bytes, or `"auto"`.
    Size,
    /// Text such as `"127.0.0.1:8000"`.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of some of these words.
    Choices(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A list of texts that are never printed.
    Secrets,
    /// A list of addresses with passwords in them, printed without.
    Urls,
    /// A list of hosts, each an address as in `Urls` or in another form of channels_redis.
    Hosts,
    /// An array of tables whose entries have these fields.
    Tables(&'static [&'static str]),
}

impl KeyKind {
    /// The word for the kind in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Count => "number",
            Self::Decimal => "decimal",
            Self::Switch => "switch",
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Duration => "duration",
            Self::Size => "bytes",
            Self::Address => "address",
            Self::Choice(_) => "choice",
            Self::Choices(_) => "choices",
            Self::List => "list",
            Self::Secrets => "secrets",
            Self::Urls => "addresses",
            Self::Hosts => "hosts",
            Self::Tables(_) => "tables",
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`, a section being one name or several with dots; only `routes` has none.
    pub path: &'static str,
    /// What its value is.
    pub kind: KeyKind,
    /// When a new value counts.
    pub change: Applies,
    /// May an entry of `[[routes]]` have a value of its own?
    pub per_route: bool,
    /// One sentence: unit, meaning, what zero means.
    pub doc: &'static str,
}

/// When the new value of a key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// From a reload on, while the node runs.
    Live,
    /// From the next start on.
    Restart,
}

impl Applies {
    /// The word for it in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub struct SectionKeys {
    /// The section's heading, empty for the top level.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// The section's keys, in the order of the documents.
    pub keys: &'static [Key],
}

impl Key {
    /// The section, empty for a key of the top level.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// The key inside its section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn environment(&self) -> String {
        format!(
            "{ENVIRONMENT_PREFIX}{}",
            self.path.replace('.', "__").to_ascii_uppercase()
        )
    }
}

/// What the names of our environment variables begin with.
pub const ENVIRONMENT_PREFIX: &str = "SUPPORTAL_";
