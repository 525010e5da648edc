//! Why the server ends a connection: one table of close codes.
//!
//! A client decides by range whether to come back: 4500–4999 say "do not", and so does 1000, the
//! client's own; after everything else it comes back, after a random wait that grows.
//! [`FINAL_CODES`] is that rule, for `client.js` too: a test compares the two.
//! Source: RFC 6455 §7.4.1 and the IANA registry (1012, 1013). The manual's table is
//! [`markdown`], compared by a test.

/// A reason in bytes: a close frame holds 125, two of them are the code (RFC 6455 §5.5).
pub const REASON_BYTES_MAX: usize = 123;

/// Codes after which coming back cannot help, first and last of each range. After every other code, known
/// or not, and without a close frame a client comes back.
pub const FINAL_CODES: [(u16, u16); 2] = [(1000, 1000), (4500, 4999)];

/// Is this one of [`FINAL_CODES`]?
#[must_use]
pub const fn is_final(code: u16) -> bool {
    let [normal, stay_away] = FINAL_CODES;
    (code >= normal.0 && code <= normal.1) || (code >= stay_away.0 && code <= stay_away.1)
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client closed and is answered.
    Normal,
    /// This node drains.
    GoingAway,
    /// The peer broke RFC 6455.
    Protocol,
    /// A binary message.
    Unsupported,
    /// A text message that is not UTF-8.
    InvalidText,
    /// The peer broke a rule of this server.
    Policy,
    /// A message above the limit.
    TooBig,
    /// Our own failure.
    Internal,
    /// This node restarts.
    Restart,
    /// No room for this connection at the moment.
    TryLater,
    /// The client does not read what is sent to it.
    SlowReader,
    /// The client does not answer pings.
    NoPong,
    /// The client kept sending above its rate.
    TooMany,
    /// An operator ended it.
    Removed,
    /// What the client proved who it is with has expired.
    Expired,
    /// Who the client is has changed, in what it may do here.
    IdentityChanged,
    /// Who the client is may not be here any more.
    NotAllowed,
    /// The application asked for it, with this code: one that a close frame may carry.
    Asked(u16),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct CloseRow {
    code: u16,
    reason: &'static str,
    label: &'static str,
    reconnect: bool,
    meaning: &'static str,
}

const fn row(
    code: u16,
    label: &'static str,
    reconnect: bool,
    reason: &'static str,
    meaning: &'static str,
) -> CloseRow {
    CloseRow {
        code,
        reason,
        label,
        reconnect,
        meaning,
    }
}

impl CloseReason {
    /// Every reason with a code of its own, by code.
    pub const ALL: [Self; 17] = [
        Self::Normal,
        Self::GoingAway,
        Self::Protocol,
        Self::Unsupported,
        Self::InvalidText,
        Self::Policy,
        Self::TooBig,
        Self::Internal,
        Self::Restart,
        Self::TryLater,
        Self::SlowReader,
        Self::NoPong,
        Self::TooMany,
        Self::Removed,
        Self::Expired,
        Self::IdentityChanged,
        Self::NotAllowed,
    ];

    #[rustfmt::skip]
    const fn row(self) -> CloseRow {
        match self {
            Self::Normal => row(1000, "normal", false, "", "The client closed; the server answers with the client's own code."),
            Self::GoingAway => row(1001, "going_away", true, "server is draining", "This node stops; another one takes over."),
            Self::Protocol => row(1002, "protocol", true, "protocol error", "A frame broke RFC 6455."),
            Self::Unsupported => row(1003, "unsupported", true, "text messages only", "A binary message arrived."),
            Self::InvalidText => row(1007, "invalid_text", true, "text is not UTF-8", "A text message was not UTF-8."),
            Self::Policy => row(1008, "policy", true, "policy violation", "A rule of this server was broken, such as too many pings."),
            Self::TooBig => row(1009, "too_big", true, "message too big", "A message or its fragments exceeded the limit."),
            Self::Internal => row(1011, "internal", true, "internal error", "The server failed on this connection; it is counted and logged."),
            Self::Restart => row(1012, "restart", true, "server is restarting", "This node restarts; come back after a random wait."),
            Self::TryLater => row(1013, "try_later", true, "try again later", "The node is overloaded."),
            Self::SlowReader => row(4008, "slow_reader", true, "slow reader", "The client did not read fast enough and its queue overflowed."),
            Self::NoPong => row(4010, "no_pong", true, "no pong", "The client did not answer a ping in time, or took nothing of what waited for it."),
            Self::TooMany => row(4429, "too_many", true, "too many messages", "The client kept sending above its rate after being told."),
            Self::Removed => row(4500, "removed", false, "removed", "An operator ended the connection."),
            Self::Expired => row(4501, "expired", false, "credentials expired", "What the client proved its identity with has expired; it needs new credentials."),
            Self::IdentityChanged => row(4502, "identity_changed", false, "identity changed", "The site says that this user has another role by now; it comes in anew by a new page."),
            Self::NotAllowed => row(4503, "not_allowed", false, "not allowed", "The site says that this user may not be in this room any more."),
            Self::Asked(code) => row(code, "asked", !is_final(code), "", "The application asked for it."),
        }
    }

    /// The reason behind a violation's close code: 1002, 1007, 1008 or 1009.
    #[must_use]
    pub const fn of_violation(code: u16) -> Self {
        match code {
            1007 => Self::InvalidText,
            1008 => Self::Policy,
            1009 => Self::TooBig,
            _ => Self::Protocol,
        }
    }

    /// The close code.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.row().code
    }

    /// The reason text of the close frame, at most [`REASON_BYTES_MAX`].
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.row().reason
    }

    /// What the application gives for a reason of its own, cut to what fits into a close frame; nothing for another.
    #[must_use]
    pub fn farewell(self, text: &str) -> Option<Box<str>> {
        let end = text.floor_char_boundary(REASON_BYTES_MAX);
        let text = text.get(..end).filter(|text| !text.is_empty());
        text.filter(|_| matches!(self, Self::Asked(_)))
            .map(Box::from)
    }

    /// The value of the metric label `reason`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.row().label
    }

    /// Should the client come back?
    #[must_use]
    pub const fn reconnect(self) -> bool {
        self.row().reconnect
    }

    /// What happened, for the manual.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.row().meaning
    }
}

