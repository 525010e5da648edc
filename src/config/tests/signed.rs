//! Sections of views that are asked by signed requests, `[vet]` and `[assistant.webhook]`: what is the same in both.

use super::{assert_refused, load_file};

const SECRET: &str = "hidden-hidden-hidden";

/// One such section.
pub(super) struct SignedSection {
    /// The lines that make it count.
    pub(super) on: &'static str,
    pub(super) name: &'static str,
}

/// What a file says, and parts of what is said of it.
pub(super) type JudgedFile<'r> = (String, &'r [&'r str]);

impl SignedSection {
    /// A file with these lines of the section.
    pub(super) fn with(&self, lines: &str) -> String {
        format!("{}\n[{}]\n{lines}", self.on, self.name)
    }

    /// The same beside an address and a secret.
    pub(super) fn good(&self, lines: &str) -> String {
        self.of_url("http://localhost/") + lines
    }

    /// With this address, and a secret.
    pub(super) fn of_url(&self, url: &str) -> String {
        self.with(&format!("url = \"{url}\"\nsecret = \"{SECRET}\"\n"))
    }

    /// What is refused in both, and `own` in this one.
    #[track_caller]
    pub(super) fn check_refused(&self, own: &[JudgedFile<'_>]) {
        let key = |key: &str| format!("{}.{key}", self.name);
        let [url, secret, file, host, timeout] =
            ["url", "secret", "secret_file", "host", "timeout"].map(key);
        let (file_too, no_wait) = (format!("{file} is too"), "longer than zero");
        let no_secret = "the site could not tell who asks";
        #[rustfmt::skip]
        let table: &[JudgedFile<'_>] = &[
            (self.with(""), &[&url, "is unset"]),
            (self.with(""), &[&secret, no_secret]),
            (self.with("url = \"http://a/\""), &[&secret, "is unset", no_secret]),
            (self.of_url("127.0.0.1:8001/answer/"), &[&url, "is not an address"]),
            (self.of_url("http://a b/"), &[&url, "is not an address"]),
            (self.of_url("http:///answer/"), &[&url, "is not an address"]),
            (self.of_url("http://a:99999/"), &[&url, "is not an address"]),
            (self.of_url("http://a/#x"), &["has a fragment"]),
            (self.of_url("ftp://a/"), &["neither http nor https"]),
            (self.of_url("http://user:hidden@a/"), &["has a user or a password"]),
            (self.with("url = \"http://a/\"\nsecret = \"hidden\""), &[&secret, "too short"]),
            (self.with("url = \"http://a/\"\nsecret = \"\""), &[&secret, "is empty"]),
            (self.with("url = \"http://a/\"\nsecret_file = \"no/such/file\""), &[&file, "is not a file"]),
            (self.good("secret_file = \"Cargo.toml\""), &[&file_too]),
            (self.good("host = \"a b\""), &[&host, "is no host"]),
            (self.good("timeout = \"0s\""), &[&timeout, no_wait]),
            (self.good("redirects = 1"), &["unknown key"]),
        ];
        for (text, fragments) in table.iter().chain(own) {
            let result = load_file(text);
            if let Err(error) = &result {
                assert!(!error.to_string().contains("hidden"), "{error}");
            }
            assert_refused(text, result, fragments);
        }
    }

    /// What is warned of in both, and `own` in this one; nothing of what is good.
    #[track_caller]
    pub(super) fn check_warned(&self, own: &[JudgedFile<'_>]) {
        let table: &[JudgedFile<'_>] = &[
            (
                self.of_url("http://site:8001/"),
                &[
                    "url: is off this machine and without TLS",
                    "can be read on the way",
                ],
            ),
            (
                self.good("ca_file = \"Cargo.toml\""),
                &["has no effect without TLS"],
            ),
        ];
        for (text, fragments) in table.iter().chain(own) {
            let loaded = load_file(text).expect(text);
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            let is_said = |fragment: &&str| warnings[0].contains(*fragment);
            assert!(
                warnings.len() == 1 && fragments.iter().all(is_said),
                "{text}: {warnings:?}"
            );
        }
        let loaded = load_file(&self.good("")).expect("good");
        assert_eq!(loaded.warnings, []);
        assert!(!format!("{:?}", loaded.config).contains("hidden-hidden"));
    }
}
