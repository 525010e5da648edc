//! Why Redis did not do what it was asked, and why the way over it is not there.

use super::fault::{RedisFault, is_of_redis, is_of_room, judge};
use std::borrow::Cow;
use std::io;

/// What went wrong with one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nobody answered in time.
    Timeout,
    /// The connection broke or could not be made, or its TLS.
    Transport,
    /// The connection is no longer of use, whatever the details say.
    Gone,
    /// Redis, or the library, says no.
    Refused,
}

/// Why one command failed.
#[derive(Debug)]
pub struct CommandError {
    kind: ErrorKind,
    /// The library's word for the kind.
    label: &'static str,
    details: Box<str>,
}

impl CommandError {
    /// An error as the library or Redis says it.
    pub fn new(kind: ErrorKind, label: &'static str, details: &str) -> Self {
        Self {
            kind,
            label,
            details: details.into(),
        }
    }

    /// Whose fault it is, by those words.
    pub(crate) fn fault(&self) -> RedisFault {
        judge(&self.details)
    }

    /// Is the way over this Redis broken, or has Redis only refused a command?
    pub(crate) fn is_about_connection(&self) -> bool {
        self.kind != ErrorKind::Refused || self.fault() == RedisFault::Redis
    }

    /// Has Redis answered, so that nothing was done and nothing will be?
    pub(crate) fn was_answered(&self) -> bool {
        self.kind == ErrorKind::Refused && is_of_redis(&self.details)
    }

    /// Does no Sentinel know the service that it was asked for? In the client library's words.
    pub(super) fn is_of_no_service(&self) -> bool {
        self.details.starts_with("Missing primary address")
    }

    /// Has Redis said that a key holds what is none of ours?
    pub(crate) fn is_about_key(&self) -> bool {
        is_of_room(&self.details)
    }

    /// Is something wrong with one room's keys alone?
    pub(crate) fn is_about_room(&self) -> bool {
        self.fault() == RedisFault::Room
    }
}

/// In one line, without the address it may repeat and without rooms' names.
impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let details = crate::name::hide_rooms(system_text(&self.details).as_ref());
        let end = details.floor_char_boundary(160);
        let details = details.get(..end).unwrap_or_default();
        let details = details.replace(char::is_control, " ");
        let (label, fix) = (self.label, fix(&self.details));
        let details = match fix {
            "" => details.as_str(),
            _ => details.trim_end_matches([' ', '.']),
        };
        match self.kind {
            ErrorKind::Timeout => f.write_str("no answer within bridge.command_timeout"),
            // The library's word for it says less than Redis' own.
            _ if is_of_redis(&self.details) => write!(f, "{details}{fix}"),
            _ => write!(f, "{label}: {details}{fix}"),
        }
    }
}

impl std::error::Error for CommandError {}

/// What an error of the system says, of which the library gives the form for programmers: `Os { code: 111, kind: … }`.
fn system_text(details: &str) -> Cow<'_, str> {
    let code = |rest: &str| rest.split(',').next()?.parse().ok();
    if let Some(code) = details.strip_prefix("Os { code: ").and_then(code) {
        return io::Error::from_raw_os_error(code).to_string().into();
    }
    let custom = details.strip_prefix("Custom { kind: ");
    let inside = custom.and_then(|custom| custom.split_once(", error: "));
    let text = inside.map_or(details, |(_kind, error)| error.trim_end_matches(" }"));
    text.trim_matches('"').into()
}

/// Why the way over a Redis is not there.
#[derive(Debug, thiserror::Error)]
pub enum LinkFailure {
    /// The library's: refused, broken, timed out, not allowed.
    #[error(transparent)]
    Redis(#[from] CommandError),
    /// The server is a replica: what is published there reaches nobody else.
    #[error("it is a read-only replica")]
    Replica,
    /// The server is a Sentinel, which carries nothing.
    #[error("it is a Sentinel: write redis-sentinel://, and sentinelServiceName= behind the ?")]
    Sentinel,
    /// The server is one of a Cluster, and has a part of the keys.
    #[error("it is a server of a Cluster: write redis-cluster:// (with TLS rediss-cluster://)")]
    Cluster,
    /// Something else is there than the address says.
    #[error("{0}")]
    Mismatch(Box<str>),
    /// A canary did not come back: what is published does not arrive.
    #[error("a canary did not come back within bridge.command_timeout")]
    Canary,
    /// The slots of a cluster have moved: subscriptions with them.
    #[error("the cluster's slots have moved")]
    Moved,
    /// The library's task panicked or vanished.
    #[error("the connection's task ended")]
    Ended,
    /// The node is going down.
    #[error("the node is going down")]
    Stopped,
}

/// What to do where certificates do not agree, of which rustls tells the cause alone; or where another kind of server answers
/// than was written.
fn fix(details: &str) -> &'static str {
    const TRUST: &str =
        "; name the server's certificate, or its authority's, in bridge.ca_file or ssl_ca_certs";
    const ALONE: &str = "; it is no Cluster: write redis:// (with TLS rediss://)";
    const FIXES: [(&str, &str); 7] = [
        ("cluster support disabled", ALONE),
        ("unknown command 'CLUSTER'", ALONE),
        (
            "unknown command 'SENTINEL'",
            "; it is no Sentinel: write redis:// (with TLS rediss://)",
        ),
        ("CaUsedAsEndEntity", TRUST),
        ("UnknownIssuer", TRUST),
        (
            "NotValidForName",
            "; write the host that the certificate names, or ?ssl_check_hostname=false",
        ),
        (
            "AlertReceived(CertificateRequired)",
            "; it asks who we are: set bridge.client_cert and bridge.client_key",
        ),
    ];
    // Redis 6 quotes otherwise.
    let details = details.replace('`', "'");
    let known = FIXES.iter().find(|(cause, _)| details.contains(cause));
    known.map_or("", |(_, fix)| fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_says_stands_alone_and_with_what_to_do() {
        for (label, details, said) in [
            (
                "Unknown Error",
                "OOM command not allowed when used memory > 'maxmemory'.",
                "OOM command not allowed when used memory > 'maxmemory'.",
            ),
            (
                "Unknown Error",
                "NOREPLICAS Not enough good replicas to write.",
                "NOREPLICAS Not enough good replicas to write.",
            ),
            (
                "Invalid Argument",
                "WRONGTYPE Operation against a key",
                "WRONGTYPE Operation against a key",
            ),
            (
                "Config Error",
                "ERR This instance has cluster support disabled",
                "ERR This instance has cluster support disabled; it is no Cluster: write redis:// (with TLS rediss://)",
            ),
            (
                "Sentinel Error",
                "ERR unknown command `SENTINEL`, with args ",
                "ERR unknown command `SENTINEL`, with args; it is no Sentinel: write redis:// (with TLS rediss://)",
            ),
            (
                "Sentinel Error",
                "Failed to connect.",
                "Sentinel Error: Failed to connect.",
            ),
        ] {
            let error = CommandError::new(ErrorKind::Refused, label, details);
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn an_error_of_the_system_is_said_in_its_words() {
        for (details, said) in [
            (
                "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }",
                "IO Error: Connection refused (os error 111)",
            ),
            (
                "Custom { kind: InvalidData, error: \"not a name\" }",
                "IO Error: not a name",
            ),
            (
                "Custom { kind: InvalidData, error: InvalidCertificate(Expired) }",
                "IO Error: InvalidCertificate(Expired)",
            ),
            ("broken pipe", "IO Error: broken pipe"),
        ] {
            let error = CommandError::new(ErrorKind::Transport, "IO Error", details);
            assert_eq!(error.to_string(), said);
        }
    }
}