// A reason that does not fit, or a code of ours in the wrong range, does not compile.
const _: () = {
    let mut rest: &[CloseReason] = &CloseReason::ALL;
    while let [close, tail @ ..] = rest {
        assert!(close.reason().len() <= REASON_BYTES_MAX);
        let code = close.code();
        assert!(code >= 1000 && code <= 4999 && (code < 1016 || code >= 4000));
        assert!(close.reconnect() != is_final(code));
        rest = tail;
    }
};

/// The manual's table of close codes.
#[must_use]
pub fn markdown() -> String {
    let mut table = String::from("| Code | Reason | Reconnect | Meaning |\n|--:|---|---|---|\n");
    for close in CloseReason::ALL {
        let reconnect = if close.reconnect() { "yes" } else { "no" };
        let (code, reason, meaning) = (close.code(), close.reason(), close.meaning());
        table.push_str(&format!(
            "| {code} | {reason} | {reconnect} | {meaning} |\n"
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_labels_are_distinct_and_ascending() {
        for pair in CloseReason::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code());
            assert_ne!(pair[0].label(), pair[1].label());
        }
    }

    #[test]
    fn the_table_has_one_line_per_reason() {
        let table = markdown();
        assert_eq!(table.lines().count(), CloseReason::ALL.len() + 2);
        assert!(table.contains("| 4008 | slow reader | yes |"));
        assert!(table.contains("| 4500 | removed | no |"));
    }
}
